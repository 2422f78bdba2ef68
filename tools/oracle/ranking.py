"""Scores of pairs beside transformers' BertForSequenceClassification:
ranking.py ENGINE_DUMP MINILM_FOLDER GOLDEN EMBEDDINGS_GOLDEN

The model is tests/e2e/cross_encoder.py's: MiniLM's weights and a head from a formula. The texts are
those of the embeddings' golden data, and one that is too long. Prints the largest difference and
writes the reference's scores."""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../tests/e2e"))
import cross_encoder  # noqa: E402


def main(dump, minilm, golden, embeddings):
    import torch
    import transformers
    folder = cross_encoder.folder(minilm, os.path.join(tempfile.mkdtemp(), "cross-encoder"))
    texts = json.load(open(embeddings, encoding="utf-8"))["texts"]
    queries, docs = texts[:3], texts[3:43] + [" ".join(texts * 2), ""]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertForSequenceClassification.from_pretrained(folder).eval()
    want, got = [], []
    for q in queries:
        row = []
        for d in docs:
            batch = tokenizer([q], [d], truncation="only_second", max_length=512, return_tensors="pt")
            with torch.no_grad():
                row.append(model(**batch).logits.item())
        want.append(row)
        lines = "\n".join([q] + docs) + "\n"
        got.append([float(x) for x in subprocess.run([dump, "rank", folder], input=lines.encode(), check=True,
                                                     stdout=subprocess.PIPE).stdout.split()])
    worst = max(abs(a - b) for g, w in zip(got, want) for a, b in zip(g, w))
    spread = max(map(max, want)) - min(map(min, want))
    print(f"{len(queries) * len(docs)} pairs: largest difference {worst:.2g}, scores over {spread:.2f}")
    with open(golden, "w", encoding="utf-8") as f:
        json.dump({"reference": f"transformers {transformers.__version__}, torch {torch.__version__}",
                   "queries": queries, "docs": docs, "scores": want}, f, ensure_ascii=False, indent=0)
        f.write("\n")
    if worst > 1e-4:
        sys.exit("more than 0.0001")


if __name__ == "__main__":
    main(*sys.argv[1:5])
