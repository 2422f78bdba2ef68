#!/usr/bin/env python3
"""filter_peer.py BENCH_FIELDS [N]: random filters and payloads, decided by Croft and by the local mode of
Qdrant's client (pip install qdrant-client); says where they differ."""
import json
import random
import subprocess
import sys

from qdrant_client.http import models
from qdrant_client.local.payload_filters import check_filter

rnd = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 5)
NAMES = ["a", "b", "c", "x", "d.e"]
SCALARS = ["red", "green owl", "The Red Fox", "a_b-c d", "", "1", 0, 1, 2, 3, 2.5, 5.0, -7, 9007199254740993, True, False,
           "2026-11-27T18:10:00Z", "2026-11-27", "2025-01-01 10:00", "2026-11-27 18:10:00.25 +0100", "Grüße, ΑΒΓ 日本語"]


def value(depth):
    kind = rnd.randrange(6 if depth > 2 else 12)
    if kind == 0:
        return None
    if kind < 6:
        return rnd.choice(SCALARS)
    if kind < 8:
        return obj(depth + 1)
    return [obj(depth + 1) if kind == 11 else value(depth + 1) for _ in range(rnd.randrange(4))]


def obj(depth):
    return {rnd.choice(NAMES): value(depth) for _ in range(rnd.randrange(5))}


def path():
    parts = []
    for _ in range(rnd.choice([1, 1, 1, 2, 2, 3])):
        name = rnd.choice(NAMES)
        name = '"%s"' % name if "." in name else name
        while rnd.random() < 0.3:
            name += rnd.choice(["[]", "[]", "[]", "[0]"])
        parts.append(name)
    return ".".join(parts)


def operand():
    return rnd.choice([s for s in SCALARS if not isinstance(s, float)])


def bounds(values):
    return {rnd.choice(pair): rnd.choice(values) for pair in (("gt", "gte"), ("lt", "lte")) if rnd.random() < 0.7}


def condition(depth):
    kind = rnd.randrange(10 if depth > 2 else 13)
    if kind >= 11:
        return filter_(depth + 1)
    if kind == 10:
        return {"nested": {"key": path(), "filter": filter_(depth + 1)}}
    if kind == 9:
        return {rnd.choice(["is_empty", "is_null"]): {"key": path()}}
    if kind < 3:
        return {"key": path(), "match": {"value": operand()}}
    if kind < 5:
        of = rnd.choice([str, int])
        return {"key": path(), "match": {["any", "except"][kind - 3]: [
            v for v in (operand() for _ in range(6)) if type(v) is of]}}
    if kind == 5:
        return {"key": path(), "match": {rnd.choice(["text", "text_any"]): rnd.choice(
            ["red", "fox RED", "owl", "b c", "", "!", "GRÜSSE grüße", "αβγ", "日本語", "1"])}}
    if kind == 6:
        return {"key": path(), "range": bounds([0, 1, 2, 2.5, -8, 5])}
    if kind == 7:
        return {"key": path(), "values_count": bounds([0, 1, 2, 3])}
    return {"key": path(), "range": bounds(["2026-11-27", "2026-11-27T17:10:00.25Z", "2025-06-01T00:00:00+02:00"])}


def filter_(depth):
    f = {name: [condition(depth) for _ in range(rnd.randrange(4))]
         for name in ("must", "should", "must_not") if rnd.random() < 0.5}
    if rnd.random() < 0.2:
        f["min_should"] = {"min_count": rnd.randint(1, 3), "conditions": [condition(depth) for _ in range(rnd.randrange(4))]}
    return f


def main():
    cases, lines, want = [], [], []
    for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 3000):
        f = filter_(0)
        for _ in range(4):
            cases.append((f, obj(0)))
    for f, payload in cases:
        lines.append(json.dumps(f) + "\t" + json.dumps(payload))
        want.append(int(check_filter(models.Filter(**f), payload, 7, {})))
    out = subprocess.run([sys.argv[1], "-"], input="\n".join(lines), capture_output=True, text=True, check=True)
    got = [int(x) for x in out.stdout.split()]
    assert len(got) == len(want), (len(got), len(want), out.stdout[-300:], out.stderr)
    differ = [i for i in range(len(want)) if got[i] != want[i]]
    print("%d filters on payloads, %d hold; %d decided otherwise than by Qdrant's client" % (
        len(want), sum(want), len(differ)))
    for i in differ[:5]:
        print("Qdrant says %d: %s" % (want[i], lines[i]))
    return bool(differ)


if __name__ == "__main__":
    sys.exit(main())
