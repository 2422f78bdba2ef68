#!/usr/bin/env python3
"""Golden data for the rarer parts of tokenizer.json: small tokenizers, trained here on the project's
own text, and the reference library's ids and offsets for texts made of awkward characters.

    pip install tokenizers
    tools/oracle/small_tokenizers.py OUT
"""
import json
import pathlib
import random
import sys

import tokenizers
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors,
                        trainers)

ROOT = pathlib.Path(__file__).parents[2]
POOL = list("aAbBzZ019 \t\n\r'`.,!?-_/\\()[]{}<>|@#$%^&*~+=\u00a0\u3000\u200b\u200d\u0301\u0308\u00e9\u00df\u017f\u0130\u0131"
            "\u00c0\u00c6\u0153\u03bb\u03a3\u03c3\u03c2\u0416\u0436\u05d0\u0628\u4e2d\u6587\u65e5\u672c\u3072\u3089\u30ab\ud55c"
            "\u4e2d\U0001d4b3\U0001f600\U0001f44d\U0001f3fd\u2028\u0085\u00bd\u00b2\u2167\u0663\u0345\ufb01\u2460")
POOL += ["'s", "'LL", "  ", "\n\n", "\r\n", "   ", "123", "the", " the ", "##", "\u2581", "[X] ", "[X]", "words and lines"]


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def byte_level(parts, **more):
    return pre_tokenizers.Sequence(parts + [pre_tokenizers.ByteLevel(**dict(dict(add_prefix_space=False, use_regex=False), **more))])


def bpe_bytes():
    return (Tokenizer(models.BPE()), trainers.BpeTrainer(vocab_size=500, special_tokens=["<s>"], show_progress=False,
                                                         initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))


def unigram():
    return (Tokenizer(models.Unigram()), trainers.UnigramTrainer(vocab_size=400, unk_token="<unk>", show_progress=False,
                                                                special_tokens=["<unk>", "<s>", "</s>"]))


TAIL = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
MARKS = r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
SHORT = "'s|'t|'re|'ve|'m|'ll|'d"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LEAD = r"[^\r\n\p{L}\p{N}]?"
PATTERNS = {
    "llama3": f"(?i:{SHORT})|{LEAD}" + r"\p{L}+|\p{N}{1,3}" + MARKS + TAIL,
    "qwen2": f"(?i:{SHORT})|{LEAD}" + r"\p{L}+|\p{N}" + MARKS + TAIL,
    "o200k": f"{LEAD}{UPPER}*{LOWER}+(?i:{SHORT})?|{LEAD}{UPPER}+{LOWER}*(?i:{SHORT})?" + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL,
    "tekken": f"{LEAD}{UPPER}*{LOWER}+|{LEAD}{UPPER}+{LOWER}*" + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + TAIL,
}


def build():
    for name, pattern in PATTERNS.items():
        tk, trainer = bpe_bytes()
        tk.pre_tokenizer = byte_level([split(pattern)])
        yield name, tk, trainer
    tk, trainer = bpe_bytes()
    tk.pre_tokenizer = byte_level([split(r"\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*""" + TAIL)])
    yield "deepseek3", tk, trainer
    tk, trainer = bpe_bytes()
    tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation(), pre_tokenizers.Digits(True),
                                                pre_tokenizers.ByteLevel(add_prefix_space=True)])
    yield "added", tk, trainer
    tk, trainer = unigram()
    tk.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tk.pre_tokenizer = pre_tokenizers.Metaspace()
    tk.decoder = decoders.Metaspace()
    yield "unigram", tk, trainer
    tk, trainer = unigram()
    tk.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.NFD(), normalizers.StripAccents()])
    tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    yield "unigram-words", tk, trainer
    tk = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    tk.normalizer = normalizers.NFKD()
    tk.pre_tokenizer = pre_tokenizers.Whitespace()
    yield "bpe-words", tk, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>"], show_progress=False)
    tk = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tk.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    tk.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    yield "llama2", tk, trainers.BpeTrainer(vocab_size=700, show_progress=False, special_tokens=["<unk>", "<s>", "</s>"] + [
        f"<0x{b:02X}>" for b in range(256)])
    tk = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=20))
    tk.normalizer = normalizers.BertNormalizer(lowercase=False)
    tk.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tk.decoder = decoders.WordPiece()
    yield "wordpiece-cased", tk, trainers.WordPieceTrainer(vocab_size=400, special_tokens=["[UNK]", "[CLS]", "[SEP]"],
                                                           show_progress=False)


def finish(name, tk):
    if name == "llama2":  # bytes are no added tokens, and nothing splits
        d = json.loads(tk.to_str())
        d["pre_tokenizer"] = None
        d["added_tokens"] = [t for t in d["added_tokens"] if not t["content"].startswith("<0x")]
        tk = Tokenizer.from_str(json.dumps(d))
    if name == "added":
        tk.add_tokens([AddedToken("the", single_word=True, lstrip=True), AddedToken("\u4e2d\u6587", rstrip=True, normalized=True),
                       AddedToken("[X] ", normalized=False)])
    if name == "wordpiece-cased":
        tk.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    if name == "unigram":
        tk.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    return tk


def main():
    out = pathlib.Path(sys.argv[1])
    lines = [line for f in sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("docs/**/*.md")) for line in f.read_text().splitlines()]
    r = random.Random(7)
    texts = ["".join(r.choice(POOL) for _ in range(r.randint(1, 40))) for _ in range(150)]
    lines += texts
    for name, tk, trainer in build():
        tk.train_from_iterator(lines, trainer)
        tk = finish(name, tk)
        cases = [dict(text=t, ids=tk.encode(t).ids) for t in texts]
        golden = dict(name=name, oracle="tokenizers " + tokenizers.__version__, tokenizer=json.loads(tk.to_str()), cases=cases)
        (out / f"small-{name}.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")
        print(name, tk.get_vocab_size(), "pieces", sum(len(c["ids"]) for c in cases), "tokens")


main()
