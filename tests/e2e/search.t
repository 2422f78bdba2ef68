#!/usr/bin/env python3
"""One filter language at every list: artifacts, experiments, runs, traces; in the API and the commands."""
import os
import sys
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

tap = Tap()


def main(c):
    def put(method, path, body):
        status, r = c.json(method, path, body)
        tap.ok(status in (200, 201), f"{method} {path}", r)

    for kind, name, about, tags in (("model", "churn", "leaves or stays", {"team": "nlp", "size": "12"}),
                                    ("model", "mood", "", {"team": "cv"}), ("dataset", "faq", "questions", {})):
        put("POST", f"/api/v1/artifacts/{kind}", {"name": name, "description": about})
        for i in range(2 if name == "churn" else 1):
            put("POST", f"/api/v1/artifacts/{kind}/{name}/versions", {"source": f"s3://x/{name}/{i}"})
        for tag, value in tags.items():
            put("PUT", f"/api/v1/artifacts/{kind}/{name}/tags/{tag}", {"value": value})
    put("PUT", "/api/v1/artifacts/model/churn/aliases/prod", {"version": 2, "reason": "first"})
    put("PUT", "/api/v1/artifacts/model/churn/aliases/old", {"version": 1, "reason": "before"})
    put("PUT", "/api/v1/artifacts/model/mood/aliases/dev", {"version": 1, "reason": "try"})

    def found(filter, path="/api/v1/artifacts", key="artifacts", **more):
        status, r = c.json("GET", path + "?" + urllib.parse.urlencode({"filter": filter, **more}))
        return [x["name"] for x in r[key]] if status == 200 else r["error"]["message"]

    for filter, want in (("", ["churn", "faq", "mood"]), ("kind = 'model'", ["churn", "mood"]),
                         ("tags.team = 'nlp' OR kind = 'dataset'", ["churn", "faq"]), ("tags.size > 9.5", ["churn"]),
                         ("tags.team != 'nlp'", ["mood"]), ("tags.team IS NULL", ["faq"]),
                         ("alias = 'prod'", ["churn"]), ("alias != 'prod'", ["mood"]), ("alias.prod = 2", ["churn"]),
                         ("alias IS NULL", ["faq"]), ("NOT alias = 'prod'", ["faq", "mood"]),
                         ("versions >= 2 AND name RLIKE '^c.*n$'", ["churn"]), ("text CONTAINS 'LEAVES'", ["churn"]),
                         ("created > '2020-01-01' AND updated < '2020-01-01'", []),
                         ("description LIKE '%stays'", ["churn"])):
        tap.same(found(filter), want, "artifacts: " + (filter or "all"))
    first = c.json("GET", "/api/v1/artifacts?limit=1&filter=" + urllib.parse.quote("kind = 'model'"))[1]
    tap.same(found("kind = 'model'", after=first["next"]), ["mood"], "the next page")
    put("POST", "/api/v1/artifacts/prompt", {"name": "mood"})
    pages, after = [], {}
    while len(pages) < 9:
        page = c.json("GET", "/api/v1/artifacts?" + urllib.parse.urlencode({"limit": 1, **after}))[1]
        pages += [x["kind"] + "/" + x["name"] for x in page["artifacts"]]
        if not page["next"]:
            break
        after = {"after": page["next"]}
    tap.same(pages, ["model/churn", "dataset/faq", "model/mood", "prompt/mood"], "page by page, one name in two kinds")
    tap.same(c.json("GET", "/api/v1/artifacts?after=churn")[0], 400, "an after that no next was")
    tap.ok("colour is not known here (column 1); known are kind, name" in found("colour = 'red'"), "what is wrong is said")
    run = c.cli("artifact", "ls", "--filter", "tags.team = 'cv'", "--json")
    tap.ok(run[0] == 0 and '"mood"' in run[1] and '"churn"' not in run[1], "croft artifact ls --filter", run)

    put("POST", "/api/2.0/mlflow/experiments/create", {"name": "sweep", "tags": [{"key": "team", "value": "nlp"}]})
    tap.same(found("name = 'sweep' OR tags.team = 'x'", "/api/v1/experiments", "experiments"), ["sweep"], "experiments")
    put("POST", "/api/2.0/mlflow/runs/create", {"experiment_id": "1", "run_name": "one", "start_time": 1790000000000,
                                                "tags": [{"key": "lr", "value": "0.05"}]})
    for filter, want in (("tags.lr < 0.1 AND NOT tags.lr < 0.01", ["one"]), ("start_time > '2026-01-01'", ["one"]),
                         ("run_name RLIKE 'o.e' AND end_time IS NULL", ["one"]), ("tags.lr IN (0.1, 0.2)", [])):
        tap.same(found(filter, "/api/v1/experiments/1/runs", "runs"), want, "runs: " + filter)
    slow = "tags.lr RLIKE '(a*)*(a|aa)+$'"
    tap.same(found(slow, "/api/v1/experiments/1/runs", "runs"), [], "a pattern that others go back and forth in")


with Croft() as croft:
    main(croft)
tap.done()
