"""bench/curate.py BUILD: near-duplicates beside FAISS's exact search (IndexFlatIP.range_search) of the same vectors with
the same threads; a row for each set. The groups are compared, too. PART=10 gives FAISS a tenth of the rows and takes its
time tenfold (its work is even), for a machine that has no time. Sets: glove (100,000 x 100, real), made (100,000 x 384:
clusters whose spectrum falls as that of sentence embeddings does, a tenth are near copies)."""
import json
import lzma
import os
import subprocess
import sys
import time

import faiss
import numpy as np

build = sys.argv[1]
work = os.path.join(build, "bench-curate")
os.makedirs(work, exist_ok=True)
shared = os.environ.get("CROFT_SHARED_DATA", "../shared/data")
threads, part = int(os.environ.get("THREADS", os.cpu_count())), int(os.environ.get("PART", 1))
N, DIM, CLUSTERS = 100_000, 384, 2000


def write(path, x):
    with open(path, "wb") as f:
        np.array(x.shape, dtype=np.uint32).tofile(f)
        np.ascontiguousarray(x, dtype=np.float32).tofile(f)


def made(path):
    rng = np.random.default_rng(5)
    scale = (1 + np.arange(DIM)) ** -0.5  # half of the variance in some 25 directions
    turn = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0]
    centres = rng.normal(size=(CLUSTERS, DIM)) * scale
    x = (centres[rng.integers(0, CLUSTERS, N)] + 0.8 * rng.normal(size=(N, DIM)) * scale) @ turn
    copies = rng.choice(N, N // 10, replace=False)
    x[copies] = x[(copies + 1) % N] + 0.15 * np.linalg.norm(scale) / np.sqrt(DIM) * rng.normal(size=(len(copies), DIM))
    write(path, x)


def glove(path):
    source = os.path.join(shared, "vectors", "glove100.base.fbin.xz")
    with lzma.open(source) as a, open(path, "wb") as b:
        while block := a.read(1 << 22):
            b.write(block)


def read(path):
    n, dim = np.fromfile(path, dtype=np.uint32, count=2)
    x = np.fromfile(path, dtype=np.float32, offset=8).reshape(n, dim)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def same(group, lims, other, rows):
    """Each pair is in one group, a row without a pair in none; with all rows the groups are as many as the pairs make."""
    own = np.repeat(rows, np.diff(lims).astype(int))
    pair = own != other
    if np.any(group[own[pair]] != group[other[pair]]) or np.any(group[own[pair]] == 0xFFFFFFFF):
        return False
    alone = np.ones(len(group), dtype=bool)
    alone[own[pair]] = False
    if not np.all(group[rows[alone[rows]]] == 0xFFFFFFFF):
        return False
    if len(rows) < len(group):
        return True
    up = np.arange(len(group))  # the lowest row that pairs lead to, step by step
    while True:
        low = up.copy()
        np.minimum.at(low, own, up[other])
        low = low[low]
        if np.array_equal(low, up):
            break
        up = low
    return len(set(up[~alone])) == len(set(group[~alone]))


def main():
    faiss.omp_set_num_threads(threads)
    print(f"near-duplicates, all pairs, {threads} threads; the peer: FAISS {faiss.__version__} IndexFlatIP.range_search")
    print("seconds, and CPU seconds of all threads, which a busy machine distorts less; the ratio is of those")
    print(f"{'set':<20}{'cosine':>7}{'ours':>8}{'cpu':>8}{'peer':>9}{'cpu':>8}{'ratio':>7}  groups  rows  the same")
    for name, make, least in (("glove 100000x100", glove, 0.9), ("made 100000x384", made, 0.95), ("made 100000x384", made, 0.85)):
        path = os.path.join(work, name.replace(" ", "-") + ".fbin")
        if not os.path.exists(path):
            make(path)
        out = os.path.join(work, "groups")
        ours = min((json.loads(subprocess.run([os.path.join(build, "bench", "bench_curate"), path, str(least), str(threads), out],
                                              check=True, capture_output=True, text=True).stdout) for _ in range(2)),
                   key=lambda r: r["cpu"])
        x = read(path)
        began, cpu = time.time(), time.process_time()
        index = faiss.IndexFlatIP(x.shape[1])
        index.add(x)
        rows = np.arange(0, len(x), part)
        lims, _, other = index.range_search(x[rows], least)
        peer, cpu = part * (time.time() - began), part * (time.process_time() - cpu)
        agree = "yes" if same(np.fromfile(out, dtype=np.uint32), lims, other.astype(np.int64), rows) else "no"
        print(f"{name:<20}{least:>7}{ours['seconds']:>8.2f}{ours['cpu']:>8.2f}{peer:>9.2f}{cpu:>8.2f}{cpu / ours['cpu']:>7.1f}"
              f"  {ours['groups']:>6}{ours['rows']:>6}  {agree}", flush=True)


main()
