#!/usr/bin/env python3
"""croft eval retrieval on a cut of XQuAD: numbers by hand, reuse, records, reranking, tuning."""
import json
import math
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import cross_encoder  # noqa: E402
from croft_server import MODELS, Croft, Tap, skip_all  # noqa: E402

DATA = os.path.join(os.environ.get("CROFT_SHARED_DATA", "../shared/data"), "rag", "xquad-en")
if not os.path.exists(DATA):
    skip_all("the shared data are not there (CROFT_SHARED_DATA)")
tap = Tap()
DOCUMENTS, QUERIES = 30, 60


def lines(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as f:
        return f.read().splitlines()


def folder(path, changed=False):
    os.makedirs(os.path.join(path, "qrels"))
    corpus = lines("corpus.jsonl")[:DOCUMENTS]
    if changed:
        d = json.loads(corpus[0])
        d["text"] = "Something else altogether."
        corpus[0] = json.dumps(d)
    ids = {json.loads(d)["_id"] for d in corpus}
    rels = [r.split("\t") for r in lines("qrels.tsv")[1:]]
    rels = [r for r in rels if r[1] in ids]
    wanted = {r[0] for r in rels[:QUERIES]}
    for name, rows in (("corpus.jsonl", corpus),
                       ("queries.jsonl", [q for q in lines("queries.jsonl") if json.loads(q)["_id"] in wanted]),
                       ("qrels/test.tsv", ["query-id\tcorpus-id\tscore"] + ["\t".join(r) for r in rels])):
        with open(os.path.join(path, name), "w", encoding="utf-8") as f:
            f.write("\n".join(rows) + "\n")
    return {r[0]: {r[1]} for r in rels if r[0] in wanted}


def run(c, *args):
    code, out, err = c.cli("eval", "retrieval", *args, "--json", timeout=300)[:3]
    tap.same(code, 0, "croft eval retrieval " + " ".join(args[1:]))
    if code:
        tap.note(err)
        return None
    return json.loads(out)


def ndcg(ranked, relevant):
    """One relevant document for each query, as XQuAD has it."""
    for i, d in enumerate(ranked[:10]):
        if d in relevant:
            return 1 / math.log2(i + 2)
    return 0.0


def progress(c, folder):
    """What a client is told while it waits for the tuner."""
    queries = [json.loads(q) for q in open(os.path.join(folder, "queries.jsonl"), encoding="utf-8")]
    qrels = [r.rstrip("\n").split("\t") for r in open(os.path.join(folder, "qrels", "test.tsv"), encoding="utf-8")][1:]
    digest = c.json("GET", "/api/v1/eval/corpora")[1]["corpora"]
    digest = next(k["digest"] for k in digest if k["name"] == "a")
    body = {"digest": digest, "queries": [{"id": q["_id"], "text": q["text"]} for q in queries],
            "qrels": [[q, d, int(g)] for q, d, g in qrels], "tune": {"trials": 8, "rerank": {"models": ["ce"], "depths": [20]}}}
    status, got = c.request("POST", "/api/v1/eval/retrieval", json.dumps(body).encode())[:2]
    events = [json.loads(e.split("data: ", 1)[1]) for e in got.decode().split("\n\n") if e.startswith("event: progress")]
    tap.ok(status == 200 and events and all(0 < e["done"] <= e["total"] for e in events), "progress is told", got[:300])
    last = events[-1]
    tap.ok(any(e.get("trials") == 8 and 1 <= e["trial"] <= 8 and e["setting"] for e in events)
           and any("hybrid" in e.get("best", "") for e in events), "which trial it is, and the best until then", last)
    bad = {**body, "tune": {"rerank": {"models": [1], "depths": [20]}}}
    got = c.request("POST", "/api/v1/eval/retrieval", json.dumps(bad).encode())[1].decode()
    tap.ok("event: error" in got and "models must be names" in got, "models are names", got)


def main(c, tmp):
    a = os.path.join(tmp, "a")
    rels = folder(a)
    r = run(c, a)
    tap.same([s["method"] for s in r["settings"]], ["hybrid", "dense", "bm25"], "three settings unasked")
    tap.same((r["queries"], r["judged_documents_never_found"]), (QUERIES, 0), "every query, every document")
    hybrid = r["settings"][0]["metrics"]
    tap.ok(hybrid["ndcg_at_10"]["mean"] > 0.9, "the hybrid finds them", hybrid)
    tap.ok(all(m["low"] <= m["mean"] <= m["high"] for m in hybrid.values()), "within their intervals", hybrid)

    files = f"/api/2.0/mlflow-artifacts/artifacts/{r['experiment']}/{r['settings'][2]['run']}/artifacts/per_query.jsonl"
    status, body = c.get(files)[:2]
    rows = [json.loads(x) for x in body.decode().splitlines()]
    tap.same((status, len(rows)), (200, QUERIES), "each query's numbers are a file of the run")
    got = [ndcg([p.removesuffix(".html") for p in row["top"]], rels[row["query"]]) for row in rows]
    tap.ok(all(abs(g - row["ndcg_at_10"]) < 1e-9 for g, row in zip(got, rows)), "nDCG@10 by its formula")
    mean = sum(got) / len(got)
    tap.ok(abs(mean - r["settings"][2]["metrics"]["ndcg_at_10"]["mean"]) < 1e-9, "and its mean", mean)

    status, x = c.json("GET", "/api/2.0/mlflow/runs/get?run_id=" + r["settings"][0]["run"])
    metrics = {m["key"]: m["value"] for m in x["run"]["data"]["metrics"]}
    params = {p["key"]: p["value"] for p in x["run"]["data"]["params"]}
    tap.same(metrics.get("ndcg_at_10"), hybrid["ndcg_at_10"]["mean"], "the run's metric")
    tap.ok(params["method"] == "hybrid" and len(params["embedding.space"]) == 64
           and params["document_set"].startswith("sha256:"), "and what it stands on", params)

    again = run(c, a)
    tap.same([s["metrics"] for s in again["settings"]], [s["metrics"] for s in r["settings"]], "the same numbers again")
    tap.same(c.json("GET", "/api/v1/documents")[1]["total"], 0, "the corpus is not among the documents")
    corpora = c.json("GET", "/api/v1/eval/corpora")[1]["corpora"]
    tap.same([(k["documents"], k["ready"]) for k in corpora], [(DOCUMENTS, True)], "it is kept once")

    b = os.path.join(tmp, "b")
    folder(b, changed=True)
    run(c, b, "-s", "bm25", "--no-record")
    tap.same(len(c.json("GET", "/api/v1/eval/corpora")[1]["corpora"]), 2, "a changed corpus is another one")

    code, out, err = c.cli("eval", "retrieval", a, "-s", "hybrid:rerank=5")[:3]
    tap.ok(code != 0 and "croft pull" in err, "without a cross-encoder it says what to do", err)
    ce = os.path.join(tmp, "ce")
    ce = cross_encoder.folder(os.path.join(MODELS, "minilm"), ce)
    tap.same(c.cli("pull", ce, "--name", "ce")[0], 0, "a cross-encoder is installed")
    reranked = run(c, a, "-s", "hybrid", "-s", "hybrid:rerank=5:model=ce", "-n", "20")
    second = reranked["settings"][1]
    d = second["against_first"]["ndcg_at_10"]
    tap.ok(second["rerank"] == {"model": "ce", "depth": 5, "weight": 1} and 0 < d["p"] <= 1
           and len(second["worse"]) == min(d["worse"], 20), "reranked, compared, the worse ones listed", second)

    half = run(c, a, "-s", "hybrid:rerank=5:model=ce", "-s", "hybrid:rerank=5:model=ce:mix=0.5", "-s", "hybrid:mix=0.25:rerank=8:model=ce",
               "-n", "20", "--no-record")
    tap.same([s["rerank"]["weight"] for s in half["settings"]], [1, 0.5, 0.25], "a cross-encoder weighs as it is said")
    tap.same(half["settings"][0]["metrics"], second["metrics"], "the first as it was alone")
    tap.same((half["pairs"]["kept"] >= 100, 100 <= half["pairs"]["read"] <= 160), (True, True),
             "what was read once is not read again")
    ask = ["--tune", "--trials", "24", "--rerank-depths", "5,10", "--rerank-model", "ce,ce2", "--rerank-weights", "0.5", "-n", "20", "--no-record"]
    tap.same(c.cli("pull", ce, "--name", "ce2")[0], 0, "the same under another name")
    t = run(c, a, *ask)
    tried = {(x["rerank"]["model"], x["rerank"]["depth"]) for x in t["trials"] if x["rerank"]}
    tap.same(tried, {(m, d) for m in ("ce", "ce2") for d in (5, 10)}, "the tuner tries models and depths")
    tap.ok(0 < t["pairs"]["read"] <= 4 * 20 * 10 and t["pairs"]["kept"] >= 2 * 10 * 5, "and reads no pair twice", t["pairs"])
    one = {x["rerank"]["model"]: x["ndcg_at_10"] for x in t["trials"] if x["rerank"] and x["rerank"]["depth"] == 5
           and x["method"] == "hybrid" and x["dense_weight"] == 1 and x["rerank"]["weight"] == 1}
    tap.ok(len(one) == 2 and len(set(one.values())) == 1, "two names of one model are worth the same", one)
    code, out, err = c.cli("eval", "retrieval", a, *ask[:3], "--rerank-depths", "5", "--rerank-model", "ce", "--no-record")[:3]
    tap.ok(code == 0 and "TRIAL" in out and "+rerank 5" in out and all(len(line) <= 80 for line in out.splitlines()),
           "each trial is printed", out + err)
    code, out, err = c.cli("eval", "retrieval", a, "--tune", "--rerank-model", "ce")[:3]
    tap.ok(code != 0 and "--rerank-depths" in err, "models want depths", err)
    progress(c, a)

    t = run(c, a, "--tune", "--trials", "8", "--chunk-tokens", "64")
    tap.same((t["queries"], t["queries_to_tune"], len(t["trials"])), (30, 30, 8), "tuned on one half, measured on the other")
    t2 = run(c, a, "--tune", "--trials", "8", "--chunk-tokens", "64", "--no-record")
    tap.same([x["ndcg_at_10"] for x in t2["trials"]], [x["ndcg_at_10"] for x in t["trials"]], "the same seed, the same trials")
    staged = run(c, a, "-s", "hybrid", "-s", "hybrid:diversity=0.5:halflife=30:filters", "-n", "20", "--no-record")
    second = staged["settings"][1]
    tap.ok(second["diversity"] == 0.5 and second["recency"]["half_life_days"] == 30 and second["derive_filters"]
           and second["metrics"]["mrr_at_10"]["mean"] > 0.8, "stages are measured", second)
    t = run(c, a, "--tune", "--trials", "14", "--diversities", "0.2,0.9", "--stages", "derive_filters", "--no-record")
    tap.same({x.get("diversity", 0) for x in t["trials"]}, {0, 0.2, 0.9}, "the tuner tries diversities")
    tap.ok(any(x.get("derive_filters") for x in t["trials"]), "and stages", t["trials"])
    code, out, err = c.cli("eval", "retrieval", a)[:3]
    tap.ok(code == 0 and all(len(line) <= 80 for line in out.splitlines()), "a table in 80 columns", out)
    tap.same(c.cli("eval", "retrieval", a, "--forget")[0], 0, "--forget")
    tap.same(len(c.json("GET", "/api/v1/eval/corpora")[1]["corpora"]), 1, "and it is gone")

    # reranking in search
    c.request("PUT", "/api/v1/documents/by-path?path=hens.txt", b"Hens eat grain in the yard every day.")
    c.request("PUT", "/api/v1/documents/by-path?path=ponds.txt", b"Ponds freeze in the winter, hens do not swim.")
    ask = {"query": "what do hens eat", "rerank": {"model": "ce", "depth": 10}}
    status, s = c.json("POST", "/api/v1/search", ask)
    tap.ok(status == 200 and sorted(h["rank_before"] for h in s["hits"]) == [1, 2]
           and s["hits"][0]["rerank"] >= s["hits"][1]["rerank"], "search reranks", s)
    status, s = c.json("POST", "/api/v1/search", {"query": "hens", "weights": {"dense": 0}})
    tap.same(status, 400, "weights are above 0")


with tempfile.TemporaryDirectory() as tmp, Croft(models=True) as croft:
    main(croft, tmp)
tap.done()
