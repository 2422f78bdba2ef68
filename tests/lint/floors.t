#!/usr/bin/env python3
"""A folder of src/ includes the public headers of folders below it, never above (meson.build lists
the floors in order), and never another folder's *_int.h."""
import os
import re
import sys

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
text = open(os.path.join(root, "meson.build"), encoding="utf-8").read()
floors = re.findall(r"'(\w+)'", re.search(r"floors = \[(.*?)\]", text, re.S).group(1))
level = {name: i for i, name in enumerate(floors)}
bad, seen = [], 0
for folder, _, files in os.walk(os.path.join(root, "src")):
    for name in files:
        if not name.endswith((".c", ".h")):
            continue
        path = os.path.relpath(os.path.join(folder, name), os.path.join(root, "src"))
        own = path.split(os.sep)[0]
        if own not in level:
            bad.append(f"{path}: {own} is no floor of meson.build")
            continue
        for i, line in enumerate(open(os.path.join(folder, name), encoding="utf-8"), 1):
            m = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not m:
                continue
            seen += 1
            other = m.group(1).split("/")[0]
            if "/" not in m.group(1):
                bad.append(f"{path}:{i}: write the folder: {m.group(1)}")
            elif other not in level:
                bad.append(f"{path}:{i}: {other} is no floor")
            elif level[other] > level[own]:
                bad.append(f"{path}:{i}: {own} stands below {other} and must not include it")
            elif other != own and m.group(1).endswith("_int.h"):
                bad.append(f"{path}:{i}: {m.group(1)} is private to {other}")
for line in bad:
    print("#", line)
if seen < 20:
    bad.append("nothing was read")
print("not ok" if bad else "ok", "1 - includes point down")
print("1..1")
sys.exit(bool(bad))
