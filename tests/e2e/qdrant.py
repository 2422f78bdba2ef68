"""Qdrant's own client against /collections and against its local mode: the same calls, the same
answers. Then what only a server can show: a restart, kill -9, keys, projects, bad input."""
import hashlib
import json
import os
import random
import sqlite3
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
import warnings

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap, on_postgres  # noqa: E402
from qdrant_client import QdrantClient, models as m  # noqa: E402
from qdrant_client.http.exceptions import UnexpectedResponse  # noqa: E402

warnings.simplefilter("error", UserWarning)  # the client warns of a server whose version it doubts
tap = Tap()
in_memory = not os.environ.get("CROFT_TEST_BACKEND")  # else pgvector: tests/e2e/on_pgvector.sh
rnd = random.Random(7)


def vector(dim):
    return [round(rnd.gauss(0, 1), 6) for _ in range(dim)]


def payload(i):
    return {"n": i, "tag": rnd.choice(["red", "green", "blue"]), "nested": {"x": i % 5, "deep": {"y": [i, i + 1]}},
            "words": rnd.sample(["ant", "bee", "cat", "dog"], 2), "text": f"item number {i}", "f": i / 7}


def plain(x):
    """An answer as JSON, without what a server adds of its own."""
    if isinstance(x, list):
        return [plain(v) for v in x]
    if hasattr(x, "model_dump"):
        x = x.model_dump(exclude_none=True)
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items() if k != "version"}
    if isinstance(x, tuple):
        return [plain(v) for v in x]
    return x


def close(a, b, eps=2e-5):
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, (int, float)) and isinstance(b, (int, float)) and abs(a - b) <= eps * max(1, abs(a))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(close(a[k], b[k], eps) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(close(x, y, eps) for x, y in zip(a, b))
    return a == b


def directions(x):
    """Qdrant gives back vectors of a cosine space with length 1, Croft as they were sent: compared by direction."""
    if isinstance(x, list) and x and all(isinstance(v, (int, float)) for v in x) and any(isinstance(v, float) for v in x):
        length = sum(v * v for v in x) ** 0.5
        return [v / length for v in x]
    if isinstance(x, list):
        return [directions(v) for v in x]
    return {k: directions(v) for k, v in x.items()} if isinstance(x, dict) else x


class Both:
    """Makes a call on Croft and on the local mode."""

    def __init__(self, croft, local):
        self.croft, self.local = croft, local

    def do(self, name, *args, **kw):
        getattr(self.croft, name)(*args, **kw)
        getattr(self.local, name)(*args, **kw)

    def same(self, what, name, *args, **kw):
        got = directions(plain(getattr(self.croft, name)(*args, **kw)))
        want = directions(plain(getattr(self.local, name)(*args, **kw)))
        return tap.ok(close(got, want), what, f"got  {json.dumps(got)[:1500]}\nwant {json.dumps(want)[:1500]}")


    def scores(self, what, name, **kw):
        """Where many have the same score: those of all points, and that the best come first."""
        got, want = (k.query_points(name, limit=1000, with_payload=False, **kw).points for k in (self.croft, self.local))
        a, b = ({str(p.id): p.score for p in points} for points in (got, want))
        good = a.keys() == b.keys() and all(abs(a[i] - b[i]) < 2e-5 * max(1, abs(b[i])) for i in a)
        tap.ok(good and [p.score for p in got] == sorted((p.score for p in got), reverse=True), what, f"got  {got[:5]}\nwant {want[:5]}")


def refused(fn, status, words, name):
    try:
        fn()
        tap.ok(False, name, "it was not refused")
    except UnexpectedResponse as e:
        text = e.content.decode()
        tap.ok(e.status_code == status and all(w in text for w in words), name, f"{e.status_code} {text}")


def fill(both, name, n=200, dim=8):
    ids = list(range(1, n + 1)) + [str(uuid.UUID(int=rnd.getrandbits(128))) for _ in range(20)]
    points = [m.PointStruct(id=i, vector=vector(dim), payload=payload(k)) for k, i in enumerate(ids)]
    both.do("upsert", name, points)
    return ids


def changes(both, ids):
    name = "cosine"
    both.do("upsert", name, [m.PointStruct(id=5, vector=vector(8), payload={"new": True})])
    both.same("a point that was replaced", "retrieve", name, [5], with_vectors=True)
    both.do("set_payload", name, {"z": 1, "tag": "gold", "n": None}, points=[1, 2, 5])
    refused(lambda: both.croft.set_payload(name, {"z": 2}, points=[1, 9999]), 404, ["9999", "nothing was changed"],
            "a patch of a point that is not there changes nothing")
    both.do("set_payload", name, {"x": 77}, points=[3], key="nested")
    both.do("set_payload", name, {"made": 1}, points=[4], key="fresh.path")
    both.do("overwrite_payload", name, {"only": "this"}, points=[6])
    both.do("delete_payload", name, ["tag", "nested.deep"], points=[7, 8])
    both.do("clear_payload", name, points_selector=[10])
    both.same("payloads that were set, overwritten, deleted, cleared", "retrieve", name, list(range(1, 12)))
    both.do("delete", name, points_selector=[11, 12, ids[-1], 424242])
    both.same("points that were deleted are not retrieved", "retrieve", name, [11, 12, 13, ids[-1]])
    both.same("nor counted", "count", name)
    both.do("upsert", name, m.Batch(ids=[300, 301], vectors=[vector(8), vector(8)], payloads=[{"b": 1}, {}]))
    both.do("batch_update_points", name, [
        m.UpsertOperation(upsert=m.PointsList(points=[m.PointStruct(id=400, vector=vector(8), payload={"o": 1})])),
        m.SetPayloadOperation(set_payload=m.SetPayload(payload={"p": 2}, points=[400])),
        m.DeleteOperation(delete=m.PointIdsList(points=[301]))])
    both.same("batches of columns and of operations", "retrieve", name, [300, 301, 400])


def reading(both, name, ids):
    for i in range(10):
        q = vector(8)
        both.same(f"{name}: nearest of query {i}", "query_points", name, query=q, limit=7, with_payload=i % 2 == 0,
                  with_vectors=i % 3 == 0, offset=i if i > 6 else None)
    both.same(f"{name}: nearest of a point", "query_points", name, query=17, limit=5)
    both.same(f"{name}: nearest of a UUID", "query_points", name, query=ids[-2], limit=5)
    points = both.local.query_points(name, query=[1.0] * 8, limit=10).points
    threshold = (points[6].score + points[5].score) / 2
    both.same(f"{name}: a threshold of the score", "query_points", name, query=[1.0] * 8, limit=10,
              score_threshold=threshold)
    both.same(f"{name}: some keys of payloads", "query_points", name, query=[1.0] * 8, limit=5, with_payload=["tag", "n"])
    both.same(f"{name}: all but some keys", "query_points", name, query=[1.0] * 8, limit=5,
              with_payload=m.PayloadSelectorExclude(exclude=["nested", "words"]))
    both.same(f"{name}: several queries at once", "query_batch_points", name,
              requests=[m.QueryRequest(query=vector(8), limit=3) for _ in range(4)])


def kinds(both, name, ids):
    q = lambda: [vector(8) for _ in range(4)]  # noqa: E731
    a, b, c, d = q()
    length = sum(v * v for v in c) ** 0.5
    c = [v / length for v in c]  # of an example in a cosine space Croft takes the direction, the local mode also the length
    both.same(f"{name}: reciprocal ranks of two queries", "query_points", name,
              prefetch=[m.Prefetch(query=a, limit=20), m.Prefetch(query=b, limit=15)], query=m.FusionQuery(fusion=m.Fusion.RRF), limit=10)
    both.same(f"{name}: reciprocal ranks with weights", "query_points", name,
              prefetch=[m.Prefetch(query=a, limit=20), m.Prefetch(query=b, limit=15)],
              query=m.RrfQuery(rrf=m.Rrf(k=10, weights=[3.0, 1.0])), limit=10, with_payload=["n"])
    both.same(f"{name}: fusion by the distribution of scores", "query_points", name,
              prefetch=[m.Prefetch(query=c, limit=12), m.Prefetch(query=d, limit=9)], query=m.FusionQuery(fusion=m.Fusion.DBSF), limit=8, offset=2)
    both.same(f"{name}: a query among what another found", "query_points", name, prefetch=m.Prefetch(query=a, limit=25), query=b, limit=6)
    both.same(f"{name}: fusion within fusion", "query_points", name, prefetch=[
        m.Prefetch(prefetch=[m.Prefetch(query=a, limit=9), m.Prefetch(query=b, limit=9)], query=m.FusionQuery(fusion=m.Fusion.RRF), limit=12),
        m.Prefetch(query=17, limit=9)], query=m.FusionQuery(fusion=m.Fusion.RRF), limit=10)
    both.same(f"{name}: examples", "query_points", name, limit=8,
              query=m.RecommendQuery(recommend=m.RecommendInput(positive=[3, ids[-2], c], negative=[9])))
    both.same(f"{name}: positive examples alone", "query_points", name, limit=8,
              query=m.RecommendQuery(recommend=m.RecommendInput(positive=[4, 5])))
    some = rnd.sample(ids[20:], 3)
    by_examples(both, name, name, lambda: vector(8), some)
    both.same(f"{name}: diverse hits", "query_points", name, limit=8,
              query=m.NearestQuery(nearest=d, mmr=m.Mmr(diversity=0.4, candidates_limit=40)))


def by_examples(both, name, what, make, ids, f=None, **more):
    """Each example for itself: best and sum of scores, discovery, context. make() makes a vector, ids are points that have one."""
    for strategy in (m.RecommendStrategy.BEST_SCORE, m.RecommendStrategy.SUM_SCORES):
        for positive, negative in (([ids[0], make()], [ids[1], make()]), ([make(), make(), ids[2]], None), (None, [make(), ids[1]])):
            both.scores(f"{what}: {strategy.value}, {bool(positive)}, {bool(negative)}", name, query_filter=f, **more,
                      query=m.RecommendQuery(recommend=m.RecommendInput(positive=positive, negative=negative, strategy=strategy)))
    pairs = [m.ContextPair(positive=make(), negative=ids[0]), m.ContextPair(positive=ids[1], negative=make()), m.ContextPair(positive=make(), negative=make())]
    both.scores(f"{what}: discovery", name, query_filter=f, **more,
              query=m.DiscoverQuery(discover=m.DiscoverInput(target=make(), context=pairs)))
    both.scores(f"{what}: discovery near a point, without pairs", name, **more,
              query=m.DiscoverQuery(discover=m.DiscoverInput(target=ids[2], context=[])))
    both.scores(f"{what}: a context", name, query_filter=f, **more, query=m.ContextQuery(context=pairs))


WORDS = ["ant", "bee", "cat", "dog", "elk", "fox"]


def rich():
    """A payload in which anything may be missing, null, empty or of another type than in others."""
    p = {}
    maybe = lambda key, *values: p.__setitem__(key, rnd.choice(values)) if rnd.random() < 0.8 else None  # noqa: E731
    maybe("s", *WORDS, None, 5)
    maybe("i", *range(-3, 8), 2.5, "3", None)
    maybe("f", *[x / 4 for x in range(-8, 9)], 3)
    maybe("b", True, False, None)
    maybe("list", [], ["ant"], ["ant", "bee"], ["cat", None], [1, 2, 3], "ant", None)
    maybe("o", {"x": rnd.choice(WORDS), "y": rnd.randrange(5)}, {"x": [rnd.choice(WORDS), rnd.choice(WORDS)]}, {}, 3)
    maybe("objects", *[[{"k": rnd.choice(WORDS), "v": rnd.randrange(6)} for _ in range(rnd.randrange(4))] for _ in range(4)], [], "none")
    maybe("text", *[" ".join(rnd.choices(WORDS + ["The", "CAT,"], k=5)) for _ in range(4)])
    maybe("time", "2024-05-01T10:00:00Z", "2024-06-01", "2025-01-01T00:00:00+02:00", "no time", None)
    return p


def condition(depth, within=False):
    keys = ["k", "v"] if within else ["s", "i", "f", "b", "list", "o.x", "o.y", "objects[].k", "objects[].v", "none", "list[0]", "objects[1].k"]
    key = rnd.choice(keys)
    value = lambda: rnd.choice(WORDS + list(range(-3, 8)) + [True, False])  # noqa: E731
    kind = rnd.choice(["value"] * 4 + ["any", "except", "range", "range", "empty", "null", "count"] +
                      ([] if within else ["text", "time", "id", "nested"]) + (["filter"] * 2 if depth else []))
    field = lambda **kw: m.FieldCondition(key=key, **kw)  # noqa: E731
    if kind == "value":
        return field(match=m.MatchValue(value=value()))
    if kind == "any":
        return field(match=m.MatchAny(any=rnd.choice([rnd.sample(WORDS, 2), rnd.sample(range(8), 3)])))
    if kind == "except":
        return field(match=m.MatchExcept(**{"except": rnd.choice([rnd.sample(WORDS, 2), rnd.sample(range(8), 3)])}))
    if kind == "range":
        ends = {rnd.choice(["gt", "gte"]): rnd.randrange(-3, 5), rnd.choice(["lt", "lte"]): rnd.randrange(0, 8)}
        return field(range=m.Range(**dict(rnd.sample(sorted(ends.items()), rnd.choice([1, 2])))))
    if kind == "empty":
        return m.IsEmptyCondition(is_empty=m.PayloadField(key=key))
    if kind == "null":
        return m.IsNullCondition(is_null=m.PayloadField(key=key))
    if kind == "count":
        return field(values_count=m.ValuesCount(**{rnd.choice(["gt", "gte", "lt", "lte"]): rnd.randrange(3)}))
    if kind == "text":
        return m.FieldCondition(key="text", match=m.MatchText(text=" ".join(rnd.sample(WORDS, rnd.choice([1, 2])))))
    if kind == "time":
        return m.FieldCondition(key="time", range=m.DatetimeRange(**{rnd.choice(["gt", "gte", "lt", "lte"]):
                                                                   rnd.choice(["2024-05-01T10:00:00Z", "2024-12-31T22:00:00Z", "2024-06-01T00:00:00Z"])}))
    if kind == "id":
        return m.HasIdCondition(has_id=rnd.sample(range(1, 400), 40))
    if kind == "nested":
        return m.NestedCondition(nested=m.Nested(key=rnd.choice(["objects", "objects[]"]), filter=filter_of(0, True)))
    return filter_of(depth - 1, within)


def filter_of(depth, within=False):
    some = lambda lo, hi: [condition(depth, within) for _ in range(rnd.randint(lo, hi))]  # noqa: E731
    shape = rnd.random()
    if shape < 0.2:
        return m.Filter(min_should=m.MinShould(conditions=some(2, 4), min_count=rnd.randint(1, 3)))
    return m.Filter(must=some(0, 2) or None, should=some(0, 3) if shape < 0.6 else None, must_not=some(0, 1) if shape > 0.4 else None)


def filters(both):
    both.do("create_collection", "rich", vectors_config=m.VectorParams(size=4, distance=m.Distance.COSINE))
    both.do("upsert", "rich", [m.PointStruct(id=i, vector=vector(4), payload=rich()) for i in range(1, 401)])
    wrong = []
    matched = 0
    for n in range(600):
        f = filter_of(2)
        want = both.local.count("rich", count_filter=f).count
        got = both.croft.count("rich", count_filter=f).count
        matched += want
        if got != want:
            there = {p.id: p.payload for p in both.croft.scroll("rich", scroll_filter=f, limit=1000)[0]}
            should = {p.id: p.payload for p in both.local.scroll("rich", scroll_filter=f, limit=1000)[0]}
            odd = [(i, (there.get(i) or should.get(i))) for i in there.keys() ^ should.keys()][:2]
            wrong.append(f"{f.model_dump_json(exclude_none=True, by_alias=True)}: {got}, not {want}: {odd}")
    tap.ok(not wrong, f"600 random filters match what they should ({matched} in all)", "\n".join(w[:700] for w in wrong[:12]) + f"\n{len(wrong)} in all")
    for n in range(25):
        f = filter_of(1)
        both.same(f"nearest with filter {n}", "query_points", "rich", query=vector(4), query_filter=f, limit=8)
        both.same(f"scrolling with filter {n}", "scroll", "rich", scroll_filter=f, limit=20)
    red = m.Filter(must=[m.FieldCondition(key="s", match=m.MatchValue(value="ant"))])
    both.do("set_payload", "rich", {"mark": 1}, points=red)
    both.same("a payload set by filter", "count", "rich", count_filter=m.Filter(must=[m.FieldCondition(key="mark", match=m.MatchValue(value=1))]))
    both.do("delete", "rich", points_selector=m.FilterSelector(filter=red))
    both.same("points deleted by filter", "count", "rich")
    both.same("and gone for filters", "count", "rich", count_filter=red)
    both.croft.create_payload_index("rich", "s", field_schema=m.PayloadSchemaType.KEYWORD)
    both.same("a query after an index was asked for", "query_points", "rich", query=vector(4), query_filter=filter_of(1), limit=8)
    for bad, place in ((m.Filter(must=[m.FieldCondition(key="g", geo_radius=m.GeoRadius(center=m.GeoPoint(lon=1, lat=1), radius=5))]), "geo"),
                       (m.Filter(must=[m.FieldCondition(key="a..b", match=m.MatchValue(value=1))]), "must")):
        refused(lambda bad=bad: both.croft.count("rich", count_filter=bad), 400, [place], f"a filter with {place} is refused with its place")


def grouping(both):
    """Groups, facets and orders over payloads in which anything may be missing, and over one with lists."""
    name = "groups"
    both.do("create_collection", name, vectors_config=m.VectorParams(size=4, distance=m.Distance.COSINE))
    points = []
    for i in range(1, 601):
        p = {"tag": rnd.choice(WORDS), "n": rnd.choice([i % 7, i % 7, 2.5, True]), "many": rnd.sample(WORDS, rnd.randrange(4)),
             "odd": rnd.choice([[1, True], [1, 2], "x", None, []]), "objects": [{"k": rnd.choice(WORDS)} for _ in range(rnd.randrange(3))],
             "big": rnd.choice(["A" * 200 + str(i % 3), "short"]), "mixed": rnd.choice([1, "1", True, False, 0, -4]),
             "uuid": rnd.choice([uuid.UUID(int=i % 3).hex, str(uuid.UUID(int=i % 2))]), "f": i * 37 % 101 / 4,
             "when": f"2024-0{1 + i % 9}-1{i % 10}T10:00:{i % 60:02}Z", "rare": "one" if i == 300 else "rest"}
        if rnd.random() < 0.1:
            p.pop(rnd.choice(list(p)))
        points.append(m.PointStruct(id=i, vector=vector(4), payload=p))
    both.do("upsert", name, points)
    for field in ("tag", "n", "many", "odd", "objects[].k", "big", "mixed", "rare", "none"):
        for limit, size in ((3, 2), (50, 1), (2, 40)):
            both.same(f"groups by {field}: {limit} of {size}", "query_points_groups", name, group_by=field, query=vector(4), limit=limit,
                      group_size=size, with_payload=["tag"])
    f = m.Filter(must=[m.FieldCondition(key="tag", match=m.MatchAny(any=WORDS[:3]))])
    both.same("groups with a filter", "query_points_groups", name, group_by="many", query=vector(4), limit=4, group_size=5, query_filter=f)
    both.same("groups of a point's neighbours", "query_points_groups", name, group_by="tag", query=7, limit=4, group_size=3)
    both.same("groups with a threshold", "query_points_groups", name, group_by="tag", query=vector(4), limit=6, group_size=30, score_threshold=0.7)
    both.same("groups of a fusion", "query_points_groups", name, group_by="n", limit=5, group_size=3, with_payload=False,
              prefetch=[m.Prefetch(query=[1.0, 0.2, 0.3, 0.1], limit=20), m.Prefetch(query=[0.1, 1.0, -0.3, 0.4], limit=20)],
              query=m.FusionQuery(fusion=m.Fusion.RRF))
    both.same("groups of a query among others", "query_points_groups", name, group_by="tag", limit=3, group_size=3,
              prefetch=[m.Prefetch(query=vector(4), limit=20)], query=vector(4))
    both.do("create_collection", "authors", vectors_config=m.VectorParams(size=2, distance=m.Distance.DOT))
    both.do("upsert", "authors", [m.PointStruct(id=i, vector=[1.0, 2.0], payload={"i": i}) for i in range(4)])
    both.same("groups with what another collection has of them", "query_points_groups", name, group_by="n", query=vector(4), limit=9,
              group_size=2, with_lookup=m.WithLookup(collection="authors", with_payload=True, with_vectors=True))
    for field in ("tag", "n", "many", "odd", "objects[].k", "mixed", "uuid", "rare", "big", "none"):
        both.same(f"values of {field}", "facet", name, field, limit=20)
        both.same(f"the most frequent of {field}, filtered", "facet", name, field, limit=2, facet_filter=f)
    for field in ("n", "f", "when"):
        for direction in (m.Direction.ASC, m.Direction.DESC):
            both.same(f"in the order of {field}, {direction}", "scroll", name, limit=50, order_by=m.OrderBy(key=field, direction=direction))
            both.same(f"and filtered, {field}, {direction}", "scroll", name, limit=700, scroll_filter=f, order_by=m.OrderBy(key=field, direction=direction))
    both.same("from a value on", "scroll", name, limit=9, order_by=m.OrderBy(key="f", start_from=3.5))
    both.same("down from a time", "scroll", name, limit=9, order_by=m.OrderBy(key="when", direction=m.Direction.DESC, start_from="2024-05-01T00:00:00Z"))
    both.same("a query by order", "query_points", name, query=m.OrderByQuery(order_by="f"), limit=9, with_payload=["f"])
    both.same("a query by nothing", "query_points", name, limit=9, query_filter=f)
    both.same("the outer filter is the inner queries' too", "query_points", name, limit=8, query_filter=f,
              prefetch=[m.Prefetch(query=[1.0, 0.2, 0.3, 0.1], limit=5), m.Prefetch(query=[0.1, 1.0, -0.3, 0.4], limit=5)],
              query=m.FusionQuery(fusion=m.Fusion.RRF))
    refused(lambda: both.croft.query_points_groups(name, group_by="tag", query=vector(4), limit=5000), 400, ["1000"], "too many groups")
    refused(lambda: both.croft.query_points_groups(name, group_by="many[0]", query=vector(4)), 400, ["many[0]"], "a place in an array")
    refused(lambda: both.croft.facet(name, "a..b"), 400, ["a..b"], "a facet of no path")
    refused(lambda: both.croft.scroll(name, order_by="f", offset=3), 400, ["start_from"], "an order with an offset")


def scrolling(both, name):
    pages, offset = [], None
    while True:
        got, offset = both.croft.scroll(name, limit=37, offset=offset)
        pages += [p.id for p in got]
        if offset is None:
            break
    numbers = [i for i in pages if isinstance(i, int)]
    tap.ok(numbers == sorted(numbers) and pages[:len(numbers)] == numbers and len(set(pages)) == len(pages) ==
           both.local.count(name).count, f"{name}: scrolling gives every point once, in the order of ids")


def named(both):
    spec = {"small": m.VectorParams(size=3, distance=m.Distance.DOT), "large": m.VectorParams(size=6, distance=m.Distance.COSINE)}
    both.do("create_collection", "named", vectors_config=spec)
    both.do("upsert", "named", [m.PointStruct(id=i, vector={"small": vector(3), "large": vector(6)} if i % 3 else
                                             {"large": vector(6)}, payload={"i": i}) for i in range(1, 40)])
    for space, dim in (("small", 3), ("large", 6)):
        for i in range(3):
            both.same(f"named vectors: nearest {i} in {space}", "query_points", "named", query=vector(dim), using=space,
                      limit=6, with_vectors=True)
    both.do("update_vectors", "named", points=[m.PointVectors(id=3, vector={"small": [1.0, 2.0, 3.0]})])
    both.do("delete_vectors", "named", vectors=["large"], points=[4, 5])
    both.same("vectors that were updated and deleted", "retrieve", "named", [3, 4, 5], with_vectors=True)
    both.same("and searched", "query_points", "named", query=vector(6), using="large", limit=40)
    both.same("one vector of two", "retrieve", "named", [1, 2], with_vectors=["small"])


def few(most=12, signs=True):
    """A sparse vector: low indices are frequent, and now and then one of the highest."""
    at = sorted({rnd.choice([int(rnd.expovariate(0.1)), 4294967295]) if rnd.random() < 0.05 else int(rnd.expovariate(0.1)) for _ in range(rnd.randint(1, most))})
    return m.SparseVector(indices=at, values=[round(rnd.choice([1, 1, 1, -1] if signs else [1]) * rnd.random() * 3, 7) or 0.5 for _ in at])


def having(both, name, using, n):
    """Points that have such a vector."""
    there = [p.id for p in both.local.scroll(name, limit=1000, with_vectors=True)[0] if using in p.vector]
    return rnd.sample(there, n)


def sparse(both):
    name = "sparse"
    both.do("create_collection", name, vectors_config={"dense": m.VectorParams(size=4, distance=m.Distance.COSINE)},
            sparse_vectors_config={"plain": m.SparseVectorParams(), "counted": m.SparseVectorParams(modifier=m.Modifier.IDF)})
    def point(i):  # noqa: E306
        v = {"dense": vector(4), "plain": few(), "counted": few(8, False)}
        if i % 7 == 0:
            del v[rnd.choice(list(v))]
        return m.PointStruct(id=i, vector=v, payload={"n": i, "tag": rnd.choice(WORDS)})
    both.do("upsert", name, [point(i) for i in range(1, 501)])
    f = m.Filter(must=[m.FieldCondition(key="tag", match=m.MatchAny(any=WORDS[:2]))])
    def all_kinds(when):  # noqa: E306
        for n in range(8):
            for using in ("plain", "counted"):
                both.same(f"{when}: sparse nearest {n}, {using}", "query_points", name, query=few(), using=using, limit=9, with_vectors=n == 0,
                          query_filter=f if n % 3 == 1 else None)
        both.same(f"{when}: sparse, all there are", "query_points", name, query=few(20), using="counted", limit=600)
        both.same(f"{when}: neighbours of a point by sparse vectors", "query_points", name, query=having(both, name, "plain", 1)[0], using="plain", limit=7)
        both.same(f"{when}: a threshold of sparse scores", "query_points", name, query=m.SparseVector(indices=[0, 1, 3], values=[1.0, 0.7, 0.31]),
                  using="plain", limit=50, score_threshold=1.2345)
        both.same(f"{when}: dense and sparse fused", "query_points", name, prefetch=[
            m.Prefetch(query=vector(4), using="dense", limit=20), m.Prefetch(query=few(), using="counted", limit=20)],
            query=m.FusionQuery(fusion=m.Fusion.RRF), limit=10, query_filter=f)
        both.same(f"{when}: sparse among dense", "query_points", name, prefetch=[m.Prefetch(query=vector(4), using="dense", limit=60)],
                  query=few(), using="plain", limit=10)
        both.same(f"{when}: examples of sparse vectors", "query_points", name, using="plain", limit=8,
                  query=m.RecommendQuery(recommend=m.RecommendInput(positive=[*having(both, name, "plain", 2), few()], negative=having(both, name, "plain", 1))))
        by_examples(both, name, f"{when}, sparse", few, having(both, name, "counted", 3), f, using="counted")
        both.same(f"{when}: sparse groups", "query_points_groups", name, group_by="tag", query=few(), using="plain", limit=4, group_size=3)
    all_kinds("fresh")
    both.do("upsert", name, [point(i) for i in rnd.sample(range(1, 501), 120)])
    both.do("delete", name, points_selector=rnd.sample(range(1, 501), 90))
    both.do("update_vectors", name, points=[m.PointVectors(id=p.id, vector={"counted": few(8, False)})
                                            for p in both.local.scroll(name, limit=30)[0]])
    both.do("delete_vectors", name, vectors=["plain"], points=[p.id for p in both.local.scroll(name, limit=9)[0]])
    all_kinds("changed")
    both.same("sparse vectors come back", "scroll", name, limit=40, with_vectors=True)
    both.same("some of them", "scroll", name, limit=9, with_vectors=["plain"])
    got = both.croft.get_collection(name).config.params
    tap.ok(got.sparse_vectors["counted"].modifier == m.Modifier.IDF and got.sparse_vectors["plain"].modifier is None and list(got.vectors) == ["dense"],
           "the collection says what it has", got)
    both.do("create_collection", "only", vectors_config={}, sparse_vectors_config={"s": m.SparseVectorParams()})
    both.do("upsert", "only", [m.PointStruct(id=i, vector={"s": few()}, payload={}) for i in range(30)])
    both.same("sparse vectors alone", "query_points", "only", query=few(), using="s", limit=10)
    refused(lambda: both.croft.query_points(name, query=vector(4), using="plain"), 400, ["list of numbers", "sparse"], "a plain vector where sparse ones are")
    refused(lambda: both.croft.query_points(name, query=few(), using="dense"), 400, ["sparse", "list of numbers"], "a sparse vector where plain ones are")
    refused(lambda: both.croft.upsert(name, [m.PointStruct(id=1, vector={"plain": m.SparseVector(indices=[1, 1], values=[1, 2])})]), 400, ["twice"],
            "an index that stands twice")
    refused(lambda: both.croft.upsert(name, [m.PointStruct(id=1, vector={"plain": m.SparseVector(indices=[1], values=[1, 2])})]), 400, ["as many"],
            "more values than indices")
    refused(lambda: both.croft.upsert(name, [m.PointStruct(id=1, vector={"plain": m.SparseVector(indices=[-1], values=[1])})]), 400, ["index 0"],
            "an index below 0")
    return all_kinds


def rows(dim, most=6):
    return [vector(dim) for _ in range(rnd.randint(1, most))]


def unit(m):
    return [[x / sum(v * v for v in r) ** 0.5 for x in r] for r in m]


def lists(both):
    name = "lists"
    config = lambda d: m.VectorParams(size=4, distance=d, multivector_config=m.MultiVectorConfig(comparator=m.MultiVectorComparator.MAX_SIM))  # noqa: E731
    both.do("create_collection", name, vectors_config={"cos": config(m.Distance.COSINE), "dot": config(m.Distance.DOT), "l2": config(m.Distance.EUCLID), "l1": config(m.Distance.MANHATTAN),
                                                       "dense": m.VectorParams(size=4, distance=m.Distance.COSINE)})
    def point(i):  # noqa: E306
        v = {"cos": rows(4), "dot": rows(4), "l2": rows(4), "l1": rows(4), "dense": vector(4)}
        if i % 7 == 0:
            del v[rnd.choice(list(v))]
        return m.PointStruct(id=i, vector=v, payload={"n": i, "tag": rnd.choice(WORDS)})
    both.do("upsert", name, [point(i) for i in range(1, 301)])
    f = m.Filter(must=[m.FieldCondition(key="tag", match=m.MatchAny(any=WORDS[:2]))])
    def all_kinds(when):  # noqa: E306
        for using in ("cos", "dot", "l2", "l1"):
            for n in range(4):
                both.same(f"{when}: lists of vectors {n}, {using}", "query_points", name, query=rows(4), using=using, limit=9, with_vectors=n == 0,
                          query_filter=f if n % 3 == 1 else None)
            both.same(f"{when}: neighbours of a point, {using}", "query_points", name, query=having(both, name, using, 1)[0], using=using, limit=7)
            both.same(f"{when}: examples, {using}", "query_points", name, using=using, limit=7,
                      query=m.RecommendQuery(recommend=m.RecommendInput(positive=[*having(both, name, using, 1), unit(rows(4))], negative=having(both, name, using, 1))))
            by_examples(both, name, f"{when}, lists, {using}", lambda: rows(4), having(both, name, using, 3), f, using=using)
        both.same(f"{when}: a threshold", "query_points", name, query=[[1.0, 0.3, -0.2, 0.1], [0.0, 1.0, 1.0, 0.5]], using="cos", limit=300, score_threshold=0.71234)
        both.same(f"{when}: dense, then lists", "query_points", name, prefetch=[m.Prefetch(query=vector(4), using="dense", limit=40)],
                  query=rows(4), using="dot", limit=10, query_filter=f)
        both.same(f"{when}: lists fused", "query_points", name, prefetch=[m.Prefetch(query=rows(4), using="dot", limit=20),
                  m.Prefetch(query=vector(4), using="dense", limit=20)], query=m.FusionQuery(fusion=m.Fusion.DBSF), limit=10)
    all_kinds("fresh")
    both.do("upsert", name, [point(i) for i in rnd.sample(range(1, 301), 90)])
    both.do("delete", name, points_selector=rnd.sample(range(10, 301), 60))
    both.do("update_vectors", name, points=[m.PointVectors(id=p.id, vector={"dot": rows(4)}) for p in both.local.scroll(name, limit=20)[0]])
    both.do("delete_vectors", name, vectors=["l2"], points=[p.id for p in both.local.scroll(name, limit=2)[0]])
    all_kinds("changed")
    both.same("lists come back", "scroll", name, limit=20, with_vectors=["dot", "l2"])
    tap.ok(both.croft.get_collection(name).config.params.vectors["l2"].multivector_config.comparator == "max_sim", "the collection says so")
    refused(lambda: both.croft.upsert(name, [m.PointStruct(id=1, vector={"dot": [[1.0, 2.0, 3.0, 4.0], [1.0]]})]), 400, ["vector 1"], "lists of another length")
    refused(lambda: both.croft.query_points(name, query=[[1.0, 2.0]], using="dot"), 400, ["2 numbers", "takes 4"], "a query of another length")
    refused(lambda: both.croft.query_points(name, query=[1.0] * 4, using="dot"), 400, ["list of vectors"], "a plain vector where lists are")
    return all_kinds


def expression(depth):
    """An expression that has a value for every item of formulas(), or for none: both sides must agree."""
    some = lambda: expression(depth - 1)  # noqa: E731
    leaf = rnd.choice(["number", "score", "path", "path", "condition", "time", "geo"])
    kind = rnd.choice(["sum", "mult", "max", "min", "neg", "abs", "sqrt", "exp", "ln", "log10", "acosh", "div", "pow", "decay"] if depth and rnd.random() < 0.8 else [leaf])
    if kind == "number":
        return rnd.choice([0.5, 2.0, -1.0, 3.25, 0.0])
    if kind == "score":
        return rnd.choice(["$score", "$score[0]", "$score[1]", "$score[7]"])
    if kind == "path":
        return rnd.choice(["n", "f", "o.x", "some", "one[]"])
    if kind == "condition":
        return rnd.choice([m.FieldCondition(key="tag", match=m.MatchAny(any=["red", "blue"])), m.FieldCondition(key="n", range=m.Range(gte=50)),
                           m.HasIdCondition(has_id=list(range(1, 60))), m.IsEmptyCondition(is_empty=m.PayloadField(key="some")),
                           m.Filter(must_not=[m.FieldCondition(key="tag", match=m.MatchValue(value="green"))])])
    if kind == "time":
        return rnd.choice([m.DatetimeExpression(datetime="2024-03-01T10:00:00Z"), m.DatetimeKeyExpression(datetime_key="when")])
    if kind == "geo":
        return m.GeoDistance(geo_distance=m.GeoDistanceParams(origin=m.GeoPoint(lat=52.52, lon=13.405), to="place"))
    if kind in ("sum", "mult", "max", "min"):
        make = {"sum": m.SumExpression, "mult": m.MultExpression, "max": m.MaxExpression, "min": m.MinExpression}[kind]
        return make(**{kind: [some() for _ in range(rnd.randint(1, 3))]})
    if kind == "div":
        return m.DivExpression(div=m.DivParams(left=some(), right=some(), by_zero_default=rnd.choice([None, 7.0])))
    if kind == "pow":
        return m.PowExpression(pow=m.PowParams(base=some(), exponent=rnd.choice([2.0, 0.5, some()])))
    if kind == "decay":
        make = rnd.choice([("lin_decay", m.LinDecayExpression), ("exp_decay", m.ExpDecayExpression), ("gauss_decay", m.GaussDecayExpression)])
        return make[1](**{make[0]: m.DecayParamsExpression(x=some(), target=rnd.choice([None, 1.0, some()]), scale=rnd.choice([None, 5.0, 4e4]), midpoint=rnd.choice([None, 0.3]))})
    make = {"neg": m.NegExpression, "abs": m.AbsExpression, "sqrt": m.SqrtExpression, "exp": m.ExpExpression, "ln": m.LnExpression,
            "log10": m.Log10Expression, "acosh": m.AcoshExpression}[kind]
    return make(**{kind: some()})


def formulas(both):
    """Formulas by chance over payloads with all that they can read: the same scores, or an error on both sides."""
    name = "formulas"
    both.do("create_collection", name, vectors_config=m.VectorParams(size=4, distance=m.Distance.COSINE))
    points = []
    for i in range(1, 121):
        p = {"n": i, "f": i / 7 - 3, "tag": rnd.choice(["red", "green", "blue"]), "o": {"x": i % 5}, "one": [i % 3],
             "when": f"2024-0{1 + i % 9}-1{i % 10}T10:00:{i % 60:02}.25Z", "place": {"lat": i / 3, "lon": 2.0 * i - 100}}
        if i % 4:
            p["some"] = i % 6
        points.append(m.PointStruct(id=i, vector=vector(4), payload=p))
    both.do("upsert", name, points)
    wrong, values, errors = [], 0, 0
    for _ in range(400):
        f = expression(3)
        defaults = rnd.choice([None, {"some": 4.5, "$score[1]": 0.25}, {"some": [2], "$score": 1.5}])
        ask = dict(prefetch=[m.Prefetch(query=vector(4), limit=15), m.Prefetch(query=vector(4), limit=10)], limit=30, with_payload=False,
                   query=m.FormulaQuery(formula=f, defaults=defaults))
        try:
            want = {p.id: p.score for p in both.local.query_points(name, **ask).points}
        except (ValueError, OverflowError, TypeError):
            want = None
        try:
            points = both.croft.query_points(name, **ask).points
            got = {p.id: p.score for p in points}
            if [p.score for p in points] != sorted(got.values(), reverse=True):
                wrong.append(f"not in order: {f}")
        except UnexpectedResponse as e:
            got = None if e.status_code == 400 else e
        values += want is not None
        errors += want is None
        same = got == want if got is None or want is None else got.keys() == want.keys() and all(close(want[i], got[i], 1e-4) for i in want)
        if not same:
            wrong.append(f"{f}\n got {got}\nwant {want}")
    tap.ok(not wrong and values > 100 and errors > 20, f"{values} formulas give the scores of the local mode, {errors} are errors on both sides", "\n".join(wrong[:3]))
    pre = [m.Prefetch(query=vector(4), limit=40)]
    boost = m.SumExpression(sum=["$score", m.MultExpression(mult=[0.5, m.FieldCondition(key="tag", match=m.MatchValue(value="red"))])])
    both.same("a boost, with payloads", "query_points", name, prefetch=pre, query=m.FormulaQuery(formula=boost), limit=9, offset=3, with_payload=["tag", "n"])
    both.same("a boost above a threshold, filtered", "query_points", name, prefetch=pre, query=m.FormulaQuery(formula=boost), limit=30, score_threshold=0.6,
              query_filter=m.Filter(must=[m.FieldCondition(key="n", range=m.Range(lt=90))]))
    both.same("a boost within a fusion", "query_points", name, limit=10, query=m.FusionQuery(fusion=m.Fusion.RRF),
              prefetch=[m.Prefetch(prefetch=pre, query=m.FormulaQuery(formula=boost), limit=12), m.Prefetch(query=vector(4), limit=12)])
    both.same("groups of boosted hits", "query_points_groups", name, group_by="o.x", prefetch=pre, query=m.FormulaQuery(formula=boost), limit=3, group_size=2)
    ask = lambda f, **kw: lambda: both.croft.query_points(name, **{"prefetch": pre, "query": m.FormulaQuery(formula=f, **kw)})  # noqa: E731
    refused(lambda: both.croft.query_points(name, query=m.FormulaQuery(formula=1.0)), 400, ["prefetch"], "a formula of nothing")
    refused(ask("$score[x]"), 400, ["formula", "$score[0]"], "a score of no number")
    refused(ask(m.SumExpression(sum=["$score", m.DivExpression(div=m.DivParams(left=1.0, right="none"))])), 400, ["none", "the item"], "a path without a value names the item")
    refused(ask(m.SumExpression(sum=[m.MaxExpression(max=[])])), 400, ["formula.sum[0].max", "operand"], "no operands, by their place")
    refused(ask(m.ExpDecayExpression(exp_decay=m.DecayParamsExpression(x="n", scale=-1.0))), 400, ["formula.exp_decay", "scale"], "a scale below 0")
    refused(ask("list[0]"), 400, ["list[0]", "place in an array"], "a place in an array")
    deep = 1.0
    for _ in range(40):
        deep = m.NegExpression(neg=deep)
    refused(ask(deep), 413, ["32"], "too deep a formula")


def samples(both):
    """Points by chance, how near they are to each other, relevance feedback, vectors looked up elsewhere."""
    name = "cosine"
    ask = lambda k, n, **kw: [p.id for p in k.query_points(name, query=m.SampleQuery(sample=m.Sample.RANDOM), limit=n, **kw).points]  # noqa: E731
    red = m.Filter(must=[m.FieldCondition(key="tag", match=m.MatchValue(value="red"))])
    everything = {p.id for p in both.local.scroll(name, limit=1000)[0]}
    a, b = ask(both.croft, 20), ask(both.croft, 20)
    tap.ok(len(set(a)) == 20 and a != b and set(a + b) <= everything, "two samples are different points of the collection", (a, b))
    tap.ok(set(ask(both.croft, 1000)) == everything, "a sample of more than there are is all")
    tap.ok(set(ask(both.croft, 1000, query_filter=red)) == set(ask(both.local, 1000, query_filter=red)), "filtered")
    n, seen = len(everything), {}
    for _ in range(60):
        for i in ask(both.croft, 40):
            seen[i] = seen.get(i, 0) + 1
    mean = 60 * 40 / n
    tap.ok(len(seen) > 0.99 * n and max(seen.values()) < mean + 6 * mean ** 0.5, "each point is as likely as another", (len(seen), n, max(seen.values()), mean))
    few = m.Filter(must=[m.HasIdCondition(has_id=list(range(20, 60)))])
    for limit in (1, 3, 100):
        got, want = ([(p.a, p.b, p.score) for p in k.search_matrix_pairs(name, query_filter=few, sample=100, limit=limit).pairs] for k in (both.croft, both.local))
        tap.ok(close(plain(got), plain(want)), f"pairs near to each other, {limit} each", f"{got[:5]}\n{want[:5]}")
        both.same(f"the same as offsets, {limit} each", "search_matrix_offsets", name, query_filter=few, sample=100, limit=limit)
    some = both.croft.search_matrix_pairs(name, sample=6, limit=2).pairs
    tap.ok(len(some) == 12 and len({p.a for p in some}) == 6 and all(p.a != p.b for p in some), "pairs of a sample", some)
    refused(lambda: both.croft.search_matrix_pairs(name, sample=1), 400, ["sample"], "a sample of one")
    refused(lambda: both.croft.search_matrix_offsets(name, using="x"), 400, ["no vectors named"], "of no such vectors")
    for judged in ([], [(20, 0.9)], [(20, 0.9), (21, 0.1)], [(20, 0.9), (vector(8), 0.5), (22, 0.5), (23, -1.0)]):
        for target in (vector(8), 25):
            both.scores(f"feedback of {len(judged)} on {'a point' if target == 25 else 'a vector'}", name, query=m.RelevanceFeedbackQuery(
                relevance_feedback=m.RelevanceFeedbackInput(target=target, feedback=[m.FeedbackItem(example=e, score=s) for e, s in judged],
                strategy=m.NaiveFeedbackStrategy(naive=m.NaiveFeedbackStrategyParams(a=0.7, b=1.5, c=0.3)))))
    both.same("near a point of another collection", "query_points", name, query=17, lookup_from=m.LookupLocation(collection="euclid"), limit=5)
    both.same("near a point of another kind of vectors", "query_points", "named", query=20, using="large", limit=5,
              lookup_from=m.LookupLocation(collection="named", vector="large"))
    refused(lambda: both.croft.query_points(name, query=17, lookup_from=m.LookupLocation(collection="none")), 404, ["none"], "of no collection")
    refused(lambda: both.croft.query_points(name, query=20, lookup_from=m.LookupLocation(collection="named", vector="small")), 400, ["3 numbers"],
            "of another length")


def upserts(both):
    """Points that are put only when they are there, or are not, or match."""
    name = "upserts"
    both.do("create_collection", name, vectors_config=m.VectorParams(size=2, distance=m.Distance.DOT))
    points = lambda n, **kw: [m.PointStruct(id=i, vector=[float(i), 1.0], payload={"n": i, **kw}) for i in range(1, n)]  # noqa: E731
    both.do("upsert", name, points(6, a=1))
    both.do("upsert", name, points(8, a=2), update_mode=m.UpdateMode.INSERT_ONLY)
    both.same("only new ones", "scroll", name, with_vectors=True)
    both.do("upsert", name, points(10, a=3), update_mode=m.UpdateMode.UPDATE_ONLY)
    both.same("only those that are there", "scroll", name, with_vectors=True)
    odd = m.Filter(must=[m.FieldCondition(key="n", range=m.Range(gt=3))], must_not=[m.HasIdCondition(has_id=[5])])
    both.do("upsert", name, points(12, a=4), update_filter=odd)
    both.same("new ones, and those that match", "scroll", name, with_vectors=True)
    both.do("upsert", name, points(14, a=5), update_filter=odd, update_mode=m.UpdateMode.UPDATE_ONLY)
    both.same("those that match", "scroll", name, with_vectors=True)
    both.do("delete_collection", name)


def server(croft, c):
    """What clients ask about a server and its collections."""
    name = "cosine"
    croft.create_payload_index(name, "tag", field_schema=m.PayloadSchemaType.KEYWORD)
    croft.create_payload_index(name, "text", field_schema=m.TextIndexParams(type="text", tokenizer=m.TokenizerType.WORD, lowercase=True))
    croft.create_payload_index(name, "n", field_schema=m.PayloadSchemaType.INTEGER)
    croft.delete_payload_index(name, "n")
    schema = croft.get_collection(name).payload_schema
    tagged = croft.count(name, count_filter=m.Filter(must_not=[m.IsEmptyCondition(is_empty=m.PayloadField(key="tag"))])).count
    tap.ok(sorted(schema) == ["tag", "text"] and schema["tag"].data_type == "keyword" and schema["tag"].points == tagged > 0 and
           schema["text"].params.lowercase, "indexes that were asked for are shown", schema)
    status, said = c.json("PUT", f"/collections/{name}/index", {"field_name": "x", "field_schema": "odd"})
    tap.ok(status == 400 and "field_schema" in said["status"]["error"], "an index of no type", said)
    q, f = vector(4), {"sum": ["$score", {"mult": [0.5, {"key": "tag", "match": {"value": "red"}}]}]}
    want = croft.query_points("formulas", prefetch=[m.Prefetch(query=q, limit=40)], limit=5, query=m.FormulaQuery(**{"formula": f})).points
    status, said = c.json("POST", "/api/v1/collections/formulas/search", {"vector": q, "k": 5, "candidates": 40, "formula": f})
    tap.ok(status == 200 and close([[p.id, p.score] for p in want], [[h["id"], h["score"]] for h in said["hits"]]) and said["hits"][0]["payload"],
           "Croft's own search scores by a formula too", said)
    status, said = c.json("POST", "/api/v1/collections/formulas/search", {"vector": q, "formula": {"ln": "none"}})
    tap.ok(status == 400 and "none" in json.dumps(said), "and names what has no value", said)
    code, out, err = c.cli("collections", "search", "formulas", "--vector", json.dumps(q), "--formula", json.dumps(f), "-k", "1", "--json")
    tap.ok(code == 0 and json.loads(out)["hits"][0]["id"] == want[0].id, "and the command", out + err)
    tap.ok(croft.cluster_status().status == "disabled", "no cluster")
    info = croft.collection_cluster_info(name)
    tap.ok(info.shard_count == 1 and info.local_shards[0].points_count == croft.count(name).count, "one shard", info)
    tap.ok(croft.get_optimizations(name).summary.queued_points == 0, "nothing to optimize")
    tap.ok(croft.info().version.count(".") == 2, "a version")
    croft.update_collection(name, optimizers_config=m.OptimizersConfigDiff(indexing_threshold=1), hnsw_config=m.HnswConfigDiff(m=8))
    tap.ok(croft.get_collection(name).optimizer_status == "ok", "what tunes storage is taken")


def snapshots(croft, c):
    """A collection as a file: made, listed, fetched, recovered under the same name and another, refused when anything is wrong with it."""
    def everything(name):
        return {str(p.id): plain(p) for p in croft.scroll(name, limit=5000, with_vectors=True)[0]}

    def upload(name, data, status=200, words=()):
        body = b"--x\r\ncontent-disposition: form-data; name=\"snapshot\"; filename=\"s\"\r\n\r\n" + data + b"\r\n--x--\r\n"
        got, said = c.request("POST", f"/collections/{name}/snapshots/upload", body, {"content-type": "multipart/form-data; boundary=x"})
        return got == status and all(w in said.decode() for w in words) or tap.note(f"{got} {said[:300]}")

    def summed(data):
        return data + b'{"sha256":"%s"}\n' % hashlib.sha256(data).hexdigest().encode()

    for name in ["rich", "named", "sparse"] + ["lists"] * in_memory:
        made = croft.create_snapshot(name)
        tap.ok([x.name for x in croft.list_snapshots(name)] == [made.name], f"{name}: a snapshot is made and listed", made)
        status, data = c.get(f"/collections/{name}/snapshots/{made.name}")
        tap.ok(status == 200 and upload("other", data), f"{name}: fetched, and recovered under another name")
        tap.ok(everything("other") == everything(name) and croft.get_collection("other").config.params == croft.get_collection(name).config.params,
               f"{name}: with every point and the kinds of vectors")
        croft.delete_collection("other")
    name = "rich"
    before = everything(name)
    croft.update_collection_aliases([m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=name, alias_name="safe"))])
    croft.delete(name, points_selector=list(range(1, 100)))
    croft.upsert(name, [m.PointStruct(id=70000, vector=vector(4))])
    tap.ok(croft.recover_snapshot(name, location=f"{c.base}/collections/{name}/snapshots/{made.name.replace('lists', name).replace('sparse', name)}") and
           everything(name) == before == everything("safe"), "recovered from where it is kept, under its name and alias")
    q = vector(4)
    exact = croft.query_points(name, query=q, limit=9, search_params=m.SearchParams(exact=True)).points
    tap.ok([p.id for p in croft.query_points("safe", query=q, limit=9).points] == [p.id for p in exact], "and is searched")
    status, data = c.get(f"/collections/{name}/snapshots/{croft.list_snapshots(name)[-1].name}")
    lines = data.split(b"\n")[:-2]
    join = lambda some: summed(b"\n".join(some) + b"\n")  # noqa: E731
    tap.ok(join(lines) == data, "the sum is of what is before it")
    wrong = {"a byte": data[:5000] + b"x" + data[5001:], "the end": data[:len(data) // 2], "everything": b"", "the sum": b"\n".join(lines) + b"\n",
             "a line": join(lines[:7] + lines[8:]), "the head": join(lines[1:]), "JSON": join(lines[:3] + [b"{"] + lines[4:]),
             "a size": join(lines[:5] + [b'{"id": 5, "payload": {}, "vector": [1, 2]}'] + lines[6:]), "an id": join(lines[:5] + [b'{"payload": {}}'] + lines[6:]),
             "the kinds": join([b'{"croft_collection": 1, "vectors": {"": {"size": 0, "distance": "x"}}, "items": 400}'] + lines[1:])}
    for what, bad in wrong.items():
        tap.ok(upload(name, bad, 400, ["error"]), f"a snapshot with {what} wrong is refused")
    tap.ok(everything(name) == before, "and changes nothing")
    if not on_postgres():
        rows = sqlite3.connect(os.path.join(c.home, "croft.db"), timeout=30).execute("SELECT COUNT(*) FROM collection WHERE project LIKE 'recover:%'").fetchall()
        tap.same(rows, [(0,)], "nor leaves anything")
    refused(lambda: croft.recover_snapshot(name, location="http://elsewhere.example/collections/rich/snapshots/rich-1.snapshot"), 400, ["location", "upload"], "from elsewhere")
    refused(lambda: croft.recover_snapshot(name, location="file:///etc/passwd"), 404, ["passwd"], "from a file of the server")
    refused(lambda: croft.delete_snapshot(name, "rich-99.snapshot"), 404, [], "no such snapshot")
    tap.ok(croft.delete_snapshot("named", croft.list_snapshots("named")[0].name) and not croft.list_snapshots("named"), "a snapshot is deleted")
    croft.update_collection_aliases([m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name="safe"))])


def aliases(both):
    """Other names of collections: made, moved with others at once, renamed, deleted, refused."""
    make = lambda k, a: m.CreateAliasOperation(create_alias=m.CreateAlias(collection_name=k, alias_name=a))  # noqa: E731
    drop = lambda a: m.DeleteAliasOperation(delete_alias=m.DeleteAlias(alias_name=a))  # noqa: E731
    rename = lambda a, b: m.RenameAliasOperation(rename_alias=m.RenameAlias(old_alias_name=a, new_alias_name=b))  # noqa: E731

    def listed(what):
        got, want = (sorted((x.alias_name, x.collection_name) for x in k.get_aliases().aliases) for k in (both.croft, both.local))
        tap.same(got, want, what)

    both.do("update_collection_aliases", [make("cosine", "live"), make("euclid", "other"), make("dot", "third")])
    listed("aliases are made")
    q = vector(8)
    both.same("a query by an alias", "query_points", "live", query=q, limit=5)
    both.do("upsert", "live", [m.PointStruct(id=77777, vector=q, payload={"by": "alias"})])
    both.same("a point put by an alias is in the collection", "retrieve", "cosine", [77777], with_vectors=True)
    both.do("delete", "live", points_selector=[77777])
    both.do("update_collection_aliases", [drop("third"), rename("live", "best"), make("euclid", "live")])
    listed("several changes at once")
    both.same("the same name, another collection", "query_points", "live", query=q, limit=5)
    tap.same(sorted(x.alias_name for x in both.croft.get_collection_aliases("euclid").aliases), ["live", "other"], "aliases of one collection")
    both.do("update_collection_aliases", [drop("never there")])
    for ops, status, words in (([make("none", "x")], 404, ["none"]), ([make("cosine", "dot")], 409, ["dot"]),
                               ([rename("none", "x")], 404, ["none"]), ([drop("best"), make("none", "x")], 404, ["change 1", "none was made"]),
                               ([make("cosine", "")], 400, ["actions[0]", "create_alias.alias_name"])):
        refused(lambda: both.croft.update_collection_aliases(ops), status, words, f"refused: {words}")
    listed("what is refused changes nothing")
    refused(lambda: both.croft.create_collection("best", vectors_config=m.VectorParams(size=8, distance=m.Distance.DOT)), 409, ["alias"],
            "no collection is made under the name of an alias")
    tap.ok(not both.croft.delete_collection("best") and both.croft.collection_exists("cosine"), "nor is one deleted by an alias")
    both.do("update_collection_aliases", [drop("best"), drop("live"), drop("other")])
    listed("and all are deleted")


def bad_input(croft, url):
    name = "cosine"
    refused(lambda: croft.get_collection("none"), 404, ["no collection none"], "no such collection")
    refused(lambda: croft.create_collection(name, vectors_config=m.VectorParams(size=8, distance=m.Distance.DOT)), 409,
            ["exists already"], "a collection that exists")
    refused(lambda: croft.upsert(name, [m.PointStruct(id=1, vector=[1.0, 2.0])]), 400, ["2 numbers", "takes 8"],
            "a vector of another length")
    refused(lambda: croft.query_points(name, query=[1.0] * 9), 400, ["9 numbers", "takes 8"], "a query of another length")
    refused(lambda: croft.query_points(name, query=[1.0] * 8, using="x"), 400, ["no vectors named"], "no such vectors")
    refused(lambda: croft.upsert(name, [m.PointStruct(id="", vector=[1.0] * 8)]), 400, ["id"], "an empty id")
    for body, what in ((b"{", "broken JSON"), (b"[]", "no object"), (b'{"points":[{"id":1,"vector":[1e999]}]}', "no number"),
                       (b'{"points":[{"id":-1,"vector":[1]}]}', "a negative id"), (b'{"points":{}}', "no list"),
                       (b'{"points":[{"id":1,"vector":[[1]]}]}', "a list of lists"), (b"\xff", "no UTF-8")):
        rq = urllib.request.Request(f"{url}/collections/{name}/points", body, {"content-type": "application/json"}, method="PUT")
        try:
            urllib.request.urlopen(rq)
            tap.ok(False, what + " is refused")
        except urllib.error.HTTPError as e:
            tap.ok(400 <= e.code < 500 and "error" in json.loads(e.read())["status"], what + " is refused in Qdrant's shape", e.code)


def kill_while_writing(tap):
    """What was acknowledged is there after kill -9, and is searched."""
    with Croft() as c:
        q = QdrantClient(url=c.base, timeout=60, check_compatibility=False)
        q.create_collection("k", vectors_config=m.VectorParams(size=4, distance=m.Distance.COSINE),
                            sparse_vectors_config={"s": m.SparseVectorParams()})
        known, stop = {}, threading.Event()

        def write(worker):
            own = random.Random(worker)
            while not stop.is_set():
                i = worker * 1000 + own.randrange(300)
                v = [own.gauss(0, 1) for _ in range(4)]
                try:
                    if own.random() < 0.2:
                        known[i] = ("?", None)
                        q.delete("k", points_selector=[i])
                        known[i] = ("gone", None)
                    else:
                        known[i] = ("?", None)
                        q.upsert("k", [m.PointStruct(id=i, vector={"": v, "s": m.SparseVector(indices=[i, 77777], values=[1.0, v[0]])}, payload={"w": worker})])
                        known[i] = ("there", v)
                except Exception:
                    return

        threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
        for t in threads:
            t.start()
        while sum(s != "?" for s, _ in list(known.values())) < 400:
            pass
        c.kill()
        stop.set()
        for t in threads:
            t.join()
        c.start()
        q = QdrantClient(url=c.base, timeout=60, check_compatibility=False)
        lost = []
        for i, (state, v) in known.items():
            got = q.retrieve("k", [i], with_vectors=True)
            if state == "gone" and got:
                lost.append(f"{i} was deleted and is back")
            if state == "there":
                near = q.query_points("k", query=v, limit=3).points
                own = [p.id for p in q.query_points("k", query=m.SparseVector(indices=[i], values=[1.0]), using="s", limit=3).points]
                back = got and got[0].vector[""]
                if not got or not close(plain(back), v) or i not in [p.id for p in near] or own != [i]:
                    lost.append(f"{i} is not there, or is not found")
        there = {i for i, (state, _) in known.items() if state == "there"}
        found = {p.id for p in q.query_points("k", query=m.SparseVector(indices=[77777], values=[1.0]), using="s", limit=4000).points}
        lost += [f"{i} is not found by its sparse vector" for i in there - found]
        lost += [f"{i} was deleted and is found by its sparse vector" for i in found if known[i][0] == "gone"]
        tap.ok(not lost, f"after kill -9 all of {len(known)} points are as they were acknowledged", "\n".join(lost[:10]))


def large():
    """So many that a graph is walked: it is found again after a restart, after kill -9, and when its files are damaged."""
    dim, n = 16, 6000
    centres = [vector(dim) for _ in range(50)]
    vs = [[x + rnd.gauss(0, 0.25) for x in rnd.choice(centres)] for _ in range(n)]
    queries = [[x + rnd.gauss(0, 0.25) for x in rnd.choice(centres)] for _ in range(50)]

    def recall(q, what):
        hit = same = 0
        for v in queries:
            near = [p.id for p in q.query_points("large", query=v, limit=10).points]
            exact = [p.id for p in q.query_points("large", query=v, limit=10, search_params=m.SearchParams(exact=True)).points]
            hit += len(set(near) & set(exact))
            same += exact == [i for _, i in sorted((-cosine(v, w), i) for i, w in alive.items())[:10]]
        tap.ok(hit >= 475, f"{what}: the graph finds at least 95 % of the nearest", f"{hit} of 500")
        tap.ok(same == len(queries), f"{what}: an exact search finds the nearest", f"{same} of {len(queries)}")

    def cosine(a, b):
        return sum(x * y for x, y in zip(a, b)) / (sum(x * x for x in a) ** 0.5 * sum(x * x for x in b) ** 0.5)

    with Croft() as c:
        q = QdrantClient(url=c.base, timeout=60, check_compatibility=False)
        q.create_collection("large", vectors_config=m.VectorParams(size=dim, distance=m.Distance.COSINE))
        for at in range(0, n, 1000):
            q.upsert("large", m.Batch(ids=list(range(at, at + 1000)), vectors=vs[at:at + 1000]))
        alive = dict(enumerate(vs))
        for _ in range(300):
            answer = c.json("POST", "/api/v1/collections/large/search", {"vector": queries[0]})[1]
            if in_memory or not answer["exact"]:
                break
            time.sleep(0.1)  # pgvector's graph is made beside the writes
        tap.ok(not answer["exact"] and answer["compared"] < n, "many items are not compared one by one", answer)
        recall(q, "fresh")
        c.stop()
        files = [os.path.join(d, f) for d, _, names in os.walk(os.path.join(c.home, "collections")) for f in names if f.endswith(".0")]
        tap.ok(len(files) == in_memory, "its index is saved", files)
        c.start()
        q = QdrantClient(url=c.base, timeout=60, check_compatibility=False)
        recall(q, "after a restart")
        q.delete("large", points_selector=list(range(0, 500)))
        q.upsert("large", m.Batch(ids=list(range(500, 700)), vectors=vs[:200]))
        alive = {i: vs[i - 500] if 500 <= i < 700 else v for i, v in alive.items() if i >= 500}
        c.kill()
        c.start()
        q = QdrantClient(url=c.base, timeout=60, check_compatibility=False)
        recall(q, "after kill -9, with changes later than the saved index")
        c.stop()
        files = [os.path.join(d, f) for d, _, names in os.walk(os.path.join(c.home, "collections")) for f in names if f.endswith(".0")]
        tap.ok(len(files) == in_memory, "no older one is left", files)
        for file in files:
            with open(file, "r+b") as f:
                f.seek(os.path.getsize(file) // 2)
                f.write(b"damaged!")
        c.start()
        q = QdrantClient(url=c.base, timeout=60, check_compatibility=False)
        if in_memory:
            recall(q, "after damage to its file")
            tap.ok("built anew" in c.logged(), "which is said in the log", c.logged()[-1500:])
        q.delete_collection("large")
        tap.ok(not [d for d, _, names in os.walk(os.path.join(c.home, "collections")) if any(f.endswith(".0") for f in names)],
               "a deleted collection leaves no files")


with Croft() as c:
    croft = QdrantClient(url=c.base, timeout=60)
    both = Both(croft, QdrantClient(":memory:"))
    for name, distance in (("dot", m.Distance.DOT), ("euclid", m.Distance.EUCLID), ("manhattan", m.Distance.MANHATTAN), ("cosine", m.Distance.COSINE)):
        both.do("create_collection", name, vectors_config=m.VectorParams(size=8, distance=distance))
        ids = fill(both, name)
        reading(both, name, ids)
        kinds(both, name, ids)
        scrolling(both, name)
    changes(both, ids)
    reading(both, "cosine", ids)
    named(both)
    filters(both)
    grouping(both)
    again = [sparse(both), lists(both)]
    formulas(both)
    samples(both)
    upserts(both)
    snapshots(croft, c)
    server(croft, c)
    aliases(both)
    bad_input(croft, c.base)
    tap.ok(sorted(k.name for k in croft.get_collections().collections) ==
           ["authors", "cosine", "dot", "euclid", "formulas", "groups"] + ["lists", "manhattan", "named", "only", "rich", "sparse"],
           "the collections are listed")
    tap.ok(croft.collection_exists("dot") and croft.delete_collection("dot") and not croft.collection_exists("dot"),
           "a collection is deleted")
    tap.ok(not croft.delete_collection("dot"), "and was there only once")
    c.stop()
    c.start()
    both.croft = QdrantClient(url=c.base, timeout=60, check_compatibility=False)
    reading(both, "cosine", ids)
    scrolling(both, "cosine")
    for all_kinds in again:
        all_kinds("after a restart")
kill_while_writing(tap)
large()
tap.done()
