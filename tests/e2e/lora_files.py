"""LoRA adapters of SmolLM2-135M with values from a seed, in both formats; standard library only.

    lora_files.peft(folder, seed=1, rank=8)       adapter_config.json, adapter_model.safetensors
    lora_files.gguf(path, seed=1, rank=8)         the same adapter as a GGUF file
"""
import array
import json
import os
import random
import struct
import sys

WIDTH, FFN, LAYERS, HEADS, KV_HEADS, HEAD = 576, 1536, 30, 9, 3, 64
# PEFT's name, GGUF's name, rows (outputs), columns (inputs), heads whose rows GGUF has in pairs
MODULES = {
    "q_proj": ("self_attn.q_proj", "attn_q", HEADS * HEAD, WIDTH, HEADS),
    "k_proj": ("self_attn.k_proj", "attn_k", KV_HEADS * HEAD, WIDTH, KV_HEADS),
    "v_proj": ("self_attn.v_proj", "attn_v", KV_HEADS * HEAD, WIDTH, 0),
    "o_proj": ("self_attn.o_proj", "attn_output", WIDTH, HEADS * HEAD, 0),
    "gate_proj": ("mlp.gate_proj", "ffn_gate", FFN, WIDTH, 0),
    "up_proj": ("mlp.up_proj", "ffn_up", FFN, WIDTH, 0),
    "down_proj": ("mlp.down_proj", "ffn_down", WIDTH, FFN, 0),
}
ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
SIZE = 0.08


def values(seed, name, n):
    r = random.Random(f"{seed} {name}")
    return array.array("f", (SIZE * (r.random() - 0.5) for _ in range(n)))


def matrices(seed, rank, modules):
    """(module, layer, A [rank][columns], B [rows][rank]), rows in Hugging Face's order."""
    for layer in range(LAYERS):
        for m in modules:
            _, _, rows, cols, _ = MODULES[m]
            yield (m, layer, values(seed, f"{layer} {m} a", rank * cols),
                   values(seed, f"{layer} {m} b", rows * rank))


def config(seed, rank, alpha, modules):
    return {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha, "bias": "none",
            "target_modules": list(modules), "base_model_name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct",
            "fan_in_fan_out": False, "use_dora": False, "use_rslora": False, "modules_to_save": None,
            "rank_pattern": {}, "alpha_pattern": {}, "init_lora_weights": True, "inference_mode": True}


def peft(folder, seed, rank=8, alpha=16, modules=ATTENTION):
    header, data, at = {}, [], 0
    for m, layer, a, b in matrices(seed, rank, modules):
        hf, _, rows, cols, _ = MODULES[m]
        for end, shape, v in (("A", [rank, cols], a), ("B", [rows, rank], b)):
            name = f"base_model.model.model.layers.{layer}.{hf}.lora_{end}.weight"
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + 4 * len(v)]}
            data.append(v)
            at += 4 * len(v)
    head = json.dumps(header).encode()
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "adapter_config.json"), "w", encoding="utf-8") as f:
        json.dump(config(seed, rank, alpha, modules), f)
    with open(os.path.join(folder, "adapter_model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for v in data:
            v.tofile(f)
    return folder


def in_pairs(b, rank, heads):
    """B's rows where a Llama-family GGUF has them: (i, i + half) of a head become (2i, 2i + 1)."""
    out, half = array.array("f"), HEAD // 2
    for h in range(heads):
        for i in range(half):
            for j in range(2):
                row = h * HEAD + j * half + i
                out.extend(b[row * rank:(row + 1) * rank])
    return out


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def gguf(path, seed, rank=8, alpha=16, modules=ATTENTION):
    keys = b"".join(text(k) + struct.pack("<I", 8) + text(v) for k, v in (
        ("general.architecture", "llama"), ("general.type", "adapter"), ("adapter.type", "lora")))
    keys += text("adapter.lora.alpha") + struct.pack("<If", 6, alpha)
    infos, data, at, n = b"", [], 0, 0
    for m, layer, a, b in matrices(seed, rank, modules):
        _, name, rows, cols, heads = MODULES[m]
        b = in_pairs(b, rank, heads) if heads else b
        for end, dims, v in (("a", (cols, rank), a), ("b", (rank, rows), b)):
            infos += text(f"blk.{layer}.{name}.weight.lora_{end}") + struct.pack("<IQQIQ", 2, *dims, 0, at)
            data.append(v)
            at += (4 * len(v) + 31) // 32 * 32
            n += 1
    with open(path, "wb") as f:
        head = b"GGUF" + struct.pack("<IQQ", 3, n, 4) + keys + infos
        f.write(head + bytes(-len(head) % 32))
        for v in data:
            v.tofile(f)
            f.write(bytes(-4 * len(v) % 32))
    return path


if __name__ == "__main__":  # lora_files.py FOLDER|FILE.gguf SEED
    (gguf if sys.argv[1].endswith(".gguf") else peft)(sys.argv[1], int(sys.argv[2]), alpha=32)
