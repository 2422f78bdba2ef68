"""Embeddings beside sentence-transformers': embeddings.py ENGINE_DUMP MODEL_FOLDER GOLDEN SPEECHES.zip

The texts are 1,000 sentences of US State of the Union speeches (public domain). Prints the smallest
and mean cosine; writes the reference vectors of every tenth one, as half floats in base64, with the
sentences themselves."""
import base64
import json
import re
import subprocess
import sys
import zipfile

import numpy as np


def sentences(path, n):
    """n sentences of 5 to 80 words, evenly from all speeches."""
    found = []
    with zipfile.ZipFile(path) as z:
        for name in sorted(z.namelist()):
            if name.endswith(".txt") and "README" not in name:
                text = re.sub(r"\s+", " ", z.read(name).decode("utf-8", "replace"))
                found += [s for s in re.split(r"(?<=[.?!]) ", text) if 5 <= len(s.split()) <= 80]
    return found[:: len(found) // n][:n]


def main(dump, folder, golden, speeches):
    import sentence_transformers
    import torch
    texts = sentences(speeches, 1000)
    m = sentence_transformers.SentenceTransformer(folder, device="cpu")
    want = m.encode(texts, batch_size=32, convert_to_numpy=True, normalize_embeddings=True).astype(np.float64)
    raw = subprocess.run([dump, "embed", folder], input=("\n".join(texts) + "\n").encode(), stdout=subprocess.PIPE,
                         check=True).stdout
    got = np.frombuffer(raw, dtype=np.float32).reshape(len(texts), -1).astype(np.float64)
    cosine = (want * got).sum(axis=1) / np.linalg.norm(want, axis=1) / np.linalg.norm(got, axis=1)
    print(f"{len(texts)} texts: cosine min {cosine.min():.7f}, mean {cosine.mean():.7f}")
    chosen = range(0, len(texts), 10)
    data = {"reference": f"sentence-transformers {sentence_transformers.__version__}, torch {torch.__version__}",
            "model": "all-MiniLM-L6-v2", "texts": [texts[i] for i in chosen],
            "vectors_f16_base64": base64.b64encode(want[list(chosen)].astype("<f2").tobytes()).decode()}
    with open(golden, "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, indent=0)
        f.write("\n")
    if cosine.min() < 0.9999:
        sys.exit("below 0.9999")


if __name__ == "__main__":
    main(*sys.argv[1:5])
