"""Logits of every position beside llama.cpp's on the same GGUF: logits.py ENGINE_DUMP GOLDEN MODEL...

Prints the largest absolute difference, the mean and largest KL divergence per token (nats), and how
often the most likely token is the same; writes the top logits of the first model as golden data."""
import json
import os
import subprocess
import sys

import numpy as np

# Abraham Lincoln, Gettysburg, 19 November 1863 (Bliss copy; public domain)
TEXT = (
    "Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, "
    "and dedicated to the proposition that all men are created equal. Now we are engaged in a great civil war, testing "
    "whether that nation, or any nation so conceived and so dedicated, can long endure. We are met on a great "
    "battle-field of that war. We have come to dedicate a portion of that field, as a final resting place for those who "
    "here gave their lives that that nation might live. It is altogether fitting and proper that we should do this. But, "
    "in a larger sense, we can not dedicate -- we can not consecrate -- we can not hallow -- this ground. The brave men, "
    "living and dead, who struggled here, have consecrated it, far above our poor power to add or detract. The world "
    "will little note, nor long remember what we say here, but it can never forget what they did here. It is for us the "
    "living, rather, to be dedicated here to the unfinished work which they who fought here have thus far so nobly "
    "advanced. It is rather for us to be here dedicated to the great task remaining before us -- that from these honored "
    "dead we take increased devotion to that cause for which they gave the last full measure of devotion -- that we here "
    "highly resolve that these dead shall not have died in vain -- that this nation, under God, shall have a new birth "
    "of freedom -- and that government of the people, by the people, for the people, shall not perish from the earth.")
TOP = 16


def reference(path):
    import llama_cpp
    m = llama_cpp.Llama(path, n_ctx=512, n_batch=512, n_threads=2, logits_all=True, verbose=False)
    ids = m.tokenize(TEXT.encode(), add_bos=False)
    m.eval(ids)
    return ids, np.array(m.scores[: len(ids)], dtype=np.float64), llama_cpp.__version__


def ours(dump, path, ids):
    out = subprocess.run([dump, "logits", path], input=("\n".join(map(str, ids)) + "\n").encode(),
                         stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(out, dtype=np.float32).reshape(len(ids), -1).astype(np.float64)


def log_softmax(x):
    m = x.max(axis=1, keepdims=True)
    return x - m - np.log(np.exp(x - m).sum(axis=1, keepdims=True))


def main(dump, golden, models):
    print(f"{'model':28} {'tokens':>6} {'max |diff|':>10} {'mean KL':>10} {'max KL':>10} {'same top':>9}")
    for number, path in enumerate(models):
        ids, want, version = reference(path)
        got = ours(dump, path, ids)
        p, q = log_softmax(want), log_softmax(got)
        kl = (np.exp(p) * (p - q)).sum(axis=1)
        same = (want.argmax(axis=1) == got.argmax(axis=1)).mean()
        print(f"{os.path.basename(path):28} {len(ids):6} {np.abs(want - got).max():10.4f} {kl.mean():10.2e} "
              f"{kl.max():10.2e} {same:9.1%}")
        if number == 0 and golden != "-":
            rows = []
            for i in range(len(ids)):
                top = np.argsort(-want[i], kind="stable")[:TOP]
                rows.append([[int(t), round(float(p[i][t]), 4)] for t in top])
            with open(golden, "w", encoding="utf-8") as f:
                json.dump({"reference": f"llama-cpp-python {version}", "model": os.path.basename(path), "text": TEXT,
                           "ids": [int(i) for i in ids], "top_logprobs": rows}, f, separators=(",", ":"))
                f.write("\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
