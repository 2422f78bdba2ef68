#!/usr/bin/env python3
"""mask_peer.py WORK CASES: llguidance's time per mask along the texts that bench_mask wrote (pip install
llguidance numpy). Prints for each case: median, 99th percentile and most of us per mask, with a new
matcher and grammar for each text."""
import base64
import json
import sys
import time

import llguidance
import numpy

work = json.load(open(sys.argv[1]))
cases = json.load(open(sys.argv[2]))
tokens = [base64.b64decode(t) for t in work["tokens"]]
by_bytes = {t: i for i, t in enumerate(tokens) if t}
eos = work["eos"] if work["eos"] >= 0 else len(tokens)
if eos == len(tokens):
    tokens.append(b"</s>")


class Tokens:
    """What llguidance wants to know of a tokenizer."""
    eos_token_id = eos
    bos_token_id = None

    def __init__(self):
        # special tokens are those that begin so; empty ones would be an error
        self.tokens = [t or b"\xff<%d>" % i for i, t in enumerate(tokens)]
        self.special_token_ids = [i for i, t in enumerate(tokens) if not t] + [eos]

    def __call__(self, text):
        text, ids = text if isinstance(text, bytes) else text.encode(), []
        while text:
            n = next(n for n in range(min(len(text), 64), 0, -1) if text[:n] in by_bytes)
            ids.append(by_bytes[text[:n]])
            text = text[n:]
        return ids


tk = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Tokens()), n_vocab=len(tokens))
mask = numpy.zeros((len(tokens) + 31) // 32, dtype=numpy.int32)


def grammar(case):
    if case["kind"] == "regex":
        return llguidance.LLMatcher.grammar_from_regex(case["source"])
    if case["kind"] == "schema":
        return llguidance.LLMatcher.grammar_from_json_schema(case["source"])
    return llguidance.LLMatcher.grammar_from_lark(case["peer"])


for case, texts in zip(cases, work["texts"]):
    us = []
    for ids in texts:
        m = llguidance.LLMatcher(tk, grammar(case))
        for i in ids:
            start = time.thread_time_ns()
            m.unsafe_compute_mask_ptr(mask.ctypes.data, mask.nbytes)
            us.append((time.thread_time_ns() - start) / 1e3)
            if m.is_error() or not mask[i // 32] >> (i % 32) & 1 or not m.consume_token(i):
                sys.exit(f"{case['name']}: token {tokens[i]} is refused {m.get_error()}")
    us.sort()
    print(f"{us[len(us) // 2]:.1f}\t{us[len(us) * 99 // 100]:.1f}\t{us[-1]:.1f}")
