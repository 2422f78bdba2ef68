"""XLM-RoBERTa beside transformers: xlmr.py ENGINE_DUMP GOLDEN

A small XLMRobertaForSequenceClassification with weights from a formula (tests/unit/test_engine_rank.c has
the same) and a unigram tokenizer trained on a few sentences. Records tokenizer, config, scores of pairs and
the mean-pooled vectors of the same model without its head."""
import json
import os
import subprocess
import sys
import tempfile

TEXTS = ["The hens eat grain, grass and insects in the yard.", "A croft is a small farm that one family works.",
         "Die Hühner fressen Körner und Gras auf dem Hof.", "Les poules mangent du grain et de l'herbe.",
         "Barley is sown in April, and cut in September.", "What do hens eat?", "Was fressen Hühner?",
         "When is barley cut?", "雌鶏は穀物と草を食べます。", "куры едят зерно и траву", "x", "  two  spaces  ", ""]
MASK = (1 << 64) - 1
VOCAB, PAD, POSITIONS = 400, 1, 66


def value(name, i):
    """As tests/tiny_model.h has it."""
    z = 0xcbf29ce484222325
    for c in name.encode():
        z = (z ^ c) * 0x100000001b3 & MASK
    z = z + (i + 1) * 0x9E3779B97F4A7C15 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    z ^= z >> 31
    v = (z >> 40) * 2.0 ** -24 - 0.5
    return 1 + 0.4 * v if name.endswith("LayerNorm.weight") else v


def tokenizer():
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers, Regex
    tk = Tokenizer(models.Unigram())
    tk.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tk.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tk.decoder = decoders.Metaspace()
    tk.train_from_iterator(TEXTS * 3, trainers.UnigramTrainer(
        vocab_size=VOCAB, unk_token="<unk>", special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False))
    tk.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tk


def main(dump, golden):
    import torch
    import transformers
    from safetensors.torch import save_file
    folder = tempfile.mkdtemp()
    tk = tokenizer()
    config = transformers.XLMRobertaConfig(
        vocab_size=tk.get_vocab_size(), hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
        max_position_embeddings=POSITIONS, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=PAD, num_labels=1)
    model = transformers.XLMRobertaForSequenceClassification(config).eval()
    state = {}
    for name, t in model.state_dict().items():
        if not name.endswith("position_ids"):
            state[name] = torch.tensor([value(name, i) for i in range(t.numel())], dtype=torch.float32).reshape(t.shape)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(n.endswith("position_ids") for n in missing), (missing, unexpected)
    told = json.loads(config.to_json_string(use_diff=False))
    told = {k: told[k] for k in ("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                                 "intermediate_size", "max_position_embeddings", "type_vocab_size", "layer_norm_eps",
                                 "pad_token_id", "hidden_act", "position_embedding_type")}
    told.update(architectures=["XLMRobertaForSequenceClassification"], id2label={"0": "LABEL_0"})
    with open(os.path.join(folder, "config.json"), "w") as f:
        json.dump(told, f)
    tk.save(os.path.join(folder, "tokenizer.json"))
    save_file(state, os.path.join(folder, "model.safetensors"))
    queries, docs = TEXTS[5:8], TEXTS + [" ".join(TEXTS)]
    want, ids = [], []
    tk.enable_truncation(POSITIONS - PAD - 1, strategy="only_second")
    for q in queries:
        row = []
        for d in docs:
            e = tk.encode(q, d)
            ids.append(e.ids)
            with torch.no_grad():
                row.append(model(torch.tensor([e.ids])).logits.item())
        want.append(row)
    tk.no_truncation()
    vectors = []
    for t in docs[:-1]:
        with torch.no_grad():
            x = model.roberta(torch.tensor([tk.encode(t).ids])).last_hidden_state[0].mean(0)
        vectors.append([round(v, 7) for v in (x / x.norm()).tolist()])
    got = [[float(x) for x in subprocess.run([dump, "rank", folder], input=("\n".join([q] + docs) + "\n").encode(),
                                             check=True, stdout=subprocess.PIPE).stdout.split()] for q in queries]
    worst = max(abs(a - b) for g, w in zip(got, want) for a, b in zip(g, w))
    spread = max(map(max, want)) - min(map(min, want))
    print(f"{len(queries) * len(docs)} pairs: largest difference {worst:.2g}, scores over {spread:.2f}")
    with open(golden, "w", encoding="utf-8") as f:
        json.dump({"reference": f"transformers {transformers.__version__}, torch {torch.__version__}", "config": told,
                   "tokenizer": json.loads(tk.to_str()), "names": {n: list(t.shape) for n, t in state.items()},
                   "queries": queries, "docs": docs, "ids": ids, "scores": want, "vectors": vectors},
                  f, ensure_ascii=False, separators=(",", ":"))
        f.write("\n")
    if worst > 1e-4:
        sys.exit("more than 0.0001")


if __name__ == "__main__":
    main(*sys.argv[1:3])
