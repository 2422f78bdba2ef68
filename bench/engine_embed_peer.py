"""Embeddings by the peers of PyTorch and ONNX Runtime, for bench/engine.py:

    engine_embed_peer.py torch FOLDER THREADS TOKENS BATCH CALLS
    engine_embed_peer.py onnx FOLDER MADE THREADS TOKENS BATCH CALLS

The model's body and mean pooling over ready token ids, in f32; MADE keeps the exported graph."""
import os
import sys
import time


def rate(call, batch, calls):
    best = 1e9
    for k in range(calls + 1):  # the first one warms up
        start = time.perf_counter()
        call()
        if k:
            best = min(best, time.perf_counter() - start)
    print('{"what":"embed_sps","value":%r}' % (batch / best))


def inputs(tokens, batch):
    import torch
    ids = torch.tensor([[1000 + (s * 7919 + i * 104729) % 20000 for i in range(tokens)] for s in range(batch)])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}


def by_torch(folder, threads, tokens, batch, calls):
    import torch
    from sentence_transformers import SentenceTransformer
    torch.set_num_threads(threads)
    model = SentenceTransformer(folder, device="cpu")
    features = inputs(tokens, batch)
    with torch.inference_mode():
        rate(lambda: model.forward(dict(features))["sentence_embedding"], batch, calls)


def export(folder, target):
    import torch
    from transformers import AutoModel
    model = AutoModel.from_pretrained(folder).eval()
    some = inputs(16, 2)
    axes = {name: {0: "batch", 1: "tokens"} for name in [*some, "hidden"]}
    torch.onnx.export(model, tuple(some[k] for k in ("input_ids", "attention_mask", "token_type_ids")), target + ".tmp",
                      input_names=["input_ids", "attention_mask", "token_type_ids"], output_names=["hidden", "pooled"],
                      dynamic_axes=axes, opset_version=14)
    os.rename(target + ".tmp", target)


def by_onnx(folder, made, threads, tokens, batch, calls):
    target = os.path.join(made, "minilm.onnx")
    if not os.path.exists(target):
        export(folder, target)
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(target, options, providers=["CPUExecutionProvider"])
    features = {k: v.numpy() for k, v in inputs(tokens, batch).items()}
    rate(lambda: session.run(["hidden"], features)[0].mean(axis=1), batch, calls)


if __name__ == "__main__":
    mode, folder, *rest = sys.argv[1:]
    if mode == "torch":
        by_torch(folder, *map(int, rest))
    else:
        by_onnx(folder, rest[0], *map(int, rest[1:]))
