#!/usr/bin/env python3
"""Curation of real texts: intents of bank customers (BANKING77) with labels that were spoilt on purpose, labels that were
taken away, texts that do not belong. Says precision, recall and accuracy, and fails when they fall."""
import csv
import json
import lzma
import os
import random
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, EMBED, Tap, skip_all

tap = Tap()
random.seed(3)
ROOT = "/api/v1/collections"
DATA = os.environ.get("CROFT_SHARED_DATA", os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../../shared/data"))
FILE = os.path.join(DATA, "guardrails/banking77_test.csv")
if not os.path.exists(FILE):
    skip_all("there is no " + FILE)


def act(c, url, body):
    """The job that this begins, when it has ended."""
    r = c.json("POST", url, body)[1]
    end = time.time() + 60
    while r.get("state") in ("waiting", "running") and time.time() < end:
        time.sleep(0.02)
        r = c.json("GET", f"{ROOT}/bank/bulk/{r['id']}")[1]
    return r


def curate(c, kind, **o):
    url = f"{ROOT}/bank/curate/{kind}"
    status, r = c.json("POST", url, o)
    assert status == 200, r
    while (r := c.json("GET", url + "?limit=1000")[1])["state"] == "running":
        time.sleep(0.02)
    assert r["state"] == "idle", r
    cases, total = r["result"]["cases"], r["result"]["total"]
    while len(cases) < total and kind != "duplicates":
        cases += c.json("GET", f"{url}?limit=1000&from={len(cases)}")[1]["result"]["cases"]
    return r["result"]


def main(c):
    rows = list(csv.DictReader(open(FILE)))
    random.shuffle(rows)
    rows = rows[:2400]
    truth = [r["category"] for r in rows]
    names = sorted(set(truth))
    spoilt = {i: random.choice([n for n in names if n != truth[i]]) for i in random.sample(range(len(rows)), len(rows) // 10)}
    c.json("PUT", ROOT + "/bank", {"vectors": {"model": EMBED}})
    items = [{"id": i, "text": r["text"], "payload": {"text": r["text"], "intent": spoilt.get(i, truth[i]),
              **({"part": truth[i]} if i % 5 == 0 else {})}} for i, r in enumerate(rows)]
    for at in range(0, len(items), 400):
        status, r = c.json("PUT", ROOT + "/bank/items", {"items": items[at:at + 400]}, timeout=300)
        assert status == 200, r

    # wrong labels
    r = curate(c, "mislabelled", label="intent")
    found = {k["id"]: k for k in r["cases"]}
    hits = [i for i in found if i in spoilt]
    precision, recall = len(hits) / len(found), len(hits) / len(spoilt)
    right = sum(found[i]["offered"] == truth[i] for i in hits) / len(hits)
    tap.note(f"mislabelled (joint): {len(found)} found, precision {precision:.3f}, recall {recall:.3f}, offered label right {right:.3f}")
    tap.ok(precision > 0.65 and recall > 0.7 and right > 0.9, "spoilt labels are found")
    best = sorted(r["cases"], key=lambda k: k["score"])
    tap.same([k["id"] for k in best], [k["id"] for k in r["cases"]], "the least likely label first")
    top = sum(k["id"] in spoilt for k in best[:100])
    tap.ok(top >= 75, f"{top} of the first hundred are spoilt")
    tap.ok(all(k["given"] == items[k["id"]]["payload"]["intent"] and k["given"] != k["offered"] for k in best), "given and offered")
    tap.ok(all(k["of"] is None or items[k["of"]]["payload"]["intent"] == k["offered"] for k in best), "with an example of what is offered")
    again = curate(c, "mislabelled", label="intent")
    tap.same(again["cases"], r["cases"], "the same each time")
    rate = curate(c, "mislabelled", label="intent", method="noise_rate")
    hits = sum(k["id"] in spoilt for k in rate["cases"])
    tap.note(f"mislabelled (noise rate): {rate['total']} found, precision {hits / rate['total']:.3f}, recall {hits / len(spoilt):.3f}")
    tap.ok(hits / len(spoilt) > 0.7, "by noise rate too")

    # a person looks at some of them
    url = ROOT + "/bank/curate/mislabelled"
    curate(c, "mislabelled", label="intent")
    accept = [k["id"] for k in best[:60] if k["id"] in spoilt]
    keep = [k["id"] for k in best if k["id"] not in spoilt][:10]
    tap.same(c.json("POST", url + "/apply", {"action": "label", "ids": accept})[1]["items"], len(accept), "labels are accepted")
    tap.same(c.json("POST", url + "/apply", {"action": "checked", "ids": keep})[1]["items"], len(keep), "others are kept")
    later = curate(c, "mislabelled", label="intent")
    left = {k["id"] for k in later["cases"]}
    tap.ok(not left & set(keep), "what was kept is not asked again")
    tap.ok(len(left & set(accept)) < len(accept) / 10, "what was corrected is right now")
    d = act(c, url + "/dataset", {"dataset": "intents", "items": "all", "field": "intent"})["dataset"]
    tap.same((d["version"], d["rows"]), (1, len(rows)), "a dataset with all corrected")

    # labels for those that have none
    r = curate(c, "propagate", label="part")
    s = r["summary"]
    got = {k["id"]: k["offered"] for k in r["cases"]}
    real = sum(got[i] == truth[i] for i in got) / (len(rows) - s["labelled"])
    tap.note(f"propagated from {s['labelled']} labels: accuracy {real:.3f}; held out {s['hidden']}: {s['accuracy']:.3f} "
             f"({s['accuracy_low']:.3f} to {s['accuracy_high']:.3f})")
    tap.ok(real > 0.72 and len(got) > 0.95 * (len(rows) - s["labelled"]), "labels spread to most")
    tap.ok(abs(real - s["accuracy"]) < 0.12, "the accuracy of what was hidden tells that of the rest")
    sure = [k for k in r["cases"][:len(r["cases"]) // 3]]
    tap.ok(sum(k["offered"] == truth[k["id"]] for k in sure) / len(sure) > real, "those that are surer are right more often")
    few = curate(c, "propagate", label="part", threshold=0.5)
    tap.ok(0 < few["total"] < r["total"] and all(k["score"] >= 0.5 for k in few["cases"]), "down to a confidence")
    tap.same(curate(c, "propagate", label="part")["cases"], r["cases"], "the same each time")

    # samples to label
    def cover(ids):
        return len({truth[i] for i in ids})
    r = curate(c, "sample", count=100)
    centres = [k["id"] for k in r["cases"]]
    drawn = sum(cover(random.sample(range(len(rows)), 100)) for _ in range(20)) / 20
    tap.note(f"100 centres are of {cover(centres)} intents, 100 by chance of {drawn:.1f}; farthest {r['summary']['farthest']:.3f}")
    tap.ok(len(set(centres)) == 100 and cover(centres) > drawn - 3, "centres cover the intents")
    r = curate(c, "sample", method="uncertain", label="part", count=200)
    asked = [k["id"] for k in r["cases"]]
    wrong = sum(got.get(i) != truth[i] for i in asked) / len(asked)
    tap.note(f"propagation is wrong on {wrong:.3f} of the 200 most uncertain, on {1 - real:.3f} of all")
    tap.ok(wrong > 1.25 * (1 - real) and not any("part" in items[i]["payload"] for i in asked), "the uncertain are the hard ones")
    spread = curate(c, "sample", method="uncertain", label="part", count=50, diverse=True)
    plain = {k["id"] for k in curate(c, "sample", method="uncertain", label="part", count=50)["cases"]}
    mixed = {k["id"] for k in spread["cases"]}
    tap.ok(len(mixed) == 50 and cover(mixed) >= cover(plain), f"diverse ones are of {cover(mixed)} intents, others of {cover(plain)}")

    # balance
    b = curate(c, "balance", label="part")["summary"]
    tap.same((b["labelled"], b["unlabelled"], sum(k["items"] for k in b["classes"])),
             (len(rows) // 5, len(rows) - len(rows) // 5, len(rows) // 5), "classes are counted")
    tap.ok(0.9 < b["evenness"] <= 1 and 0.5 < b["covered"] <= 1 and b["largest"] == b["classes"][0]["items"], "and weighed", b)

    # outliers: sums from a schoolbook
    with lzma.open(os.path.join(DATA, "finetune/gsm8k_train.jsonl.xz"), "rt") as f:
        sums = [json.loads(next(f))["question"] for _ in range(20)]
    c.json("PUT", ROOT + "/bank/items", {"items": [
        {"id": f"sum {i}", "text": t[:400], "payload": {"text": t, "intent": truth[0]}} for i, t in enumerate(sums)]}, timeout=300)
    r = curate(c, "outliers", method="distance", share=20 / (len(rows) + 20), neighbours=50)
    hits = sum(str(k["id"]).startswith("sum") for k in r["cases"])
    tap.note(f"outliers by distance: {hits} of 20 that do not belong")
    lof = curate(c, "outliers", share=40 / (len(rows) + 20), neighbours=60)
    hits_lof = sum(str(k["id"]).startswith("sum") for k in lof["cases"])
    tap.note(f"outliers by local factor: {hits_lof} of 20 among the first 40")
    tap.ok(hits >= 15, "what does not belong is far from all")
    tap.ok(hits_lof >= 12 and lof["cases"][0]["score"] > 1.2, "and thinly sown")
    of = curate(c, "outliers", label="intent", share=0.02)
    tap.ok(of["summary"]["classes"] == len(names) and of["total"] == -(-of["summary"]["scored"] * 2 // 100), "class by class")
    hits = sum(k["id"] in spoilt and k["id"] not in accept or str(k["id"]).startswith("sum") for k in of["cases"])
    tap.ok(hits > 0.6 * of["total"], f"{hits} of {of['total']} outliers of classes are spoilt or foreign")
    done = act(c, ROOT + "/bank/curate/outliers/apply", {"field": "odd"})
    tap.same(done["items"], of["total"], "they are tagged")

    for bad in ({}, {"label": "none"}):
        status, r = c.json("POST", ROOT + "/bank/curate/propagate", bad)
        while status == 200 and (r := c.json("GET", ROOT + "/bank/curate/propagate")[1])["state"] == "running":
            time.sleep(0.02)
        tap.ok(status == 400 or "at least two" in (r.get("error") or ""), f"refused: {bad}", r)
    status, _ = c.json("POST", ROOT + "/bank/curate/mislabelled", {"label": "text"})
    while (r := c.json("GET", ROOT + "/bank/curate/mislabelled")[1])["state"] == "running":
        time.sleep(0.02)
    tap.note(r["error"] or r["result"]["summary"])
    for kind, o in (("mislabelled", {"label": "intent"}), ("balance", {"label": "intent"}), ("sample", {"count": 5}),
                    ("propagate", {"label": "part"}), ("outliers", {})):
        args = [x for k, v in o.items() for x in ("--" + k, str(v))]
        rc, said, err = c.cli("collections", "curate", "bank", kind, *args)
        tap.ok(rc == 0 and "items," in said, f"the command: {kind}", said + err)


with Croft(models=True) as c:
    main(c)
tap.done()
