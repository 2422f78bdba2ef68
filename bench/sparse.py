#!/usr/bin/env python3
"""sparse.py make FILE N: N sparse vectors and 200 queries, like those of learnt encoders: a vocabulary of 30,522 whose words
are as frequent as words are, 120 numbers in a vector, 25 in a query.
sparse.py peer FILE OURS: SciPy's and NumPy's ways to score all vectors, one thread's own time, and whether our hits are the best."""
import struct
import sys
import time

import numpy as np

VOCABULARY, NUMBERS, ASKED, QUERIES, TOP = 30522, 120, 25, 200, 10


def vectors(rnd, n, most):
    """(ends, indices, values): a word's chance falls as its rank grows, and rare words weigh more."""
    p = 1 / (np.arange(VOCABULARY) + 30.0)
    cdf = np.cumsum(p / p.sum())
    ends, at, values = [0], [], []
    for _ in range(n):
        i = np.unique(np.searchsorted(cdf, rnd.random(max(3, int(rnd.normal(most, most / 4))))))
        at.append(i.astype(np.uint32))
        values.append((rnd.gamma(2.0, 0.35, len(i)) * (0.4 + np.log1p(i) / 9)).astype(np.float32))
        ends.append(ends[-1] + len(i))
    return np.array(ends, np.uint64), np.concatenate(at), np.concatenate(values)


def make(path, n):
    rnd = np.random.default_rng(20261127)
    with open(path, "wb") as f:
        for count, most in ((n, NUMBERS), (QUERIES, ASKED)):
            ends, at, values = vectors(rnd, count, most)
            f.write(struct.pack("<QQ", count, len(at)))
            for a in (ends, at, values):
                f.write(a.tobytes())


def read(path):
    out = []
    with open(path, "rb") as f:
        for _ in range(2):
            n, nnz = struct.unpack("<QQ", f.read(16))
            out.append((np.frombuffer(f.read(8 * (n + 1)), np.uint64).astype(np.int64), np.frombuffer(f.read(4 * nnz), np.uint32),
                        np.frombuffer(f.read(4 * nnz), np.float32)))
    return out


def best(scores):
    top = np.argpartition(-scores, TOP)[:TOP]
    return top[np.argsort(-scores[top], kind="stable")]


def timed(fn, queries):
    start, hits, n = time.thread_time(), [], 0
    for q in queries:
        hits.append(fn(*q))
        n += 1
        if time.thread_time() - start > 20:
            break
    return n / (time.thread_time() - start), hits


def peer(path, ours):
    import scipy.sparse as sp
    (ends, at, values), (qends, qat, qvalues) = read(path)
    n = len(ends) - 1
    rows = sp.csr_matrix((values, at.astype(np.int32), ends), shape=(n, VOCABULARY))
    columns = rows.tocsc()
    queries = [(qat[a:b].astype(np.int64), qvalues[a:b]) for a, b in zip(qends[:-1], qends[1:])]

    def by_rows(i, v):  # a product of all rows with a dense query
        q = np.zeros(VOCABULARY, np.float32)
        q[i] = v
        return best(rows @ q)

    def by_columns(i, v):  # only the columns that the query has
        scores = np.zeros(n, np.float32)
        for c, w in zip(i, v):
            a, b = columns.indptr[c], columns.indptr[c + 1]
            scores[columns.indices[a:b]] += w * columns.data[a:b]
        return best(scores)

    lines = open(ours).read().splitlines()
    said = dict(zip(lines[0].split()[::2], map(float, lines[0].split()[1::2])))
    hits = [[int(x) for x in line.split()] for line in lines[1:]]
    print(f"{n} vectors of {len(at) / n:.0f} numbers, queries of {len(qat) / len(queries):.0f}; top {TOP}, one thread's own time")
    print(f"{'':28} {'queries/s':>10} {'ours is':>9} {'same hits':>10} {'MB':>6}")
    print(f"{'ours':28} {said['qps']:10.0f} {'':>9} {'':>10} {said['bytes'] / 1e6:6.0f}   built in {said['build']:.1f} s")
    for name, fn, size in (("SciPy, all rows", by_rows, rows), ("NumPy, the query's columns", by_columns, columns)):
        qps, theirs = timed(fn, queries)
        same = sum(len(set(a) & set(b.tolist())) for a, b in zip(hits, theirs)) / (TOP * len(theirs))
        mb = (size.data.nbytes + size.indices.nbytes + size.indptr.nbytes) / 1e6
        print(f"{name:28} {qps:10.0f} {said['qps'] / qps:8.1f}x {same:10.4f} {mb:6.0f}")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], int(sys.argv[3]))
    else:
        peer(sys.argv[2], sys.argv[3])
