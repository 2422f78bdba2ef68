#!/usr/bin/env python3
"""A collection of paragraphs moves from MiniLM to BGE and back: real models on real questions. Beside it lie
words, sparse vectors and lists of vectors, which must not notice. What the judged queries give in each space is
computed here anew; no text is embedded twice, on the way back, in a branch, or in another collection."""
import json
import math
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, MODELS, Tap, skip_all  # noqa: E402

DATA = os.path.join(os.environ.get("CROFT_SHARED_DATA", os.path.join(os.path.dirname(__file__), "../../../shared/data")), "rag", "xquad-en")
SECOND = os.path.join(MODELS, "bge-small")
if not os.path.exists(DATA):
    skip_all(f"there is no {DATA} (CROFT_SHARED_DATA)")
if not os.path.exists(os.path.join(SECOND, "model.safetensors")):
    skip_all(f"there is no {SECOND} (tools/models.sh; it comes by Maven)")

tap = Tap()
A, B, PARAGRAPHS, QUESTIONS = "all-minilm-l6-v2", "bge-small-en-v1.5", 70, 80
BGE_QUERY = "Represent this sentence for searching relevant passages: "
rnd = random.Random(3)
PATH = "/api/v1/collections/wiki"


def lines(name):
    with open(os.path.join(DATA, name), encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def until(seconds, condition):
    end = time.time() + seconds
    while time.time() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


def ndcg10(ranked, right):
    """One paragraph is right."""
    return 1 / math.log2(ranked.index(right) + 2) if right in ranked[:10] else 0


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def sparse(text):
    return {"indices": sorted({len(w) for w in text.split()}), "values": [1.0 + len(w) % 3 for w in sorted(set(text.split()))][:len({len(w) for w in text.split()})]}


def tokens(text):
    r = random.Random(text)
    return [[round(r.uniform(-1, 1), 3) for _ in range(4)] for _ in range(3)]


with Croft(models=True) as c:
    rc, out, err = c.cli("pull", os.path.realpath(SECOND), "--name", B)
    tap.ok(rc == 0, "the second model is installed from its folder", out + err)

    def call(method, tail, body=None, path=PATH):
        return c.json(method, path + tail, body)

    def state(path=PATH):
        return call("GET", "/migrations", path=path)[1]["migrations"][0]

    def ids(path=PATH, **body):
        status, reply = call("POST", "/search", {"k": 100, **body}, path)
        assert status == 200, reply
        return [h["id"] for h in reply["hits"]]

    def embed(model, text, kind=None):
        body = {"model": model, "input": text, **({"input_type": kind} if kind else {})}
        return c.json("POST", "/v1/embeddings", body)[1]["data"][0]["embedding"]

    # what stands before a query of BGE
    q = "Who won the game?"
    as_query, by_hand, plain = embed(B, q, "query"), embed(B, BGE_QUERY + q), embed(B, q)
    tap.ok(cosine(as_query, by_hand) > 0.999999 and cosine(plain, by_hand) < 0.999, "a query gets what BGE wants before it")
    tap.ok(cosine(embed(B, q, "document"), plain) > 0.999999, "a document nothing")
    tap.ok(cosine(embed(A, q, "query"), embed(A, q)) > 0.999999, "MiniLM wants nothing")
    status, reply = c.json("POST", "/v1/embeddings", {"model": B, "input": q, "input_type": "clustering"})
    tap.ok(status == 400 and "input_type" in reply["error"]["message"], "another input_type is refused by name", reply)

    # paragraphs that MiniLM can read
    status, reply = call("PUT", "", {
        "vectors": {"text": {"model": A}, "parts": {"size": 4, "distance": "Cosine", "multivector_config": {"comparator": "max_sim"}}},
        "sparse_vectors": {"lengths": {"modifier": "idf"}}, "keyword": {"fields": {"body": {}}}})
    tap.same(status, 200, "a collection with a model, lists of vectors, sparse ones and words")
    texts = {}
    for d in lines("corpus.jsonl"):
        if len(texts) == PARAGRAPHS:
            break
        i = int(d["_id"][1:])
        item = {"id": i, "text": d["text"], "vector": {"parts": tokens(d["text"]), "lengths": sparse(d["text"])},
                "payload": {"title": d["title"], "body": d["text"], "even": i % 2 == 0}}
        if call("PUT", "/items", {"items": [item]})[0] == 200:
            texts[i] = d["text"]
    with open(os.path.join(DATA, "qrels.tsv"), encoding="utf-8") as f:
        right = {r[0]: int(r[1][1:]) for r in (line.split() for line in list(f)[1:]) if int(r[1][1:]) in texts}
    asked = [q for q in lines("queries.jsonl") if q["_id"] in right]
    asked = rnd.sample(asked, QUESTIONS)

    other = [{"space": "lengths", "vector": sparse(q["text"])} for q in asked[:5]] + \
            [{"space": "parts", "vector": tokens(q["text"])} for q in asked[:5]] + \
            [{"mode": "keyword", "text": q["text"]} for q in asked[:5]]

    def beside():
        return [ids(**o) for o in other]

    def ask(space):
        return {q["_id"]: ids(text=q["text"], space=space) for q in asked}

    there = beside()
    tap.ok(all(len(h) > 5 for h in there), "all of them are searched")
    first = ask("text")
    status, reply = call("POST", "/migrations", {"to": B, "space": "text", "shadow": 1})
    tap.same(status, 200, "the texts move")
    during, seen = [], set()
    while not seen or "preparing" in seen and state()["state"] == "preparing":
        seen.add(state()["state"])
        during.append(beside())
        time.sleep(0.1)
        if len(during) > 60:
            break
    tap.ok(all(d == there for d in during), f"what lies beside it is found as before, {len(during)} times meanwhile")
    tap.ok(until(60, lambda: state()["state"] == "ready"), "it is ready", state())
    tap.same([state()["embedded"], state()["known"], state()["failed"]], [PARAGRAPHS, 0, 0], "each text was embedded once")
    tap.same(ask("text"), first, "MiniLM answers as before")

    # the vector in the space that follows is that of a document
    q = asked[0]
    hits = call("POST", "/search", {"text": q["text"], "space": "text:next", "k": 100})[1]["hits"]
    want = {h["id"]: cosine(embed(B, q["text"], "query"), embed(B, texts[h["id"]], "document")) for h in hits[:5]}
    tap.ok(all(abs(h["score"] - want[h["id"]]) < 2e-4 for h in hits[:5]), "scores are those of a query and of documents", [hits[:5], want])

    # judged queries, by the command, and here
    second = ask("text:next")
    folder = os.path.join(c.home, "judged")
    os.makedirs(folder)
    with open(os.path.join(folder, "queries.jsonl"), "w") as f:
        f.writelines(json.dumps(q) + "\n" for q in asked)
    with open(os.path.join(folder, "qrels.tsv"), "w") as f:
        f.write("query-id\tcorpus-id\tscore\n")
        f.writelines(f"{q['_id']}\t{right[q['_id']]}\t1\n" for q in asked)
    rc, out, err = c.cli("eval", "migration", "wiki", folder, "--space", "text")
    tap.ok(rc == 0 and "nDCG@10" in out, "croft eval migration measures both", out + err)
    said = {m["metric"]: m for m in state()["judged"]["metrics"]}["nDCG@10"]
    mine = [sum(ndcg10(r[q], right[q]) for q in r) / QUESTIONS for r in (first, second)]
    tap.ok(abs(said["from"]["mean"] - mine[0]) < 1e-4 and abs(said["to"]["mean"] - mine[1]) < 1e-4, "with the nDCG that is computed here", [said, mine])
    tap.ok(abs(said["difference"]["mean"] - (mine[1] - mine[0])) < 1e-4 and
           said["difference"]["low"] <= said["difference"]["mean"] <= said["difference"]["high"], "and the paired difference", said)
    tap.ok(min(mine) > 0.9, f"both models answer these questions ({mine[0]:.4f}, {mine[1]:.4f})")

    # shadow queries, filtered ones too
    before = (state()["agreement"] or {"queries": 0})["queries"]
    filtered = {"must": [{"key": "even", "match": {"value": True}}]}
    pairs = [(ids(text=q["text"], space="text", filter=filtered, k=10), ids(text=q["text"], space="text:next", filter=filtered, k=10)) for q in asked[:20]]
    tap.ok(all(set(a) | set(b) <= {i for i in texts if i % 2 == 0} for a, b in pairs), "filters hold in both spaces")
    tap.ok(until(20, lambda: state()["agreement"]["queries"] >= before + 20), "filtered queries are compared too", state()["agreement"])

    # back and forth: the same answers, nothing is embedded again, nothing beside it moves
    tap.same(call("POST", "/migrations/cutover", {})[0], 200, "cut over")
    tap.same([ask("text"), beside()], [second, there], "BGE answers, and what lies beside it stays")
    tap.same(call("POST", "/migrations/back", {})[0], 200, "back")
    tap.same([ask("text"), beside()], [first, there], "MiniLM answers, and what lies beside it stays")
    tap.same([call("POST", "/migrations/cutover", {})[0], call("POST", "/migrations/drop", {})[0]], [200, 200], "cut over for good")
    tap.ok(until(20, lambda: call("POST", "/migrations", {"to": A, "space": "text"})[0] == 200), "and to MiniLM again")
    tap.ok(until(20, lambda: state()["state"] == "ready"), "which is ready", state())
    tap.same([state()["embedded"], state()["known"]], [0, PARAGRAPHS], "without embedding a text again")
    tap.same([call("POST", "/migrations/cutover", {})[0], call("POST", "/migrations/drop", {})[0]], [200, 200], "cut over")
    tap.same([ask("text"), beside()], [first, there], "all is as it was in the beginning")

    # nor in a branch, nor in another collection with the same texts
    tap.same(call("POST", "/versions", {"message": "MiniLM"})[0], 200, "a version")
    status, reply = call("POST", "/branch", {"to": "wiki-branch"})
    tap.same(status, 200, "a branch")
    branch = "/api/v1/collections/wiki-branch"
    some = rnd.sample(sorted(texts), 40)
    status, reply = c.json("PUT", branch + "/items", {"items": [{"id": 1000 + i, "text": texts[i]} for i in some]})
    tap.same(status, 200, "the branch gets some texts once more")
    status, reply = c.json("POST", branch + "/migrations", {"to": B, "space": "text", "plan": True})
    known = reply["plan"]["known"] if status == 200 else reply
    tap.same(known, PARAGRAPHS + 40, "a branch's plan says that all its texts are known")
    tap.same(c.json("POST", branch + "/migrations", {"to": B, "space": "text"})[0], 200, "the branch moves")
    tap.ok(until(20, lambda: state(branch)["state"] == "ready"), "and is ready", state(branch))
    tap.same([state(branch)["embedded"], state(branch)["known"]], [0, PARAGRAPHS + 40], "without embedding a text")
    tap.same(ids(branch, text=asked[0]["text"], space="text:next", k=1), second[asked[0]["_id"]][:1], "and finds what the first one found")
tap.done()
