"""Model files of other types for the oracles and the benchmark, made from the two defaults by the
reference's own tools: models.py SMOLLM2.gguf MINILM_FOLDER OUT [1b]

SmolLM2 as F16, BF16, Q8_0, Q4_0 and Q4_K_M by llama.cpp's quantiser; MiniLM as a BERT GGUF in F16 by
the gguf package. With `1b` a model of Llama 3.2 1B's shape with random weights as well, for speed
alone (6 GB of files)."""
import json
import os
import sys

import numpy as np


def requantise(source, out, stem, names=("f16", "bf16", "q8_0", "q4_0", "q4_k_m")):
    import llama_cpp as ll
    types = {"f32": ll.LLAMA_FTYPE_ALL_F32, "f16": ll.LLAMA_FTYPE_MOSTLY_F16, "bf16": ll.LLAMA_FTYPE_MOSTLY_BF16,
             "q8_0": ll.LLAMA_FTYPE_MOSTLY_Q8_0, "q4_0": ll.LLAMA_FTYPE_MOSTLY_Q4_0, "q4_k_m": ll.LLAMA_FTYPE_MOSTLY_Q4_K_M}
    for name in names:
        ftype = types[name]
        target = os.path.join(out, f"{stem}-{name}.gguf")
        if os.path.exists(target):
            continue
        params = ll.llama_model_quantize_default_params()
        params.ftype = ftype
        params.allow_requantize = True
        params.nthread = 2
        if ll.llama_model_quantize(source.encode(), (target + ".tmp").encode(), params):
            sys.exit(f"llama.cpp could not make {target}")
        os.rename(target + ".tmp", target)


def random_llama(source, target, width=2048, layers=16, heads=32, kv_heads=8, ffn=8192, vocab=128256):
    """Llama 3.2 1B's shape, random weights in F16, the tokenizer of `source` filled up with names."""
    import gguf
    if os.path.exists(target):
        return
    have = gguf.GGUFReader(source)
    field = lambda key: have.fields[f"tokenizer.ggml.{key}"]
    words = [bytes(field("tokens").parts[i]).decode() for i in field("tokens").data]
    merges = [bytes(field("merges").parts[i]).decode() for i in field("merges").data]
    types = [int(field("token_type").parts[i][0]) for i in field("token_type").data]
    more = vocab - len(words)
    w = gguf.GGUFWriter(target + ".tmp", "llama", use_temp_file=False)
    w.add_name("random-1b")
    w.add_context_length(8192)
    w.add_embedding_length(width)
    w.add_block_count(layers)
    w.add_feed_forward_length(ffn)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_rope_dimension_count(width // heads)
    w.add_rope_freq_base(500000.0)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_vocab_size(vocab)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre(bytes(field("pre").parts[field("pre").data[0]]).decode())
    w.add_token_list(words + [f"<|unused_{i}|>" for i in range(more)])
    w.add_token_types(types + [int(gguf.TokenType.UNUSED)] * more)
    w.add_token_merges(merges)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    rng = np.random.default_rng(7)

    def matrix(name, rows, cols):
        data = rng.standard_normal((rows, cols), dtype=np.float32) / np.sqrt(np.float32(cols))
        w.add_tensor(name, data.astype(np.float16))

    def ones(name):
        w.add_tensor(name, np.ones(width, np.float32))

    kv = width // heads * kv_heads
    matrix("token_embd.weight", vocab, width)
    ones("output_norm.weight")
    for i in range(layers):
        ones(f"blk.{i}.attn_norm.weight")
        ones(f"blk.{i}.ffn_norm.weight")
        for name, rows, cols in (("attn_q", width, width), ("attn_k", kv, width), ("attn_v", kv, width),
                                 ("attn_output", width, width), ("ffn_gate", ffn, width), ("ffn_up", ffn, width),
                                 ("ffn_down", width, ffn)):
            matrix(f"blk.{i}.{name}.weight", rows, cols)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.rename(target + ".tmp", target)


NAMES = {"embeddings.word_embeddings": "token_embd", "embeddings.position_embeddings": "position_embd",
         "embeddings.token_type_embeddings": "token_types", "embeddings.LayerNorm": "token_embd_norm"}
LAYER = {"attention.self.query": "attn_q", "attention.self.key": "attn_k", "attention.self.value": "attn_v",
         "attention.output.dense": "attn_output", "attention.output.LayerNorm": "attn_output_norm",
         "intermediate.dense": "ffn_up", "output.dense": "ffn_down", "output.LayerNorm": "layer_output_norm"}


def gguf_name(name):
    stem, kind = name.rsplit(".", 1)
    stem = stem.removeprefix("bert.")
    if stem in NAMES:
        return f"{NAMES[stem]}.{kind}"
    if stem.startswith("encoder.layer."):
        _, _, number, rest = stem.split(".", 3)
        return f"blk.{number}.{LAYER[rest]}.{kind}"
    return None


def bert_gguf(folder, target):
    import gguf
    from safetensors.numpy import load_file
    if os.path.exists(target):
        return
    c = json.load(open(os.path.join(folder, "config.json")))
    w = gguf.GGUFWriter(target + ".tmp", "bert")
    w.add_name("all-MiniLM-L6-v2")
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_layer_norm_eps(c["layer_norm_eps"])
    w.add_causal_attention(False)
    w.add_pooling_type(gguf.PoolingType.MEAN)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    words = [line.rstrip("\n") for line in open(os.path.join(folder, "vocab.txt"), encoding="utf-8")]
    special = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"}
    w.add_tokenizer_model("bert")
    w.add_tokenizer_pre("default")
    w.add_token_list([t if t in special or t.startswith("[unused") else t[2:] if t.startswith("##") else "\u2581" + t
                      for t in words])
    w.add_token_types([gguf.TokenType.CONTROL if t in special else gguf.TokenType.NORMAL for t in words])
    w.add_token_type_count(c["type_vocab_size"])
    w.add_bos_token_id(words.index("[CLS]"))
    w.add_eos_token_id(words.index("[SEP]"))
    w.add_sep_token_id(words.index("[SEP]"))
    w.add_pad_token_id(words.index("[PAD]"))
    w.add_unk_token_id(words.index("[UNK]"))
    w.add_mask_token_id(words.index("[MASK]"))
    w.add_add_bos_token(True)
    w.add_add_eos_token(True)
    for name, data in load_file(os.path.join(folder, "model.safetensors")).items():
        short = gguf_name(name)
        if short is None:
            continue
        half = data.ndim == 2 and "embd" not in short and "token_types" not in short
        w.add_tensor(short, data.astype(np.float16 if half else np.float32))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    os.rename(target + ".tmp", target)


if __name__ == "__main__":
    source, folder, out = sys.argv[1:4]
    os.makedirs(out, exist_ok=True)
    requantise(source, out, "smollm2")
    if "1b" in sys.argv[4:]:
        random_llama(source, os.path.join(out, "random1b-f16.gguf"))
        requantise(os.path.join(out, "random1b-f16.gguf"), out, "random1b", ("q8_0", "q4_0", "q4_k_m"))
    bert_gguf(folder, os.path.join(out, "minilm-f16.gguf"))
