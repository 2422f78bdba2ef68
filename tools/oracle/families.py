"""Logits of small models of every decoder family beside llama.cpp's: families.py TEST_PROGRAM FOLDER GOLDEN

The models are written by tests/unit/test_engine_families.c from a formula; what llama.cpp says of
them is recorded for four positions."""
import glob
import json
import os
import subprocess
import sys

import numpy as np

VOCAB, N = 272, 48


def main(test, folder, golden):
    import llama_cpp
    os.makedirs(folder, exist_ok=True)
    subprocess.run([test], env={**os.environ, "CROFT_TINY_OUT": folder,
                                "CROFT_TEST_FILTER": "references"}, check=True, stdout=subprocess.DEVNULL)
    ids = [(i * 37 + i * i * 11) % 256 for i in range(N)]
    out = {"reference": f"llama-cpp-python {llama_cpp.__version__}"}
    for path in sorted(glob.glob(os.path.join(folder, "*.gguf"))):
        m = llama_cpp.Llama(path, n_ctx=64, n_batch=64, n_threads=1, logits_all=True, verbose=False)
        m.eval(ids)
        scores = np.array(m.scores[:N], dtype=np.float64)
        name = os.path.basename(path)[:-5]
        out[name] = [[at, [round(float(v), 4) for v in scores[at]]] for at in (0, 1, 20, N - 1)]
        print(f"{name}: largest logit {np.abs(scores).max():.3f}")
    with open(golden, "w", encoding="utf-8") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
