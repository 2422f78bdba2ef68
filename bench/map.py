"""bench/map.py BUILD SET...: Croft's layout beside umap-learn, both with 15 neighbours, min_dist 0.1 and
Euclidean distances of rows of length 1 (generated points: as they are).

For each set: seconds (by the clock, two cores, umap-learn once warmed up: its compilation is not counted),
trustworthiness and continuity (Venna and Kaski 2001, 15 neighbours) and how many of the 15 nearest rows are
among the 15 nearest points; of 2,000 rows drawn by chance, compared with all. Each is the mean of SEEDS (2)
layouts. Then alignment: a second version with a tenth of the rows taken out and a tenth new. How far rows that
stayed have moved, as the median in parts of the picture's radius, and the quality of the new layout: Croft
begins at the old places (`align`), umap-learn the same by init=, and as AlignedUMAP where there are at most
10,000 rows; `anew` is without any of that. `extend` puts the new rows among the others, which stay.
SETS: cranfield, boolq (embeddings of documents), glove (of words), or NxDIM.
"""
import lzma
import math
import os
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")
import umap  # noqa: E402

BUILD, SETS = sys.argv[1], sys.argv[2:]
SEEDS = int(os.environ.get("SEEDS", "2"))
K, SAMPLE = 15, 2000
work = tempfile.mkdtemp()


def fbin(a):
    path = os.path.join(work, "x.fbin")
    with open(path, "wb") as f:
        f.write(np.array(a.shape, dtype=np.uint32).tobytes())
        f.write(np.ascontiguousarray(a, dtype=np.float32).tobytes())
    return path


def read(path):
    raw = lzma.open(path).read() if path.endswith(".xz") else open(path, "rb").read()
    n, d = np.frombuffer(raw, np.uint32, 2)
    return np.frombuffer(raw, np.float32, offset=8).reshape(n, d)


def rows_of(name):
    root = os.environ.get("CROFT_SHARED_DATA", "../shared/data")
    if name == "glove":
        x = read(f"{root}/vectors/glove100.base.fbin.xz")[:20000]
    elif name in ("cranfield", "boolq"):
        folder = {"boolq": "boolq-retrieval"}.get(name, name)
        files = sorted(f for f in os.listdir(f"{root}/rag/{folder}") if ".fbin" in f)
        x = np.vstack([read(f"{root}/rag/{folder}/{f}") for f in files])
    else:
        n, d = map(int, name.split("x"))
        r = np.random.default_rng(5)
        inner = max(4, d // 8)
        centres = r.standard_normal((200, inner))
        of = r.choice(200, n, p=r.dirichlet(np.full(200, 0.7)))
        low = centres[of] + r.uniform(0.15, 0.6, 200)[of, None] * r.standard_normal((n, inner))
        x = np.tanh(low @ (r.standard_normal((inner, d)) / math.sqrt(inner)))
        return x.astype(np.float32)
    return (x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-9)).astype(np.float32)


def ranks(x, queries, chunk=200):
    """For each query row the order of all others by distance: (rank of every row, its K nearest)."""
    sq = (x * x).sum(1)
    for at in range(0, len(queries), chunk):
        q = queries[at:at + chunk]
        d = sq[None, :] - 2 * (x[q] @ x.T)
        d[np.arange(len(q)), q] = -np.inf
        order = np.argsort(d, axis=1, kind="stable")
        rank = np.empty_like(order)
        np.put_along_axis(rank, order, np.arange(len(x))[None, :].repeat(len(q), 0), axis=1)
        yield rank, order[:, 1:K + 1]


def quality(x, y):
    n = len(x)
    sample = np.random.default_rng(1).choice(n, min(n, SAMPLE), replace=False)
    trust = cont = kept = 0.0
    for (high, near_high), (low, near_low) in zip(ranks(x, sample), ranks(y.astype(np.float32), sample)):
        trust += np.maximum(np.take_along_axis(high, near_low, 1) - K, 0).sum()
        cont += np.maximum(np.take_along_axis(low, near_high, 1) - K, 0).sum()
        kept += (np.take_along_axis(low, near_high, 1) <= K).sum()
    scale = 2.0 / (len(sample) * K * (2 * n - 3 * K - 1))
    return 1 - scale * trust, 1 - scale * cont, kept / (len(sample) * K)


def ours(x, seed, start=None, stay=False, dims=2):
    path = fbin(x)
    args = [f"{BUILD}/bench/bench_map", path, path + ".out", str(dims), str(seed)]
    if start is not None:
        os.rename(fbin(start), path + ".from")
        fbin(x)
        args += [path + ".from"] + (["stay"] if stay else [])
    out = subprocess.run(args, check=True, capture_output=True, text=True).stdout.split()
    return read(path + ".out"), float(out[0])


def theirs(x, seed, **more):
    began = time.time()
    # a seed would take its threads away: the layouts differ by themselves
    y = umap.UMAP(n_neighbors=15, min_dist=0.1, **more).fit_transform(x)
    return y, time.time() - began


def row(what, *values):
    print(f"{what:<34}" + "".join(f"{v:>12}" for v in values), flush=True)


def show(what, seconds, q, extra=""):
    row(what, f"{seconds:.1f}", *(f"{v:.4f}" for v in q), extra)


def shift(a, b):
    """The median way of the same points, in radii of the first picture."""
    radius = np.sqrt(((a - a.mean(0)) ** 2).sum(1)).mean()
    return float(np.median(np.sqrt(((a - b) ** 2).sum(1))) / radius)


def beside(name, x):
    means = []
    for what, fn in (("croft", ours), ("umap-learn", theirs)):
        runs = [fn(x, s) for s in range(SEEDS)]
        q = np.mean([quality(x, y) for y, _ in runs], axis=0)
        seconds = min(t for _, t in runs)
        show(f"{name} {what}", seconds, q)
        means.append((seconds, q))
    (a, qa), (b, qb) = means
    row("  ratio of times, differences", f"{b / a:.1f}x", *(f"{v:+.4f}" for v in qa - qb),
        "ok" if all(qa - qb > -0.002) else "below")


def aligned(name, x):
    r = np.random.default_rng(3)
    order = r.permutation(len(x))
    tenth = len(x) // 10
    before, after = np.sort(order[tenth:]), np.sort(order[:-tenth])
    both = np.intersect1d(before, after)
    in_before, in_after = np.searchsorted(before, both), np.searchsorted(after, both)
    for what, fn in (("croft", ours), ("umap-learn", theirs)):
        first, _ = fn(x[before], 0)
        start = np.full((len(after), 2), np.nan, dtype=np.float32)
        start[in_after] = first[in_before]
        if fn is theirs:  # it takes no gaps: new rows begin at their nearest old one
            new = np.flatnonzero(np.isnan(start[:, 0]))
            nearest = (x[after[new]] @ x[both].T - 0.5 * (x[both] ** 2).sum(1)).argmax(1)
            start[new] = start[in_after[nearest]]
        ways = [("align", dict(start=start)), ("extend", dict(start=start, stay=True)), ("anew", {})] if fn is ours else \
            [("init=", dict(init=start)), ("anew", {})]
        for way, more in ways:
            y, seconds = fn(x[after], 1, **more)
            show(f"{name} {what} {way}", seconds, quality(x[after], y), f"{shift(first[in_before], y[in_after]):.3f}")
    if len(x) <= 10000:
        began = time.time()
        m = umap.AlignedUMAP(n_neighbors=15, min_dist=0.1).fit(
            [x[before], x[after]], relations=[dict(zip(in_before.tolist(), in_after.tolist()))])
        a, b = m.embeddings_
        show(f"{name} AlignedUMAP (both versions)", time.time() - began, quality(x[after], b), f"{shift(a[in_before], b[in_after]):.3f}")


theirs(np.random.default_rng(0).standard_normal((2000, 20)).astype(np.float32), 0)  # compiles
sets = [(name, rows_of(name)) for name in SETS]
row("rows in the plane", "seconds", "trustworth.", "continuity", "k-NN kept", "")
for name, x in sets:
    beside(f"{name} {len(x)}x{x.shape[1]}", x)
row("a second version", "seconds", "trustworth.", "continuity", "k-NN kept", "moved")
for name, x in sets:
    aligned(name, x)
