#!/usr/bin/env python3
"""make bench-artifact [SIZE=10G]: hash and store a folder of mixed file sizes, beside a parallel
sha256sum (and b3sum, when it is installed) followed by cp.

The folder has three model-like files (60 % of the bytes), some hundred files of a few megabytes, and
several thousand small ones; it is made once and read once before anything is timed, so that every
contestant finds it in the page cache. Each is run ROUNDS (3) times in turn; the table has the
medians, after six seconds of rest (ext4 avoids inodes that were removed in the last five). "+ sync" includes what it takes until the bytes are on the disk, which a push always waits
for. Nothing but the contestants should run meanwhile."""
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), ".."))
BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "build"))
CROFT = os.path.join(BUILD, "croft")
ROUNDS = int(os.environ.get("ROUNDS", "3"))
UNITS = {"M": 10**6, "G": 10**9}
TEXT = os.environ.get("SIZE") or "2G"
SIZE = int(float(TEXT.rstrip("MG")) * UNITS.get(TEXT[-1], 1))
TOP = os.environ.get("BENCH_DIR", os.path.join(BUILD, "bench-artifact"))
DATA, COPY, HOME = (os.path.join(TOP, n) for n in (f"data-{TEXT}", "copy", "home"))


def make():
    if os.path.exists(os.path.join(DATA, "complete")):
        return
    shutil.rmtree(DATA, ignore_errors=True)
    rnd = random.Random(1)
    left = SIZE

    def write(path, n):
        path = os.path.join(DATA, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            while n > 0:
                n -= f.write(rnd.randbytes(min(n, 1 << 24)))

    for i, share in enumerate((0.3, 0.2, 0.1)):
        write(f"model/weights-{i}.bin", int(SIZE * share))
    left = int(SIZE * 0.4)
    i = 0
    while left > SIZE * 0.05:
        n = min(int(rnd.lognormvariate(15.2, 0.8)), left)
        write(f"shards/{i % 16:02}/part-{i:05}.parquet", n)
        left, i = left - n, i + 1
    i = 0
    while left > 0:
        n = min(int(rnd.lognormvariate(9.5, 1.2)) + 1, left)
        write(f"docs/{i % 64:02}/doc-{i:06}.txt", n)
        left, i = left - n, i + 1
    open(os.path.join(DATA, "complete"), "w").close()


def sh(command, env=None):
    subprocess.run(command, shell=True, check=True, stdout=subprocess.DEVNULL, env=env)


def cpu():
    r = resource.getrusage(resource.RUSAGE_CHILDREN)
    return r.ru_utime + r.ru_stime


def hashing(program):
    return (f"find {DATA} -type f -print0 | xargs -0 -P {os.cpu_count()} -n 32 {program}",
            f"rm -rf {COPY}; sync -f {TOP}")


ENV = dict({k: v for k, v in os.environ.items() if not k.startswith("CROFT_")}, CROFT_HOME=HOME,
           NO_COLOR="1")
FRESH = f"rm -rf {HOME}; mkdir -p {HOME}; sync -f {TOP}"
CP = f"cp -r {DATA} {COPY}"
PUSH = f"{CROFT} artifact push {DATA} dataset/bench"
RUNS = {
    "sha256sum": hashing("sha256sum"),
    "openssl sha256": hashing("openssl dgst -sha256"),
    "cp": (CP, f"rm -rf {COPY}; sync -f {TOP}"),
    "cp + sync": (f"{CP}; sync -f {TOP}", f"rm -rf {COPY}; sync -f {TOP}"),
    "croft artifact push": (PUSH, FRESH),
    "the same again": (PUSH, None),
}
if shutil.which("b3sum"):
    RUNS = {"b3sum": (f"find {DATA} -type f -print0 | xargs -0 -n 4096 b3sum", None), **RUNS}


def main():
    make()
    sh(f"find {DATA} -type f -print0 | xargs -0 -n 64 cat > /dev/null")
    n = sum(len(f) for _, _, f in os.walk(DATA))
    times = {name: [] for name in RUNS}
    cpus = {name: [] for name in RUNS}
    for _ in range(ROUNDS):
        for name, (command, before) in RUNS.items():
            if before:
                sh(before + "; sleep 6")
            start, used = time.monotonic(), cpu()
            sh(command, ENV)
            times[name].append(time.monotonic() - start)
            cpus[name].append(cpu() - used)
    t = {name: statistics.median(v) for name, v in times.items()}
    u = {name: statistics.median(v) for name, v in cpus.items()}
    print(f"{SIZE / 1e9:.1f} GB in {n} files, {os.cpu_count()} CPUs, median of {ROUNDS}\n")
    print(f"{'':34} {'seconds':>8} {'GB/s':>6} {'push / it':>10} {'CPU s':>7} {'push / it':>10}")

    def row(name, s, c):
        push = "croft artifact push"
        print(f"{name:34} {s:8.2f} {SIZE / s / 1e9:6.2f} {t[push] / s:10.2f} {c:7.2f} "
              f"{u[push] / c:10.2f}")

    for name in t:
        row(name, t[name], u[name])
    for h in ("b3sum", "sha256sum", "openssl sha256"):
        if h in t:
            row(f"{h}, then cp", t[h] + t["cp"], u[h] + u["cp"])
            row(f"{h}, then cp + sync", t[h] + t["cp + sync"], u[h] + u["cp + sync"])
    shutil.rmtree(COPY, ignore_errors=True)
    shutil.rmtree(HOME, ignore_errors=True)


main()
