#!/usr/bin/env python3
"""README.md and docs/: every relative link leads to a file and to a heading of it, and every `croft`
command that is shown is one that there is, with options that it takes; command-line.md has them all. (The commands are asked of the
built croft; without one that part is skipped.)"""
import json
import os
import re
import shlex
import subprocess

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BINARY = os.path.join(os.environ.get("CROFT_BUILD", os.path.join(ROOT, "build")), "croft")


def pages():
    yield os.path.join(ROOT, "README.md")
    yield os.path.join(ROOT, "CONTRIBUTING.md")
    for folder, _, files in os.walk(os.path.join(ROOT, "docs")):
        for name in sorted(files):
            if name.endswith(".md"):
                yield os.path.join(folder, name)


def read(path):
    """The page's lines as (number, text, the language of the code block that it is in, or None)."""
    fence = None
    with open(path, encoding="utf-8") as f:
        for i, line in enumerate(f, 1):
            m = re.match(r"\s*```(\w*)", line)
            if m:
                fence = m.group(1) if fence is None else None
                continue
            yield i, line.rstrip("\n"), fence


def slug(heading):
    """What the forges make of a heading."""
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def anchors(path, known={}):
    if path not in known:
        seen = known[path] = set()
        for _, line, fence in read(path):
            m = re.match(r"#+ (.*)", line)
            if m and fence is None:
                name, n = slug(m.group(1)), 0
                while (f"{name}-{n}" if n else name) in seen:
                    n += 1
                seen.add(f"{name}-{n}" if n else name)
    return known[path]


def bad_links(path):
    """Every one, and how many were looked at."""
    bad, n = [], 0
    prose = "\n".join("" if fence is not None else re.sub(r"`[^`]*`", "", line)
                      for _, line, fence in read(path))
    for target in re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", prose):
        if re.match(r"\w+:", target):
            continue
        n += 1
        file, _, anchor = target.partition("#")
        there = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
        if not os.path.exists(there):
            bad.append(f"{target}: there is no such file")
        elif anchor and anchor not in anchors(there):
            bad.append(f"{target}: there is no such heading")
    return bad, n


def croft(*args):
    env = dict(os.environ, COLUMNS="80", NO_COLOR="1", CROFT_HOME="/nonexistent")
    return subprocess.run([BINARY, *args], env=env, text=True, capture_output=True).stdout


def table():
    """Each command's options: {"artifact push": {"--alias": True (takes a value), ...}}."""
    commands = {}
    for line in croft("help").split("Commands:\n")[1].split("\n\n")[0].splitlines():
        m = re.match(r"  ([\w-]+(?: [\w-]+)?)(  | [A-Z]|$)", line)
        if m:
            commands[m.group(1)] = {}
    for name, options in commands.items():
        for letter, long, value in re.findall(r"^  (?:(-\w), |    )(--[\w-]+)( \S+)?",
                                              croft("help", *name.split()), re.M):
            options[long] = bool(value)
            if letter:
                options[letter] = bool(value)
    return commands


def settings():
    schema = croft("config", "schema")
    names = set()

    def walk(node, path):
        for key, value in node.get("properties", {}).items():
            walk(value, path + [key])
        if path and "properties" not in node:
            names.add("--" + "-".join(path).replace("_", "-"))
    walk(json.loads(schema), [])
    return names


def shown():
    """(page, line, words) of each command: in blocks of commands, and in prose between back quotes."""
    for path in pages():
        held, page = "", os.path.relpath(path, ROOT)
        for i, line, fence in read(path):
            if fence is None:
                for text in re.findall(r"`(croft [^`]*)`", line):
                    yield page, i, text
            elif fence in ("", "sh", "console", "shell"):
                line = held + re.sub(r"^\s*\$ ", "", line)
                held = line[:-1] if line.endswith("\\") else ""
                if not held and re.search(r"(^|[\s/])croft ", line):
                    yield page, i, line


def invocations(text):
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = list(lexer)
    except ValueError:
        return
    command, names = [], False
    for word in words + [";"]:
        if re.fullmatch(r"[|;&()<>]+", word):
            if names:
                yield command
            command, names = [], False
        elif not command and not names and re.fullmatch(r"\w+=.*", word, re.S):
            pass  # a variable before the command
        elif not command and not names:
            names = os.path.basename(word) == "croft"
            if not names:
                command = [word]
        else:
            command.append(word)


def wrong(words, commands, flags):
    words = [w for w in words if w not in ("...", "…")]
    at = 0
    while at < len(words) and words[at].startswith("--"):  # options may stand before the command
        at += 1 if words[at] in ("--json", "--help") or "=" in words[at] else 2
    words = words[at:]
    if not words or not re.fullmatch(r"[a-z]+", words[0]):
        return None
    name = " ".join(words[:2])
    if name not in commands:
        name = words[0]
    if name not in commands:
        if len(words) == 1 and any(c.startswith(name + " ") for c in commands):
            return None  # the group as such
        return f"there is no command '{' '.join(words[:2])}'"
    options, rest = commands[name], words[len(name.split()):]
    while rest:
        word = rest.pop(0)
        if name == "run" and not word.startswith("-"):
            return None  # the rest is another program's
        if not re.match(r"--?[a-z]", word):
            continue
        word, equals, _ = word.partition("=")
        if word not in options and word not in flags and word.replace("--no-", "--", 1) not in flags:
            return f"croft {name} takes no {word}"
        if options.get(word) and not equals and rest:
            rest.pop(0)
    return None


bad, links = [], 0
for path in pages():
    found, n = bad_links(path)
    links += n
    bad += [f"{os.path.relpath(path, ROOT)}: {b}" for b in found]
for line in bad:
    print("#", line)
print("not ok" if bad or links < 50 else "ok", f"1 - links lead somewhere # {links} of them")

if not os.path.exists(BINARY):
    print("ok 2 # SKIP there is no built croft")
else:
    bad, n = [], 0
    commands, flags = table(), settings()
    for page, line, text in shown():
        for words in invocations(text):
            n += 1
            error = wrong(words, commands, flags)
            if error:
                bad.append(f"{page}:{line}: {error}: {text.strip()}")
    with open(os.path.join(ROOT, "docs", "command-line.md"), encoding="utf-8") as f:
        listed = set(re.findall(r"croft (\w+)", f.read()))
    bad += [f"docs/command-line.md: croft {c} is not listed" for c in {n.split()[0] for n in commands} - listed]
    for line in bad:
        print("#", line)
    print("not ok" if bad or n < 100 else "ok", f"2 - commands that are shown exist # {n} of them")
print("1..2")
