"""What scikit-learn and cleanlab say of a small set: tests/golden/vector/curate.json, which tests/unit/test_vector_curate.c
compares with. python tools/oracle/curate.py OUT, with scikit-learn, cleanlab and numpy installed."""
import json
import sys

import cleanlab
import numpy as np
import sklearn
from cleanlab.count import compute_confident_joint
from cleanlab.filter import find_label_issues
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.semi_supervised import LabelSpreading

N, DIM, CLASSES, K, ALPHA = 180, 6, 4, 10, 0.9
rng = np.random.default_rng(7)
y = np.arange(N) % CLASSES
centres = rng.normal(0, 1.6, (CLASSES, DIM))
X = np.round(centres[y] + rng.normal(0, 1, (N, DIM)), 4).astype(np.float32)
X[:5] = np.round(rng.normal(0, 6, (5, DIM)), 4)

lof = LocalOutlierFactor(n_neighbors=20, algorithm="brute").fit(X.astype(float))

# the graph of vector/labels.c: an edge where one of two is among the other's nearest
far, near = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(X.astype(float)).kneighbors()
W = np.zeros((N, N))
for i in range(N):
    W[i, near[i]] = np.exp(-2 * far[i] ** 2 / (far[i, -1] * far[near[i], -1]))
W = np.maximum(W, W.T)
given = np.where(rng.random(N) < 0.15, y, -1)
for c in range(CLASSES):
    given[5 + (c - 5) % CLASSES] = y[5 + (c - 5) % CLASSES]
spread = LabelSpreading(kernel=lambda a, b: W, alpha=ALPHA, max_iter=10000, tol=1e-9).fit(X, given)
S = W / np.sqrt(np.outer(W.sum(0), W.sum(0)))
Y = np.eye(CLASSES)[given] * (given >= 0)[:, None]
F = np.linalg.solve(np.eye(N) - ALPHA * S, (1 - ALPHA) * Y)  # where the iteration ends
F /= F.sum(1, keepdims=True)
assert np.abs(F - spread.label_distributions_).max() < 1e-5

noisy = y.copy()
wrong = rng.choice(N, N // 6, replace=False)
noisy[wrong] = (y[wrong] + rng.integers(1, CLASSES, len(wrong))) % CLASSES
logits = -((X[:, None] - centres[None]) ** 2).sum(-1) / 6 + rng.normal(0, 0.4, (N, CLASSES))
P = np.exp(logits - logits.max(1, keepdims=True))
P = np.round(P / P.sum(1, keepdims=True), 5)
P[:, -1] = 1 - P[:, :-1].sum(1)
flagged = find_label_issues(noisy, P, filter_by="confident_learning")
by_rate = find_label_issues(noisy, P, filter_by="prune_by_noise_rate")

centre = []
d = np.full(N, np.inf)
at = int(((X - X.mean(0)) ** 2).sum(1).argmin())
for _ in range(12):  # farthest first, by brute force
    centre.append(at)
    d = np.minimum(d, np.sqrt(((X.astype(float) - X[at].astype(float)) ** 2).sum(1)))
    at = int(d.argmax())

json.dump({
    "source": f"tools/oracle/curate.py: scikit-learn {sklearn.__version__}, cleanlab {cleanlab.__version__}, numpy {np.__version__}",
    "dim": DIM, "classes": CLASSES, "k": K, "alpha": ALPHA,
    "rows": [[float(f"{v:.4f}") for v in r] for r in X],
    "lof": [round(float(-v), 7) for v in lof.negative_outlier_factor_],
    "given": given.tolist(), "spread": [[round(float(v), 6) for v in r] for r in F],
    "noisy": noisy.tolist(), "p": [[round(float(v), 6) for v in r] for r in P],
    "wrong": sorted(map(int, np.flatnonzero(flagged))), "by_rate": sorted(map(int, np.flatnonzero(by_rate))),
    "centres": centre, "farthest": round(float(d.max()), 6),
}, open(sys.argv[1], "w"), separators=(",", ":"))
print("lof", lof.negative_outlier_factor_[:6], "wrong", flagged.sum(), by_rate.sum(), "of", len(wrong))
