"""summary.py KNOWN RESULTS...: counts per file, and which failures are not explained.

A line of KNOWN is `[file::]test why`; a test is meant with all its parameters. Exit 1 when a test
fails that no line explains.
"""
import collections
import sys


def known_tests(path):
    with open(path) as f:
        lines = [line.split(None, 1) for line in f if line.strip() and not line.startswith("#")]
    return {name: why.strip() for name, why in lines}


def main():
    known, used, new = known_tests(sys.argv[1]), set(), []
    counts = collections.defaultdict(collections.Counter)
    for path in sys.argv[2:]:
        with open(path) as f:
            for line in f:
                word, test = line.rstrip("\n").split(" ", 1)
                file, _, name = test.partition("::")
                bare = name.split("[")[0]
                why = next((k for k in (f"{file.rsplit('/', 1)[-1]}::{bare}", bare) if k in known), None)
                if word == "fail" and why:
                    word = "explained"
                    used.add(why)
                elif word == "fail":
                    new.append(test)
                counts[file][word] += 1
    print(f"{'FILE':60} {'PASS':>5} {'FAIL':>5} {'EXPLAINED':>9} {'SKIP':>5}")
    for file, n in sorted(counts.items()):
        print(f"{file:60} {n['pass']:5} {n['fail']:5} {n['explained']:9} {n['skip']:5}")
    for name in sorted(used):
        print(f"explained: {name}: {known[name]}")
    for test in new:
        print(f"FAILED: {test}")
    sys.exit(1 if new else 0)


main()
