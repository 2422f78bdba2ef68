"""An adapter that PEFT itself has trained and written, and what Hugging Face's model says with it:
peft_adapter.py TEST FOLDER GOLDEN_FOLDER

The base is the small Llama that tests/unit/test_engine_adapter.c writes from a formula. The adapter has
ranks and alphas by pattern, rank-stabilised scales, and 60 steps of training on a made-up text."""
import json
import os
import shutil
import subprocess
import sys

import torch
from peft import LoraConfig, __version__, get_peft_model
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

IDS = [(i * 37 + i * i * 11) % 256 for i in range(48)]


def train(model):
    text = torch.tensor([list(b"the quick brown fox jumps over the lazy dog; the dog sleeps. ")])
    model.train()
    step = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for k in range(60):
        loss = model(input_ids=text, labels=text).loss
        loss.backward()
        step.step()
        step.zero_grad()
        if k in (0, 59):
            print(f"step {k}: loss {loss.item():.3f}")


def main(test, folder, golden):
    torch.manual_seed(1)
    os.makedirs(folder, exist_ok=True)
    subprocess.run([test], env={**os.environ, "CROFT_TINY_OUT": folder, "CROFT_TEST_FILTER": "peft"}, check=True,
                   stdout=subprocess.DEVNULL)
    base = LlamaForCausalLM(LlamaConfig.from_pretrained(os.path.join(folder, "llama")))
    lacks = base.load_state_dict(load_file(os.path.join(folder, "llama", "model.safetensors")), strict=False)
    base.tie_weights()
    assert lacks.missing_keys == ["lm_head.weight"] and not lacks.unexpected_keys, lacks
    model = get_peft_model(base, LoraConfig(
        task_type="CAUSAL_LM", r=4, lora_alpha=6, use_rslora=True, rank_pattern={"down_proj": 7, "layers.1.self_attn.k_proj": 2},
        alpha_pattern={"q_proj": 9}, target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]))
    train(model)
    model.eval()
    with torch.no_grad():
        got = model(input_ids=torch.tensor([IDS])).logits[0]
        with model.disable_adapter():
            plain = model(input_ids=torch.tensor([IDS])).logits[0]
    print(f"the adapter changes logits by up to {(got - plain).abs().max().item():.2f}")
    out = os.path.join(folder, "trained")
    model.create_or_update_model_card = lambda *_, **__: None  # a README, which needs Jinja
    model.save_pretrained(out)
    os.makedirs(golden, exist_ok=True)
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(os.path.join(out, name), golden)
    with open(os.path.join(golden, "logits.json"), "w", encoding="utf-8") as f:
        json.dump({"reference": f"peft {__version__}",
                   "logits": [[at, [round(float(v), 4) for v in got[at]]] for at in (0, 1, 20, 47)]},
                  f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
