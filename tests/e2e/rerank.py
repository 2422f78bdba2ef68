import json
import math
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
import cross_encoder  # noqa: E402
from croft_server import MODELS, ROOT, Croft, Tap, skip_all  # noqa: E402

try:
    import cohere
except ImportError:
    cohere = None

tap = Tap()
MINILM = os.path.join(MODELS, "minilm")
if not os.path.exists(MINILM):
    skip_all(f"the test models are not in {MODELS} (CROFT_TEST_MODELS)")
GOLDEN = json.load(open(os.path.join(ROOT, "tests/golden/engine/ranking.json"), encoding="utf-8"))
QUERY, DOCS = GOLDEN["queries"][0], GOLDEN["docs"]
SCORES = [1 / (1 + math.exp(-s)) for s in GOLDEN["scores"][0]]
ORDER = sorted(range(len(DOCS)), key=lambda i: (-SCORES[i], i))


def post(c, path, body):
    return c.json("POST", path, body)


def none(c):
    for path in ("/v1/rerank", "/v2/rerank", "/rerank"):
        status, got = post(c, path, {"query": "q", "documents": ["a"]})
        tap.ok(status == 404 and "croft pull ms-marco-minilm-l6-v2" in got["message"]
               and got["error"]["code"] == "model_not_found", f"{path} without a cross-encoder says what to do", got)
    status, got = post(c, "/rerank", {"query": "q", "texts": ["a"]})
    tap.ok(status == 404 and isinstance(got["error"], str) and got["error_type"] == "validation", "so with texts", got)


def ranks(c):
    status, got = post(c, "/v1/rerank", {"model": "ce", "query": QUERY, "documents": DOCS})
    tap.same((status, [r["index"] for r in got["results"]]), (200, ORDER), "the reference's order")
    worst = max(abs(r["relevance_score"] - SCORES[r["index"]]) for r in got["results"])
    tap.ok(worst < 1e-4, "and its scores", worst)
    cut = [r["index"] for r in got["results"] if r.get("truncated")]
    tap.same((cut, len(got["meta"]["warnings"])), ([40], 1), "what was cut is said")
    tap.ok(got["model"] == "ce" and got["object"] == "list" and got["usage"]["total_tokens"] > 800
           and got["usage"]["prompt_tokens"] == got["meta"]["tokens"]["input_tokens"]
           and got["meta"]["billed_units"] == {"search_units": 1} and "document" not in got["results"][0],
           "model, usage, meta", {k: v for k, v in got.items() if k != "results"})
    _, gguf = post(c, "/v1/rerank", {"model": "ce-gguf", "query": QUERY, "documents": DOCS})
    tap.ok(gguf["results"] == got["results"], "the same from GGUF", gguf["results"][:2])
    _, top = post(c, "/v2/rerank", {"model": "ce", "query": QUERY, "top_n": 2, "return_documents": True,
                                   "documents": [{"text": d} for d in DOCS]})
    tap.same([(r["index"], r["document"]["text"]) for r in top["results"]], [(i, DOCS[i]) for i in ORDER[:2]],
             "objects with text, top_n, return_documents")
    _, tied = post(c, "/v1/rerank", {"model": "ce", "query": QUERY, "documents": [DOCS[3], DOCS[1], DOCS[3], DOCS[1]]})
    first = [r["index"] for r in tied["results"]]
    tap.ok(first in ([0, 2, 1, 3], [1, 3, 0, 2]), "ties by index", first)
    _, few = post(c, "/v1/rerank", {"model": "ce", "query": QUERY, "documents": DOCS[:3], "max_tokens_per_doc": 3})
    tap.same([r["truncated"] for r in few["results"]], [True] * 3, "max_tokens_per_doc")
    run = c.json("GET", f"/api/v1/runs/{got['id']}")[1]
    tap.ok("rerank" in json.dumps(run) and f"{len(DOCS)} documents" in json.dumps(run), "and there is a run of it", run)


def texts(c):
    status, got = post(c, "/rerank", {"model": "ce", "query": QUERY, "texts": DOCS[:8], "return_text": True,
                                      "raw_scores": True})
    order = [i for i in ORDER if i < 8]
    tap.same((status, [(r["index"], r["text"]) for r in got]), (200, [(i, DOCS[i]) for i in order]), "texts: a list")
    tap.ok(all(abs(r["score"] - GOLDEN["scores"][0][r["index"]]) < 1e-4 for r in got), "raw_scores", got)
    status, got = post(c, "/rerank", {"model": "ce", "query": QUERY, "texts": DOCS})
    tap.ok(status == 400 and "truncate" in got["error"], "a text too long is refused", got)
    status, got = post(c, "/rerank", {"model": "ce", "query": QUERY, "texts": DOCS, "truncate": True})
    tap.same((status, len(got)), (200, len(DOCS)), "but with truncate")


def wrong(c):
    good = {"model": "ce", "query": "q", "documents": ["a"]}
    for more, param in (({"query": ""}, "query"), ({"query": None}, "query"), ({"query": 1}, "query"),
                        ({"documents": []}, "documents"), ({"documents": None}, "documents"),
                        ({"documents": "a"}, "documents"), ({"documents": ["a", 1]}, "documents"),
                        ({"documents": [{"title": "a"}]}, "documents"), ({"documents": ["a"] * 1001}, "documents"),
                        ({"top_n": -1}, "top_n"), ({"top_n": "3"}, "top_n"), ({"max_tokens_per_doc": 0}, "max_tokens_per_doc"),
                        ({"rank_fields": ["a"]}, "rank_fields"), ({"return_documents": 1}, "return_documents"),
                        ({"query": "hen " * 600}, "query")):
        for path in ("/v1/rerank", "/v2/rerank"):
            status, got = post(c, path, {**good, **more})
            tap.ok(status == 400 and got["error"]["param"] == param and got["message"] == got["error"]["message"],
                   f"refused at {path}: {str(more)[:40]}", got)
    status, got = post(c, "/v1/rerank", {**good, "model": "all-minilm-l6-v2"})
    tap.ok(status == 400 and "for embed, not for rerank" in got["message"], "an embedder is none", got)
    status, got = post(c, "/v1/embeddings", {"model": "ce", "input": "a"})
    tap.ok(status == 400 and "for rerank, not for embed" in got["error"]["message"], "and it is no embedder", got)


def command(c):
    _, out, _ = c.cli("rerank", "-m", "ce", "--json", "--top", "1", QUERY, *DOCS[:3])
    best = min((0, 1, 2), key=ORDER.index)
    tap.same(json.loads(out)["results"][0]["index"], best, "croft rerank")


def official(c):
    if not cohere:
        tap.note("the cohere package cannot be fetched: plain requests only")
        return
    v2 = cohere.ClientV2(api_key="test-key", base_url=c.base)
    got = v2.rerank(model="ce", query=QUERY, documents=DOCS, top_n=5, max_tokens_per_doc=400)
    tap.same([r.index for r in got.results][:1], ORDER[:1], "cohere.ClientV2.rerank")
    tap.ok(len(got.results) == 5 and got.meta.billed_units.search_units == 1, "its meta", got.meta)
    e = tap.raises(cohere.errors.NotFoundError, lambda: v2.rerank(model="nope", query="q", documents=["a"]), "its 404")
    tap.ok("nope" in str(e.body), "with our words", e.body)
    tap.raises(cohere.errors.BadRequestError, lambda: v2.rerank(model="ce", query="q", documents=[]), "its 400")
    old = getattr(cohere, "Client", None)
    if old and hasattr(old, "rerank"):
        got = old(api_key="test-key", base_url=c.base).rerank(model="ce", query=QUERY, documents=DOCS,
                                                             return_documents=True, top_n=3)
        tap.same([(r.index, r.document.text) for r in got.results], [(i, DOCS[i]) for i in ORDER[:3]],
                 "cohere.Client.rerank")


with Croft(models=True, key="test-key") as c:
    none(c)
    made = cross_encoder.folder(MINILM, os.path.join(c.home, "made"))
    cross_encoder.gguf(made, os.path.join(c.home, "made.gguf"))
    c.cli("pull", made, "--name", "ce")
    c.cli("pull", os.path.join(c.home, "made.gguf"), "--name", "ce-gguf")
    ranks(c)
    texts(c)
    wrong(c)
    command(c)
    official(c)
    models = {m["id"]: m["purpose"] for m in c.json("GET", "/v1/models")[1]["data"]}
    tap.same(models["ce"], "rerank", "its purpose among the models")
    tap.same(c.stop(), 0, "the server ends with 0")
tap.done()
