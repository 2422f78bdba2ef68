"""LoRA adapters beside llama.cpp's and beside merged weights: adapters.py ENGINE_DUMP TEST FOLDER GOLDEN MODEL...

Small models and adapters of every family are written by tests/unit/test_engine_adapter.c from a formula; what
llama.cpp says of them with `lora_path` is recorded. Then, on SmolLM2: an adapter of all matrices, in both
formats, beside llama.cpp's answer on each MODEL, and beside W + scale * B A computed here and loaded as a
plain model in F32."""
import ctypes
import functools
import glob
import json
import os
import shutil
import subprocess
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "e2e"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import lora_files  # noqa: E402
from logits import TEXT, log_softmax  # noqa: E402

SEED, RANK, ALPHA = 11, 8, 16
ALL = tuple(lora_files.MODULES)


@functools.cache
def quiet():
    """It says for every matrix of an adapter where that is kept."""
    import llama_cpp
    return llama_cpp.llama_log_callback(lambda level, text, data: None)


def llama(path, lora, ids, n_ctx=512):
    import llama_cpp
    llama_cpp.llama_log_set(quiet(), ctypes.c_void_p(0))
    m = llama_cpp.Llama(path, lora_path=lora, n_ctx=n_ctx, n_batch=n_ctx, n_threads=2, logits_all=True, verbose=False)
    ids = ids if ids is not None else m.tokenize(TEXT.encode(), add_bos=False)
    m.eval(ids)
    return ids, np.array(m.scores[:len(ids)], dtype=np.float64)


def ours(dump, path, adapter, ids):
    out = subprocess.run([dump, "logits", path] + ([adapter] if adapter else []), stdout=subprocess.PIPE, check=True,
                         input=("\n".join(map(str, ids)) + "\n").encode()).stdout
    return np.frombuffer(out, dtype=np.float32).reshape(len(ids), -1).astype(np.float64)


def small(test, folder, golden):
    import llama_cpp
    os.makedirs(folder, exist_ok=True)
    subprocess.run([test], env={**os.environ, "CROFT_TINY_OUT": folder, "CROFT_TEST_FILTER": "merged"}, check=True,
                   stdout=subprocess.DEVNULL)
    ids = [(i * 37 + i * i * 11) % 256 for i in range(48)]
    out = {"reference": f"llama-cpp-python {llama_cpp.__version__}"}
    for path in sorted(glob.glob(os.path.join(folder, "*-*.gguf"))):
        name = os.path.basename(path)[:-5]
        family, spec = name.split("-", 1)
        if "merged" in spec or spec == "patterns":  # GGUF has one alpha for all: PEFT alone has patterns
            continue
        _, scores = llama(os.path.join(folder, family + ".gguf"), path, ids, 64)
        out[name] = [[at, [round(float(v), 4) for v in scores[at]]] for at in (0, 1, 20, 47)]
        print(f"{name}: largest logit {np.abs(scores).max():.3f}")
    with open(golden, "w", encoding="utf-8") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


def merged(source, target):
    """A copy of the F32 model with scale * B A added to every matrix."""
    import gguf
    shutil.copyfile(source, target)
    tensors = {t.name: t.data for t in gguf.GGUFReader(target, "r+").tensors}
    for m, layer, a, b in lora_files.matrices(SEED, RANK, ALL):
        _, name, rows, cols, heads = lora_files.MODULES[m]
        b = np.array(lora_files.in_pairs(b, RANK, heads) if heads else b, dtype=np.float64).reshape(rows, RANK)
        a = np.array(a, dtype=np.float64).reshape(RANK, cols)
        w = tensors[f"blk.{layer}.{name}.weight"]
        w[:] = (w + ALPHA / RANK * (b @ a)).astype(np.float32)
    return target


def compare(what, want, got):
    p, q = log_softmax(want), log_softmax(got)
    kl = (np.exp(p) * (p - q)).sum(axis=1)
    same = (want.argmax(axis=1) == got.argmax(axis=1)).mean()
    print(f"{what:52} {np.abs(want - got).max():10.4f} {kl.mean():10.2e} {kl.max():10.2e} {same:9.1%}")
    return kl.mean()


def main(dump, test, folder, golden, models):
    import models as made
    small(test, os.path.join(folder, "small"), golden)
    made.requantise(models[0], folder, "smollm2", ("f32",))
    f32 = os.path.join(folder, "smollm2-f32.gguf")
    peft = lora_files.peft(os.path.join(folder, "smollm2-peft"), SEED, RANK, ALPHA, ALL)
    lora = lora_files.gguf(os.path.join(folder, "smollm2-lora.gguf"), SEED, RANK, ALPHA, ALL)
    whole = merged(f32, os.path.join(folder, "smollm2-merged.gguf"))
    print(f"{'':52} {'max |diff|':>10} {'mean KL':>10} {'max KL':>10} {'same top':>9}")
    ids, base = llama(f32, None, None)
    _, want = llama(whole, None, ids)
    compare("f32: what the adapter changes (llama.cpp)", base, want)
    worst = max(compare("f32: merged by numpy in llama.cpp, PEFT here", want, ours(dump, f32, peft, ids)),
                compare("f32: merged by numpy in llama.cpp, GGUF here", want, ours(dump, f32, lora, ids)),
                compare("f32: merged by numpy here, PEFT here", ours(dump, whole, None, ids), ours(dump, f32, peft, ids)))
    for path in models:
        name = os.path.basename(path)
        compare(f"{name}: llama.cpp with lora_path, GGUF here", llama(path, lora, ids)[1], ours(dump, path, lora, ids))
    if worst > 1e-3:
        sys.exit("the adapter is not the merged model")


if __name__ == "__main__":
    main(*sys.argv[1:5], sys.argv[5:])
