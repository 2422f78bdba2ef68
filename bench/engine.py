"""The engine beside its peers, on the same files, with the same threads, in one run.

    engine.py BENCH_ENGINE SMOLLM2.gguf MINILM_FOLDER MADE ST_PYTHON [REPEATS [ONLY]]

MADE holds the files that tools/oracle/models.py makes; ST_PYTHON has sentence-transformers and ONNX
Runtime ("" leaves them out). Each measurement is a process of its own, ours and theirs in turn; the
medians are printed, their ratio (how many times better ours is), the goal and whether it is met. ONLY
keeps the rows whose name contains it. Run it on an idle machine; `make bench-engine` does."""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

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


THREADS = 2
HERE = os.path.dirname(os.path.abspath(__file__))
ONLY = ""


def run(command):
    out = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True).stdout
    return {r["what"]: r["value"] for r in map(json.loads, out.splitlines())}


def medians(commands, repeats):
    """Of each command, run in turn."""
    seen = [[] for _ in commands]
    for _ in range(repeats):
        for rows, command in zip(seen, commands):
            rows.append(run(command))
    return [{k: statistics.median(x[k] for x in rows) for k in rows[0]} for rows in seen]


def row(what, ours, theirs, unit, goal, less=False):
    ratio = theirs / ours if less else ours / theirs
    print(f"{what:58} {ours:9.1f} {theirs:9.1f} {unit:6} {ratio:6.2f} {goal:5.2f}  {'ok' if ratio >= goal else 'below'}",
          flush=True)


def wanted(what):
    return ONLY in what


# prompt, decode of one stream, of 8, of 32
GOALS = {"135M": {"Q8_0": (2.5, 1.5, 2, 3), "Q4_0": (2.5, 1.6, 2, 3), "Q4_1": (2.5, 1.6, 2, 3),
                  "Q4_K_M": (2.5, 1.6, 2, 3), "BF16": (1.8, 1.3, 1.5, 1.5), "F16": (1.1, 1.3, 1.5, 1.5)},
         "1B": {"Q8_0": (2.5, 1.1, 2, 3), "Q4_0": (2.5, 1.1, 2, 3), "Q4_K_M": (2.5, 1.1, 2, 3),
                "F16": (1.1, 1.1, 1.5, 1.5)}}


def decoder(bench, peer, size, name, path, repeats):
    goals = GOALS[size][name]
    what, few = f"{size} {name}", 16 if size == "1B" else 64
    if wanted(what):
        args = ["generate", path, str(THREADS), "512", str(few), "1"]
        a, b = medians(([bench] + args, peer + args), repeats)
        row(f"{what}, prompt of 512 tokens", a["prompt_tps"], b["prompt_tps"], "tok/s", goals[0])
        row(f"{what}, decode, one stream", a["decode_tps"], b["decode_tps"], "tok/s", goals[1])
        row(f"{what}, resident memory", a["rss_mb"], b["rss_mb"], "MB", 1, less=True)
        row(f"{what}, load", a["load_ms"], b["load_ms"], "ms", 1, less=True)
    for streams, goal in ((8, goals[2]), (32, goals[3])):
        title = f"{what}, decode, {streams} streams"
        if wanted(title):
            args = ["generate", path, str(THREADS), "32", str(few), str(streams)]
            a, b = medians(([bench] + args, peer + args), repeats)
            row(title, a["streams_tps"], b["streams_tps"], "tok/s", goal)


def embedder(bench, peer, st, minilm, made, repeats):
    other = [st, os.path.join(HERE, "engine_embed_peer.py")]
    for tokens in (32, 128, 256):
        for batch in (1, 64):
            title = f"MiniLM, {tokens} tokens, batch {batch}"
            if not wanted(title):
                continue
            args = [str(THREADS), str(tokens), str(batch), "5"]
            # llama.cpp takes at most 32 sequences of 256 tokens in reasonable time: its rate falls with the batch
            theirs = [str(THREADS), str(tokens), str(min(batch, 8)), "3"]
            commands = [[bench, "embed", minilm] + args, [bench, "embed_bf16", minilm] + args, peer + ["embed", f"{made}/minilm-f16.gguf"] + theirs]
            names = ["llama.cpp (F16)"]
            if st:
                commands += [other + ["torch", minilm] + args, other + ["onnx", minilm, made] + args]
                names += ["sentence-transformers", "ONNX Runtime"]
            got = medians(commands, repeats)
            for how, ours in (("f32", got[0]), ("bf16", got[1])):
                for name, theirs, goal in zip(names, got[2:], (3, 2, 1.5)):
                    row(f"{title}, {how} / {name}", ours["embed_sps"], theirs["embed_sps"], "seq/s", goal)


def cold(bench, path, repeats):
    title = "135M, process start to first token"
    if not wanted(title):
        return
    took = []
    for _ in range(max(repeats, 3)):
        start = time.perf_counter()
        run([bench, "generate", path, str(THREADS), "8", "2", "1"])
        took.append((time.perf_counter() - start) * 1000)
    row(f"{title} (goal: 150 ms)", statistics.median(took), 150, "ms", 1, less=True)


def prefix(bench, path, repeats):
    title = "135M, first token, 2,000 tokens seen before"
    if wanted(title):
        got = run([bench, "prefix", path, str(THREADS), "2000", "16", str(max(repeats, 3))])
        row(f"{title} (goal: 5 %)", got["again_percent"], 5, "%", 1, less=True)


def bytes_kept(bench, path, repeats):
    title = "135M, 8 streams after 512 tokens, keys and values"
    if wanted(title):
        args = [path, str(THREADS), "512", "64", "8"]
        q8, f16 = medians(([bench, "generate_q8"] + args, [bench, "generate"] + args), max(repeats, 3))
        row(f"{title}: q8 / f16", q8["streams_tps"], f16["streams_tps"], "tok/s", 0.9)
        row(f"{title}, bytes: q8 / f16", q8["kv_mb"], f16["kv_mb"], "MB", 1.85, less=True)


def adapters(bench, path, repeats):
    """Of all matrices, rank 16, four of them by turns; and of attention alone, rank 8."""
    title = "135M Q8_0, decode, 8 streams, 4 LoRA adapters"
    if not wanted(title):
        return
    sys.path.insert(0, os.path.join(HERE, "..", "tests", "e2e"))
    import lora_files
    with tempfile.TemporaryDirectory() as folder:
        for what, rank, modules, goal in (("attention, rank 8", 8, lora_files.ATTENTION, 0.8),
                                          ("all, rank 16", 16, tuple(lora_files.MODULES), 0.7)):
            made = [lora_files.peft(os.path.join(folder, f"{rank}-{i}"), i, rank, 16, modules) for i in range(4)]
            args = [bench, "generate", path, str(THREADS), "32", "64", "8"]
            some, none = medians((args + made, args), max(repeats, 3))
            row(f"{title}, {what} / none", some["streams_tps"], none["streams_tps"], "tok/s", goal)


def main(bench, smollm2, minilm, made, st="", repeats=3, only=""):
    global ONLY
    ONLY, repeats = only, int(repeats)
    peer = [sys.executable, "-c", PEER]
    print(f"{'what (' + str(THREADS) + ' threads)':58} {'ours':>9} {'peer':>9} {'':6} {'ratio':>6} {'goal':>5}")
    for name in GOALS["135M"]:
        path = smollm2 if name == "Q4_1" else f"{made}/smollm2-{name.lower()}.gguf"
        decoder(bench, peer, "135M", name, path, repeats)
    cold(bench, smollm2, repeats)
    prefix(bench, smollm2, repeats)
    bytes_kept(bench, smollm2, repeats)
    adapters(bench, f"{made}/smollm2-q8_0.gguf", repeats)
    for name in GOALS["1B"]:
        path = f"{made}/random1b-{name.lower()}.gguf"
        if os.path.exists(path):
            decoder(bench, peer, "1B", name, path, repeats)
    embedder(bench, peer, st, minilm, made, repeats)


if __name__ == "__main__":
    main(*sys.argv[1:])
