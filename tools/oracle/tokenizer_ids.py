#!/usr/bin/env python3
"""Golden data for tokenizers: the reference library's ids for the whole of a text collection.

    pip install tokenizers            # for tokenizer.json
    pip install llama-cpp-python      # for GGUF
    CROFT_SHARED_DATA=... tools/oracle/tokenizer_ids.py NAME tokenizer.json|MODEL.gguf OUT [SKIPPED...]

OUT/NAME.json holds for each collection of the shared data the number of documents and tokens and,
in one string, eight hexadecimal digits for each document: the beginning of the SHA-256 of its ids as
little-endian 32-bit integers. Special tokens in the text count, none are added. A few texts are there
with all their ids.
"""
import array
import hashlib
import json
import lzma
import os
import pathlib
import sys
import tarfile

DATA = pathlib.Path(os.environ.get("CROFT_SHARED_DATA", pathlib.Path(__file__).parents[2] / "../shared/data"))
SETS = ["cranfield", "boolq-retrieval", "xquad-en", "xquad-de", "xquad-es", "xquad-zh"]
TEXTS = ["", " ", "Hello, world!", "  two  spaces\n\n\nand lines\r\n", "it's WE'LL don't", "12345678 3.14 \u00bd \u0664\u0665",
         "na\u00efve caf\u00e9 e\u0301 \u1e9b\u0323 \ufb01", "\u4e2d\u6587\u5b57\u3001\u3072\u3089\u304c\u306a \ud55c\uad6d\uc5b4",
         "\U0001f44d\U0001f3fd\u200d\U0001f52c \u2028 \u00a0\u3000x", "def f(x):\n\treturn x**2  # $%&", "<s>[CLS]<|im_start|>user"]


def open_any(path):
    return open(path, encoding="utf-8") if path.exists() else lzma.open(str(path) + ".xz", "rt", encoding="utf-8")


def collections(skipped):
    for name in SETS:
        if name not in skipped:
            with open_any(DATA / "rag" / name / "corpus.jsonl") as f:
                docs = [json.loads(line) for line in f]
            yield name, [(d.get("title") or "") + "\n" + d["text"] for d in docs]
    if "rfc-std" not in skipped:
        with tarfile.open(DATA / "docs/rfc-std.tar.xz") as t:
            yield "rfc-std", [t.extractfile(m).read().decode("utf-8", "replace") for m in t if m.isfile()]


def encoder(path):
    if path.endswith(".gguf"):
        import llama_cpp
        model = llama_cpp.Llama(path, vocab_only=True, verbose=False)
        return ("llama-cpp-python " + llama_cpp.__version__,
                lambda s: model.tokenize(s.encode(), add_bos=False, special=True))
    import tokenizers
    tk = tokenizers.Tokenizer.from_file(path)
    tk.no_padding()
    tk.no_truncation()
    return "tokenizers " + tokenizers.__version__, lambda s: tk.encode(s, add_special_tokens=False).ids


def digest(ids):
    a = array.array("i", ids)
    if sys.byteorder == "big":
        a.byteswap()
    return hashlib.sha256(a.tobytes()).hexdigest()[:8]


def main():
    name, path, out, *skipped = sys.argv[1:]
    oracle, encode = encoder(path)
    golden = dict(name=name, oracle=oracle, texts=[dict(text=t, ids=list(encode(t))) for t in TEXTS], collections=[])
    for title, docs in collections(skipped):
        ids = [encode(d) for d in docs]
        golden["collections"].append(dict(name=title, documents=len(docs), tokens=sum(map(len, ids)),
                                          digests="".join(map(digest, ids))))
        print(name, title, len(docs), "documents", sum(map(len, ids)), "tokens")
    pathlib.Path(out, name + ".json").write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n")


main()
