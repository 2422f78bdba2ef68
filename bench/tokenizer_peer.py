#!/usr/bin/env python3
"""tokenizer_peer.py tokenizer.json TEXTS.jsonl: the reference library on one thread (pip install tokenizers)."""
import json
import os
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
import tokenizers  # noqa: E402

tk = tokenizers.Tokenizer.from_file(sys.argv[1])
tk.no_padding()
tk.no_truncation()
texts = [json.loads(line) for line in open(sys.argv[2], encoding="utf-8")]
size = sum(len(t.encode()) for t in texts)
best = 1e30
for _ in range(2):
    start = time.process_time()
    n = sum(len(tk.encode(t, add_special_tokens=False).ids) for t in texts)
    best = min(best, time.process_time() - start)
print(f"tokenizers {tokenizers.__version__}: {size / 1e6 / best:8.2f} MB/s  {len(texts)} texts, {n} tokens")
