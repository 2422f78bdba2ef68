#!/usr/bin/env python3
"""keyword_peers.py make DATA DIR: the sets of `make bench-keyword`, as lines of terms.
keyword_peers.py peer NAME SET: a peer's queries a second of one thread's own time; its hits go to SET/NAME.
keyword_peers.py row SET NAME OURS PEER GOAL: one line of the table."""
import json
import lzma
import os
import pathlib
import random
import re
import sys
import tarfile
import time

K1, B, TOP = 1.2, 0.75, 10  # tantivy has no others
MADE, LENGTH = 200_000, 90  # documents of the made set, their mean length in words
STOP = set("a an and are as at be but by for if in into is it no not of on or such that the their then there these "
           "they this to was will with what who when where which how why do does did can has have had i you he she "
           "we were been from its his her".split())


def words(text):
    return re.findall(r"[a-z0-9]+", text.lower())


def read(path):
    path = pathlib.Path(path)
    if not path.exists():
        return lzma.open(str(path) + ".xz", "rt", encoding="utf-8")
    return open(path, encoding="utf-8")


def rows(path):
    with read(path) as f:
        return [json.loads(line) for line in f]


def write(folder, docs, queries):
    folder.mkdir(parents=True, exist_ok=True)
    for name, lists in ("docs", docs), ("queries", queries):
        (folder / name).write_text("".join(" ".join(x) + "\n" for x in lists))


def keep(terms):
    return [t for t in terms if t not in STOP]


def make(data, folder):
    data, folder = pathlib.Path(data), pathlib.Path(folder)
    stream, questions = [], []
    for name in "boolq-retrieval", "cranfield", "xquad-en":
        docs = [words(r.get("title", "") + " " + r["text"]) for r in rows(data / "rag" / name / "corpus.jsonl")]
        asked = [words(r["text"]) for r in rows(data / "rag" / name / "queries.jsonl")]
        stream += [d for d in docs]
        questions += asked
        if name != "xquad-en":
            write(folder / name, [keep(d) for d in docs], [keep(q) for q in asked][:1000])
    for name in "postgresql-17-html.tar.xz", "rfc-std.tar.xz":
        with tarfile.open(data / "docs" / name) as tar:
            for member in tar:
                if member.isfile():
                    text = tar.extractfile(member).read().decode("utf-8", "replace")
                    stream.append(words(re.sub(r"<[^>]*>", " ", text)))
    # Documents of 2 to 5 pieces of real text each, and one word in 25 from a long Zipf tail (names, numbers),
    # which so few sources do not have.
    rnd = random.Random(5)
    weights = [len(s) for s in stream]
    docs = []
    for sources in rnd.choices(stream, weights, k=MADE):
        doc = []
        for piece in range(rnd.randint(2, 5)):
            source = sources if piece < 2 else stream[rnd.randrange(len(stream))]
            n = rnd.randint(LENGTH // 7, LENGTH // 2)
            at = rnd.randrange(max(1, len(source) - n))
            doc += source[at:at + n]
        for i in range(len(doc)):
            if rnd.random() < 0.04:
                doc[i] = "n%d" % int(1 / (1e-6 + rnd.random()))
        docs.append(doc)
    rnd.shuffle(questions)
    questions = questions[:1000]
    write(folder / "made", [keep(d) for d in docs], [keep(q) for q in questions])
    write(folder / "made-all-words", docs, questions)


def lines(path):
    with open(path) as f:
        return [line.split() for line in f]


def timed(ask, queries, seconds=2.0):
    """Queries a second; at least one time through, or as many as 20 seconds allow."""
    results, start, n = [], time.thread_time(), 0
    for q in queries:
        results.append(ask(q))
        if time.thread_time() - start > 20:
            return len(results) / (time.thread_time() - start), results
    start = time.thread_time()
    while time.thread_time() - start < seconds:
        for q in queries:
            ask(q)
        n += len(queries)
    return n / (time.thread_time() - start), results


def rank_bm25(docs, queries):
    import numpy
    import rank_bm25
    index = rank_bm25.BM25Okapi(docs, k1=K1, b=B)

    def ask(q):
        scores = index.get_scores(q)
        best = numpy.argpartition(scores, -TOP)[-TOP:]
        return best[numpy.argsort(-scores[best], kind="stable")]
    return (*timed(ask, queries), 0)


def bm25s(docs, queries):
    import bm25s as lib
    index = lib.BM25(method="lucene", k1=K1, b=B, backend="numba")
    index.index(docs, show_progress=False)
    # Terms as numbers, as its own tokenizer hands them over; all queries in one compiled call.
    known = index.vocab_dict
    ids = [[known[t] for t in q if t in known] for q in queries]
    full = [i for i, q in enumerate(ids) if q]

    def all_at_once():
        return index.retrieve([ids[i] for i in full], k=TOP, sorted=True, n_threads=1, show_progress=False)
    found = all_at_once()
    start, n = time.thread_time(), 0
    while time.thread_time() - start < 2:
        all_at_once()
        n += len(full)
    took = time.thread_time() - start
    hits = [[] for _ in queries]
    for row, i in enumerate(full):
        hits[i] = [d for d, s in zip(found.documents[row], found.scores[row]) if s > 0]
    bytes_ = sum(index.scores[k].nbytes for k in ("data", "indices", "indptr"))
    return n / took, hits, bytes_


def tantivy(docs, queries):
    import tempfile
    import tantivy as lib
    schema = lib.SchemaBuilder()
    schema.add_text_field("body", stored=False, tokenizer_name="whitespace", index_option="freq")
    schema.add_integer_field("number", stored=True, fast=True)
    schema = schema.build()
    with tempfile.TemporaryDirectory() as folder:
        index = lib.Index(schema, path=folder)
        writer = index.writer(heap_size=1_000_000_000, num_threads=1)
        for i, d in enumerate(docs):
            writer.add_document(lib.Document(body=" ".join(d), number=i))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        searcher = index.searcher()
        asked = [lib.Query.boolean_query([(lib.Occur.Should, lib.Query.term_query(schema, "body", t, "freq"))
                                          for t in q]) for q in queries]
        qps, results = timed(lambda q: searcher.search(q, TOP, count=False).hits, asked)
        hits = [[searcher.doc(address)["number"][0] for _, address in r] for r in results]
        size = sum(f.stat().st_size for f in pathlib.Path(folder).iterdir()
                   if f.suffix in (".idx", ".term", ".fieldnorm"))
        return qps, hits, size


def peer(name, folder):
    folder = pathlib.Path(folder)
    start = time.thread_time()
    qps, hits, size = globals()[name](lines(folder / "docs"), lines(folder / "queries"))
    (folder / name).write_text("".join(" ".join(map(str, h)) + "\n" for h in hits))
    print("%.1f %.1f %d" % (qps, time.thread_time() - start, size))


def row(folder, name, ours, theirs, goal):
    """Agreement: of the peer's ten, how many are among ours, or are worth as much as our last one."""
    mine = [[(int(h.split(":")[0]), float(h.split(":")[1])) for h in x] for x in lines(pathlib.Path(folder) / "ours")]
    other = lines(pathlib.Path(folder) / name)
    same = of = 0
    for a, b in zip(mine, other):
        ids = {d for d, _ in a}
        same += len(ids & set(map(int, b)))
        of += len(ids)
    a, b, goal = float(ours.split()[0]), float(theirs.split()[0]), float(goal)
    megabytes = int(theirs.split()[2]) / 2**20
    print("%-16s %-10s %10.0f %10.0f %8.1f %6.1f %5.1f %% %6s MB  %s" % (
        os.path.basename(folder), name, a, b, a / b, goal, 100 * same / max(of, 1),
        "%.1f" % megabytes if megabytes else "-", "ok" if a / b >= goal else "below"), flush=True)


if __name__ == "__main__":
    {"make": make, "peer": peer, "row": row}[sys.argv[1]](*sys.argv[2:])
