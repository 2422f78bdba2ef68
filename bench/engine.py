"""The engine beside llama.cpp, on the same files, with the same threads, in one run.

    engine.py BENCH_ENGINE SMOLLM2.gguf MINILM_FOLDER MADE [REPEATS]

MADE holds the files that tools/oracle/models.py makes. Each measurement is a process of its own,
ours and theirs in turn; the medians are printed and their ratio (ours over theirs, more is better
for speeds). Run it on an idle machine; `make bench-engine` does."""
import json
import os
import statistics
import subprocess
import sys

PEER = r"""
import ctypes, resource, sys, time
import llama_cpp as ll
mode, path, threads, a, b, c = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7])
quiet = ll.llama_log_callback(lambda level, text, data: None)
ll.llama_log_set(quiet, ctypes.c_void_p(0))
ll.llama_backend_init()
t = time.perf_counter()
model = ll.llama_model_load_from_file(path.encode(), ll.llama_model_default_params())
p = ll.llama_context_default_params()
p.n_threads = p.n_threads_batch = threads
embed = mode == "embed"
p.n_ctx = a * b if embed else (a + b + 8) * c
p.n_batch = p.n_ubatch = max(512, a * b if embed else 512)
p.n_seq_max = b if embed else c
p.embeddings = embed
ctx = ll.llama_init_from_model(model, p)
load = (time.perf_counter() - t) * 1000
vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))
ids = lambda n, seed: [1000 % vocab + (seed * 7919 + i * 104729) % (vocab // 2) for i in range(n)]
def batch(rows):
    bt = ll.llama_batch_init(len(rows), 0, 1)
    bt.n_tokens = len(rows)
    for i, (tok, pos, seq, want) in enumerate(rows):
        bt.token[i] = tok; bt.pos[i] = pos; bt.n_seq_id[i] = 1; bt.seq_id[i][0] = seq; bt.logits[i] = want
    return bt
def show(what, value): print('{"what":"%s","value":%r}' % (what, value))
def argmax(i):
    import numpy as np
    return int(np.ctypeslib.as_array(ll.llama_get_logits_ith(ctx, i), (vocab,)).argmax())
if embed:
    rows = [(t, i, s, 1) for s in range(b) for i, t in enumerate(ids(a, s + 1))]
    bt = batch(rows); best = 1e9
    for k in range(c + 1):
        t = time.perf_counter()
        assert ll.llama_encode(ctx, bt) == 0
        if k: best = min(best, time.perf_counter() - t)
    show("embed_sps", b / best)
else:
    for s in range(c):
        toks = ids(a, s + 1)
        for o in range(0, a, 512):
            part = toks[o:o + 512]
            bt = batch([(t, o + i, s, int(o + i == a - 1)) for i, t in enumerate(part)])
            t = time.perf_counter()
            assert ll.llama_decode(ctx, bt) == 0
            last = argmax(len(part) - 1)
            prompt = time.perf_counter() - t
    cur = [last] * c
    t = time.perf_counter()
    for k in range(b - 1):
        bt = batch([(cur[s], a + k, s, 1) for s in range(c)])
        assert ll.llama_decode(ctx, bt) == 0
        cur = [argmax(s) for s in range(c)]
        ll.llama_batch_free(bt)
    decode = time.perf_counter() - t
    if c == 1:
        show("prompt_tps", min(a, 512) / prompt)
        show("decode_tps", (b - 1) / decode)
    else:
        show("streams_tps", (b - 1) * c / decode)
show("load_ms", load)
show("rss_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def run(command):
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    return {r["what"]: r["value"] for r in map(json.loads, out.splitlines())}


def pairs(ours, theirs, repeats):
    a, b = [], []
    for _ in range(repeats):
        a.append(run(ours))
        b.append(run(theirs))
    return {k: (statistics.median(x[k] for x in a), statistics.median(x[k] for x in b)) for k in a[0]}


def row(what, ours, theirs, unit, more_is_better=True, goal=1 / 1.5):
    ratio = ours / theirs if more_is_better else theirs / ours
    print(f"{what:44} {ours:9.1f} {theirs:9.1f} {unit:5} {ratio:6.2f}  {'ok' if ratio >= goal else 'below'}", flush=True)


def main(bench, smollm2, minilm, made, repeats=3):
    repeats = int(repeats)
    peer = [sys.executable, "-c", PEER]
    print(f"{'what':44} {'croft':>9} {'llama.cpp':>9} {'':5} {'ratio':>6}  goal 0.67 (within 1.5x)")
    files = {"Q4_1": smollm2, "Q4_0": f"{made}/smollm2-q4_0.gguf", "Q8_0": f"{made}/smollm2-q8_0.gguf",
             "Q4_K_M": f"{made}/smollm2-q4_k_m.gguf", "F16": f"{made}/smollm2-f16.gguf"}
    for name, path in files.items():
        if not os.path.exists(path):
            continue
        for threads in (1, 2):
            args = ["generate", path, str(threads), "512", "64", "1"]
            r = pairs([bench] + args, peer + args, repeats)
            row(f"SmolLM2-135M {name}, {threads} thread(s), prompt 512", *r["prompt_tps"], "tok/s")
            row(f"SmolLM2-135M {name}, {threads} thread(s), decode", *r["decode_tps"], "tok/s")
        print(f"  load {r['load_ms'][0]:.0f} ms (theirs {r['load_ms'][1]:.0f}), "
              f"resident {r['rss_mb'][0]:.0f} MB (theirs {r['rss_mb'][1]:.0f})")
    args = ["generate", smollm2, "2", "32", "64", "8"]
    r = pairs([bench] + args, peer + args, repeats)
    row("SmolLM2-135M Q4_1, 2 threads, 8 streams", *r["streams_tps"], "tok/s")
    theirs = f"{made}/minilm-f16.gguf"
    for tokens, batch in ((32, 1), (128, 1), (128, 8), (256, 1)):
        args = ["2", str(tokens), str(batch), "5"]
        r = pairs([bench, "embed", minilm] + args, peer + ["embed", theirs] + args, repeats)
        row(f"MiniLM, {tokens} tokens, batch {batch} (theirs F16)", *r["embed_sps"], "seq/s")


if __name__ == "__main__":
    main(*sys.argv[1:])
