"""What trec_eval (through pytrec_eval) says of generated judgements and lists, to
tests/golden/eval/trec.jsonl: {"judged": [[document, grade]], "ranked": [...], "want": [nDCG@10, recall@10,
recall@100, MRR@10, MAP, P@10]}.

    pip install pytrec_eval-terrier==0.5.11; python tools/oracle/trec.py
"""
import json
import os
import random

import pytrec_eval

rnd = random.Random(11)
cases = []
while len(cases) < 80:
    documents = list(range(1, rnd.choice([5, 30, 300]) + 1))
    judged = [(d, rnd.choice([0, 0, 1, 1, 2, 3])) for d in rnd.sample(documents, rnd.randint(1, min(40, len(documents))))]
    if not any(g for _, g in judged):
        continue
    ranked = rnd.sample(documents, rnd.randint(0, len(documents)))
    cases.append((judged, ranked))
names = ["ndcg_cut_10", "recall_10", "recall_100", "recip_rank", "map", "P_10"]


def measure(judged, ranked):
    if not ranked:
        return {n: 0.0 for n in names}
    said = pytrec_eval.RelevanceEvaluator({"q": {str(d): g for d, g in judged}}, {"ndcg_cut.10", "recall.10,100", "recip_rank", "map", "P.10"})
    return said.evaluate({"q": {str(d): float(len(ranked) - i) for i, d in enumerate(ranked)}})["q"]


path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "golden", "eval", "trec.jsonl")
os.makedirs(os.path.dirname(path), exist_ok=True)
with open(path, "w", encoding="utf-8") as f:
    for judged, ranked in cases:
        said = measure(judged, ranked)
        said["recip_rank"] = measure(judged, ranked[:10])["recip_rank"]  # MRR@10 looks at ten
        f.write(json.dumps({"judged": judged, "ranked": ranked, "want": [said[n] for n in names]}) + "\n")
