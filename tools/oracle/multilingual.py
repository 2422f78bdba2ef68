"""multilingual-e5-small beside a pass written down here: multilingual.py ENGINE_DUMP MODEL_FOLDER TEXTS.json GOLDEN

The folder is what tools/multilingual.py makes. Tokens are those of the tokenizers package, the pass is BERT's in numpy
and double precision, from the same weights. The texts are in many scripts; half of them are queries. Prints the smallest
cosine; writes the reference vectors, as half floats in base64."""
import base64
import json
import math
import os
import struct
import subprocess
import sys

import numpy as np

TEXTS = ["The hens eat grain, grass and insects in the yard.", "Die Hühner fressen Körner und Gras auf dem Hof.",
         "Les poules mangent du grain et de l'herbe.", "Las gallinas comen grano y hierba en el patio.", "雌鶏は穀物と草を食べます。",
         "куры едят зерно и траву", "母鸡在院子里吃谷物和草。", "Οι κότες τρώνε σιτηρά και χόρτα.", "الدجاج يأكل الحبوب والعشب", "मुर्गियाँ अनाज और घास खाती हैं।",
         "ไก่กินธัญพืชและหญ้า", "닭은 곡물과 풀을 먹는다.", "Gà ăn ngũ cốc và cỏ.", "Tavuklar tahıl ve ot yer.", "Was fressen Hühner im Winter?",
         "什么时候收割大麦？", "¿Cuándo se cosecha la cebada?", "  two  spaces \t and a tab\nand a line ", "ﬁne ligatures, Ⅳ and ½, ｆｕｌｌ ｗｉｄｔｈ",
         "e\u0301 composed and é", "zero\u200bwidth and soft\u00adhyphen", "x", "emoji 🐔🌾 and 👩‍🌾", "A1B2-C3, 3.14 % of €1,000", "…"]


def weights(folder):
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    kinds = {"F16": "<f2", "F32": "<f4"}
    return {n: np.frombuffer(data[t["data_offsets"][0]:t["data_offsets"][1]], dtype=kinds[t["dtype"]]).reshape(t["shape"])
            for n, t in header.items() if n != "__metadata__"}


def norm(x, w, name, eps=1e-12):
    x = x - x.mean(axis=-1, keepdims=True)
    x /= np.sqrt((x * x).mean(axis=-1, keepdims=True) + eps)
    return x * w[name + ".weight"] + w[name + ".bias"]


def linear(x, w, name):
    return x @ w[name + ".weight"].astype(np.float64).T + w[name + ".bias"]


def vector(w, ids, layers, heads):
    x = w["embeddings.word_embeddings.weight"][ids].astype(np.float64) + w["embeddings.position_embeddings.weight"][:len(ids)]
    x = norm(x + w["embeddings.token_type_embeddings.weight"][0], w, "embeddings.LayerNorm")
    for i in range(layers):
        at = f"encoder.layer.{i}."
        q, k, v = (linear(x, w, at + "attention.self." + p).reshape(len(ids), heads, -1).transpose(1, 0, 2) for p in ("query", "key", "value"))
        s = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        s = np.exp(s - s.max(axis=-1, keepdims=True))
        y = (s / s.sum(axis=-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(x + linear(y, w, at + "attention.output.dense"), w, at + "attention.output.LayerNorm")
        y = linear(x, w, at + "intermediate.dense")
        y = 0.5 * y * (1 + np.vectorize(math.erf)(y / math.sqrt(2)))
        x = norm(x + linear(y, w, at + "output.dense"), w, at + "output.LayerNorm")
    x = x.mean(axis=0)
    return x / np.linalg.norm(x)


def main(dump, folder, source, golden):
    import tokenizers
    with open(source, encoding="utf-8") as f:
        texts = TEXTS + json.load(f)["texts"][:15]
    texts = [t for t in texts if "\n" not in t]  # engine_dump takes one a line
    config = json.load(open(os.path.join(folder, "config.json")))
    tk = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    w = weights(folder)
    prefix = {"query": "query: ", "document": "passage: "}
    data = {"reference": f"numpy {np.__version__}, tokenizers {tokenizers.__version__}", "model": "multilingual-e5-small", "texts": texts}
    least = 1
    for role in prefix:
        want = np.array([vector(w, tk.encode(prefix[role] + t).ids, config["num_hidden_layers"], config["num_attention_heads"]) for t in texts])
        raw = subprocess.run([dump, "embed", folder, role], input=("\n".join(texts) + "\n").encode(), stdout=subprocess.PIPE, check=True).stdout
        got = np.frombuffer(raw, dtype=np.float32).reshape(len(texts), -1).astype(np.float64)
        cosine = (want * got).sum(axis=1) / np.linalg.norm(got, axis=1)
        print(f"{len(texts)} texts as {role}: cosine min {cosine.min():.7f}, mean {cosine.mean():.7f}")
        for i in np.flatnonzero(cosine < 0.9999):
            print(f"  {cosine[i]:.4f} {texts[i]!r} {tk.encode(prefix[role] + texts[i]).tokens}")
        data[f"{role}_f16_base64"] = base64.b64encode(want.astype("<f2").tobytes()).decode()
        least = min(least, cosine.min())
    with open(golden, "w", encoding="utf-8") as f:
        json.dump(data, f, ensure_ascii=False, indent=0)
        f.write("\n")
    if least < 0.9999:
        sys.exit("below 0.9999")


if __name__ == "__main__":
    main(*sys.argv[1:5])
