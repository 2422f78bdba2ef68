import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
import cross_encoder  # noqa: E402
from chat_stub import Provider  # noqa: E402
from croft_server import CHAT, MODELS, Croft, Tap  # noqa: E402

import openai  # noqa: E402

tap = Tap()
TEXTS = {"felids.txt": "Felids hunt rodents mostly at dawn. A felid sleeps for most of the day.",
         "bridge.txt": "The iron bridge of Coalbrookdale was opened in 1781.",
         "soup.txt": "Onions are fried in butter for the soup. Bread and cheese go on top.",
         "ship.txt": "The ship Great Eastern was launched in 1858 after several attempts."}
QUERY = "when does my cat catch mice"


def of(c, key="test-key"):
    return openai.OpenAI(base_url=c.base + "/v1", api_key=key, max_retries=0, timeout=120)


def store(client):
    vs = client.vector_stores.create(name="house")
    for name, text in TEXTS.items():
        client.vector_stores.files.upload_and_poll(vector_store_id=vs.id, file=(name, text.encode()))
    return vs


def names(page):
    return [d.filename for d in page.data]


def rewritten(c, client, vs, p):
    search = client.vector_stores.search
    p.say = json.dumps({"rewritten": "felid rodents hunting time dawn"})
    words = {"hybrid_search": {"embedding_weight": 0, "text_weight": 1}}
    plain = search(vs.id, query=QUERY, ranking_options=words)
    tap.same((plain.search_query, len(p.asked)), ([QUERY], 0), "a query as it is asks no model")
    tap.ok("felids.txt" not in names(plain), "and misses what has other words", names(plain))
    page = search(vs.id, query=QUERY, rewrite_query=True, ranking_options=words)
    tap.same(page.search_query, [QUERY, "felid rodents hunting time dawn"], "search_query says what was searched")
    tap.same(names(page)[0], "felids.txt", "the rewritten query finds it")
    tap.ok(0 < page.data[0].score <= 1, "scores stay from 0 to 1", page.data[0].score)
    both = search(vs.id, query=[QUERY, "do cats hunt mice at night"], rewrite_query=True)
    tap.same((len(both.search_query), len(p.asked)), (4, 3), "each of two queries is rewritten")
    page = search(vs.id, query=QUERY, rewrite_query=True, ranking_options={"score_threshold": 0.99})
    tap.same(page.data, [], "score_threshold holds for it")
    for say in (500, "no json", None):
        p.say = say
        status, got = c.json("POST", f"/v1/vector_stores/{vs.id}/search", {"query": QUERY, "rewrite_query": True})
        tap.ok(status == 200 and got["search_query"] == [QUERY] and "searched as it is" in got["croft"]["notes"][0],
               f"a provider that says {say!r}: the query is searched as it is", got)
    p.say = "{}"
    tap.same(c.json("POST", f"/v1/vector_stores/{vs.id}/search", {"query": "x", "rewrite_query": 1})[1]["error"]["param"],
             "rewrite_query", "it is true or false")
    p.say = json.dumps({"rewritten": "felid rodents hunting time dawn"})
    code, out, err = c.cli("stores", "search", "house", "when", "does", "my", "cat", "catch", "mice", "--rewrite", "-k", "1")
    tap.ok(code == 0 and "searched too: felid rodents" in out and "felids.txt" in out, "croft stores search --rewrite", out + err)


def viewer(c, vs):
    """Who may search and not use models may not have queries rewritten."""
    tap.same((c.cli("user", "add", "root", "--role", "admin")[0], c.cli("user", "add", "vi", "--role", "viewer")[0]), (0, 0), "two users")
    root = c.cli("key", "add", "--user", "root")[1].strip()
    c.key = root
    theirs = of(c, c.cli("key", "add", "--user", "vi")[1].strip())
    tap.same(len(theirs.vector_stores.search(vs.id, query=QUERY).data), 4, "a viewer may search")
    tap.raises(openai.PermissionDeniedError, lambda: theirs.vector_stores.search(vs.id, query=QUERY, rewrite_query=True),
               "and not have a model used")
    return root


def ranked(c, client, vs, folder):
    def scores(**more):
        page = client.vector_stores.search(vs.id, query=QUERY, **more)
        return {d.filename: d.score for d in page.data}, page

    plain, page = scores()
    tap.same(page.model_extra["croft"]["ranker"], None, "nobody orders anew")
    for ranker in ("auto", "default-2024-11-15", "none"):
        same, page = scores(ranking_options={"ranker": ranker})
        tap.same((same, page.model_extra["croft"]["ranker"]), (plain, None), f"{ranker} without a cross-encoder: the search's order")
    tap.raises(openai.BadRequestError, lambda: scores(ranking_options={"ranker": "ce"}), "one that is not installed is refused")
    tap.raises(openai.BadRequestError, lambda: scores(ranking_options={"ranker": CHAT}), "and a model that is none")
    tap.same(c.cli("pull", folder, "--name", "ce")[0], 0, "a cross-encoder is installed")
    titles = {d["path"].split("/")[-1]: d["title"] for d in c.json("GET", f"/api/v1/documents?collection={vs.id}")[1]["documents"]}
    texts = [f"{next(t for path, t in titles.items() if path.endswith(n))}\n{text}" for n, text in TEXTS.items()]
    want = c.json("POST", "/v1/rerank", {"model": "ce", "query": QUERY, "documents": texts})[1]["results"]
    want = {list(TEXTS)[r["index"]]: r["relevance_score"] for r in want}
    for ranker in ("ce", "auto", "default-2024-11-15"):
        got, page = scores(ranking_options={"ranker": ranker})
        tap.ok(all(abs(got[n] - want[n]) < 1e-5 for n in TEXTS) and len(got) == 4, f"{ranker}: its scores are those of /v1/rerank", (got, want))
        tap.same((names(page), page.model_extra["croft"]["ranker"]), (sorted(want, key=lambda n: -want[n]), "ce"), f"{ranker}: and its order")
    tap.same([scores()[0], scores(ranking_options={"ranker": "none"})[0]], [plain, plain], "none, or nothing said: the search's order")
    cut = sorted(want.values())[2]
    got, _ = scores(ranking_options={"ranker": "ce", "score_threshold": cut - 1e-5})
    tap.same(set(got), {n for n in want if want[n] >= cut}, "score_threshold compares its scores")
    page = client.vector_stores.search(vs.id, query=[QUERY, "iron bridge"], ranking_options={"ranker": "ce"}, max_num_results=2)
    tap.ok(len(page.data) == 2 and page.data[0].score >= page.data[1].score, "two queries: the best of both", names(page))
    code, out, err = c.cli("stores", "search", "house", "iron", "bridge", "--ranker", "ce", "--threshold", "0.01")
    tap.ok(code == 0 and "ordered by ce" in out, "croft stores search --ranker", out + err)
    tool = {"type": "file_search", "vector_store_ids": [vs.id], "ranking_options": {"ranker": "ce"}}
    r = client.responses.create(model=CHAT, temperature=0, max_output_tokens=20, input=QUERY, tools=[tool],
                                include=["file_search_call.results"])
    call = r.output[0]
    tap.ok(all(abs(x.score - want[x.filename]) < 1e-5 for x in call.results) and call.model_extra["croft"]["ranker"] == "ce",
           "file_search of a response is ordered by it too", call)
    tool["ranking_options"]["ranker"] = "nobody"
    tap.raises(openai.BadRequestError, lambda: client.responses.create(model=CHAT, input=QUERY, tools=[tool]), "and refuses one that is not there")


p = Provider()
with tempfile.TemporaryDirectory() as tmp, Croft(models=True, key="test-key", settings={
        "rag.query_model": "helper", "rag.query_timeout": "700ms", "remote.retry_pause": "10ms", "rerank.model": "ce"}) as c:
    client = of(c)
    c.json("POST", "/api/v1/endpoints", {"name": "helper", "url": p.url, "model": "m"})
    vs = store(client)
    rewritten(c, client, vs, p)
    ranked(c, client, vs, cross_encoder.folder(os.path.join(MODELS, "minilm"), os.path.join(tmp, "ce")))
    viewer(c, vs)
tap.done()
