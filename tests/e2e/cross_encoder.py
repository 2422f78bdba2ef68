"""A cross-encoder for tests: cross_encoder.py MINILM_FOLDER OUT_FOLDER [OUT.gguf].

No trained one comes with the test models. This one has MiniLM's real weights, its pooler too, and a
head of values from a formula (tests/unit/test_engine_rank.c has the same): what it says means
nothing, but that it is computed rightly can be checked."""
import json
import os
import struct
import sys

MASK = (1 << 64) - 1
LAYER = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
         "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
         "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}
NAMES = {"embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
         "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm",
         "pooler.dense": "cls", "classifier": "cls.output"}


def head(i):
    """From -2 to 2."""
    z = (i + 1) * 0x9E3779B97F4A7C15 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    z ^= z >> 31
    return ((z >> 40) * 2.0 ** -24 - 0.5) * 4


def read(folder):
    with open(os.path.join(folder, "model.safetensors"), "rb") as f:
        size = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(size))
        return header, f.read()


def folder(minilm, out):
    os.makedirs(out, exist_ok=True)
    header, data = read(minilm)
    width = header["pooler.dense.bias"]["shape"][0]
    header = {name if name == "__metadata__" else "bert." + name: t for name, t in header.items()}
    for name, shape, values in (("classifier.weight", [1, width], [head(i) for i in range(width)]),
                                ("classifier.bias", [1], [head(width)])):
        raw = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(out, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)
    config = json.load(open(os.path.join(minilm, "config.json")))
    config.update(architectures=["BertForSequenceClassification"], id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0})
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config, f)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json"):
        with open(os.path.join(minilm, name), "rb") as a, open(os.path.join(out, name), "wb") as b:
            b.write(a.read())
    return out


# ---- GGUF, as llama.cpp's converter writes it ----

def text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def pair(key, kind, value):
    packed = {4: "<I", 5: "<i", 6: "<f", 7: "<?"}
    if kind == 8:
        return text(key) + struct.pack("<I", 8) + text(value)
    if isinstance(value, list):
        body = b"".join(text(v) for v in value) if kind == 88 else struct.pack(f"<{len(value)}i", *value)
        return text(key) + struct.pack("<IIQ", 9, 8 if kind == 88 else 5, len(value)) + body
    return text(key) + struct.pack("<I", kind) + struct.pack(packed[kind], value)


def gguf_name(name):
    stem, kind = name.removeprefix("bert.").rsplit(".", 1)
    if stem in NAMES:
        return f"{NAMES[stem]}.{kind}"
    if stem.startswith("encoder.layer."):
        _, _, number, rest = stem.split(".", 3)
        return f"blk.{number}.{LAYER[rest]}.{kind}"
    return None


def metadata(source):
    c = json.load(open(os.path.join(source, "config.json")))
    words = [line.rstrip("\n") for line in open(os.path.join(source, "vocab.txt"), encoding="utf-8")]
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    pieces = [t if t in special or t.startswith("[unused") else t[2:] if t.startswith("##") else "\u2581" + t
              for t in words]
    k = [("general.architecture", 8, "bert"), ("general.name", 8, "cross-encoder"),
         ("bert.context_length", 4, c["max_position_embeddings"]), ("bert.embedding_length", 4, c["hidden_size"]),
         ("bert.block_count", 4, c["num_hidden_layers"]), ("bert.feed_forward_length", 4, c["intermediate_size"]),
         ("bert.attention.head_count", 4, c["num_attention_heads"]),
         ("bert.attention.layer_norm_epsilon", 6, c["layer_norm_eps"]), ("bert.attention.causal", 7, False),
         ("bert.pooling_type", 4, 4), ("bert.classifier.output_labels", 88, ["LABEL_0"]),
         ("tokenizer.ggml.model", 8, "bert"), ("tokenizer.ggml.pre", 8, "default"),
         ("tokenizer.ggml.tokens", 88, pieces),
         ("tokenizer.ggml.token_type", 55, [3 if t in special else 1 for t in words]),
         ("tokenizer.ggml.token_type_count", 4, 2), ("tokenizer.ggml.add_bos_token", 7, True),
         ("tokenizer.ggml.add_eos_token", 7, True)]
    for key, word in (("bos", "[CLS]"), ("eos", "[SEP]"), ("cls", "[CLS]"), ("seperator", "[SEP]"),
                      ("padding", "[PAD]"), ("unknown", "[UNK]"), ("mask", "[MASK]")):
        k.append((f"tokenizer.ggml.{key}_token_id", 4, words.index(word)))
    return k


def gguf(source, out):
    header, data = read(source)
    meta = metadata(source)
    tensors, infos, at = [], b"", 0
    for name, t in header.items():
        short = name != "__metadata__" and gguf_name(name)
        if not short:
            continue
        shape = [n for n in t["shape"]][::-1]
        a, b = t["data_offsets"]
        infos += text(short) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        infos += struct.pack("<IQ", 0, at)
        tensors.append(data[a:b])
        at += (b - a + 31) // 32 * 32
    with open(out, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(meta)))
        for key, kind, value in meta:
            f.write(pair(key, kind, value))
        f.write(infos)
        f.write(b"\0" * (-f.tell() % 32))
        for t in tensors:
            f.write(t + b"\0" * (-len(t) % 32))


if __name__ == "__main__":
    folder(*sys.argv[1:3])
    if len(sys.argv) > 3:
        gguf(sys.argv[2], sys.argv[3])
