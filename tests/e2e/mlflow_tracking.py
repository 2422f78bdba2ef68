"""MLflow's own client, unmodified, against experiments, runs, histories and files; and the wire
itself where the client is too polite to ask."""
import json
import math
import os
import sys
import tempfile
import urllib.parse

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
import logging  # noqa: E402
import warnings  # noqa: E402

import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import (Dataset, DatasetInput, InputTag, Metric, Param, RunTag,  # noqa: E402
                             ViewType)
from mlflow.exceptions import MlflowException  # noqa: E402

warnings.simplefilter("ignore")
logging.getLogger("mlflow").setLevel(logging.ERROR)
tap = Tap()
API = "/api/2.0/mlflow/"


def code(fn, *args, **kw):
    try:
        fn(*args, **kw)
    except MlflowException as e:
        return e.error_code, e.message
    return "OK", ""


def experiments(c):
    tap.same(c.get_experiment("0").name, "Default", "experiment 0 is Default")
    one = c.create_experiment("one", tags={"team": "a"})
    two = c.create_experiment("two", artifact_location="s3://bucket/place")
    tap.same(c.get_experiment_by_name("one").tags, {"team": "a"}, "an experiment's tags")
    tap.same(c.get_experiment(two).artifact_location, "s3://bucket/place", "its location stays")
    tap.same(code(c.create_experiment, "one")[0], "RESOURCE_ALREADY_EXISTS", "a name is there once")
    tap.ok(c.get_experiment_by_name("none") is None, "an unknown name is none")
    c.rename_experiment(two, "second")
    c.set_experiment_tag(two, "k", "v")
    tap.same(c.get_experiment(two).name, "second", "a new name")
    tap.same([e.name for e in c.search_experiments(filter_string="tags.k = 'v'")], ["second"],
             "experiments by tag")
    tap.same([e.name for e in c.search_experiments(order_by=["name"])], ["Default", "one", "second"],
             "experiments in order")
    page = c.search_experiments(max_results=2, order_by=["name DESC"])
    rest = c.search_experiments(max_results=2, order_by=["name DESC"], page_token=page.token)
    tap.same([e.name for e in page + rest], ["second", "one", "Default"], "pages of experiments")
    c.delete_experiment(two)
    tap.same([e.name for e in c.search_experiments(view_type=ViewType.DELETED_ONLY)], ["second"],
             "a deleted one is seen when asked for")
    tap.same(code(c.create_run, two)[0], "INVALID_PARAMETER_VALUE", "a deleted one takes no runs")
    c.restore_experiment(two)
    tap.same(c.get_experiment(two).lifecycle_stage, "active", "and can be restored")
    tap.same(code(c.get_experiment, "999")[0], "RESOURCE_DOES_NOT_EXIST", "there is no number 999")
    return one


def training(c, server, eid):
    mlflow.set_experiment(experiment_id=eid)
    with mlflow.start_run(run_name="first") as run:
        mlflow.log_params({"lr": 0.1, "depth": 3, "empty": ""})
        for step in range(100):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metrics({"nan": float("nan"), "inf": float("inf"), "-inf": -float("inf")})
        mlflow.set_tags({"stage": "dev", "note": "a \"quoted\" \u00e9 \U0001F33E"})
        with mlflow.start_run(run_name="child", nested=True) as child:
            mlflow.log_metric("loss", 5)
    rid = run.info.run_id
    r = c.get_run(rid)
    tap.same(r.info.status, "FINISHED", "the run has ended")
    tap.ok(r.info.end_time >= r.info.start_time, "after it began")
    tap.same(r.data.params, {"lr": "0.1", "depth": "3", "empty": ""}, "parameters")
    tap.same(r.data.metrics["loss"], 0.01, "the newest point of a metric")
    tap.ok(math.isnan(r.data.metrics["nan"]) and r.data.metrics["inf"] > 1e308
           and r.data.metrics["-inf"] < -1e308, "NaN and the infinities")
    tap.same(r.data.tags["note"], "a \"quoted\" \u00e9 \U0001F33E", "a tag in any script")
    tap.same(c.get_run(child.info.run_id).data.tags["mlflow.parentRunId"], rid, "a nested run")
    h = c.get_metric_history(rid, "loss")
    tap.same([(m.step, m.value) for m in h], [(s, 1 / (s + 1)) for s in range(100)], "a history")
    tap.same(c.get_metric_history(rid, "none"), [], "of an unknown metric: nothing")

    tap.ok("Changing param values is not allowed" in code(c.log_param, rid, "lr", "0.2")[1],
           "a parameter is set once")
    tap.same(code(c.log_param, rid, "lr", "0.1")[0], "OK", "to the same value again: fine")
    tap.same(code(c.log_metric, rid, "a//b", 1)[0], "INVALID_PARAMETER_VALUE", "names are paths")
    tap.same(code(c.get_run, "0" * 32)[0], "RESOURCE_DOES_NOT_EXIST", "an unknown run")
    many = [Metric(f"m{i}", i, 1, 0) for i in range(2500)]
    c.log_batch(rid, metrics=many, params=[Param("p", "q")], tags=[RunTag("t", "u")])
    tap.same(len(c.get_run(rid).data.metrics), 2504, "a batch that the client splits")
    tap.same(len(c.get_run(rid).data.params), 4, "with parameters")
    status, body = server.json("POST", API + "runs/log-batch", {
        "run_id": rid, "metrics": [{"key": "m", "value": i, "timestamp": 1} for i in range(1001)]})
    tap.ok(status == 400 and "at most 1000 metrics. Got 1001" in body["message"], "a batch's limit")
    status, body = server.json("POST", API + "runs/log-batch", {
        "run_id": rid, "metrics": [{"key": "good", "value": 1, "timestamp": 1}],
        "params": [{"key": "lr", "value": "other"}]})
    tap.ok(status == 400 and "good" not in c.get_run(rid).data.metrics, "all of a batch or nothing")
    # the same time and step: the larger value counts, wherever it came; exact repeats once
    for value in (2, 3, 1, 3):
        c.log_metric(rid, "same", value, timestamp=7, step=1)
    tap.same(c.get_run(rid).data.metrics["same"], 3, "ties: the larger value is the newest")
    tap.same([m.value for m in c.get_metric_history(rid, "same")], [1, 2, 3], "repeats once")
    c.set_tag(rid, "mlflow.runName", "renamed")
    tap.same(c.get_run(rid).info.run_name, "renamed", "the tag renames the run")
    c.update_run(rid, status="FAILED", name="again")
    tap.same((c.get_run(rid).info.status, c.get_run(rid).data.tags["mlflow.runName"]),
             ("FAILED", "again"), "and a new name is in the tag")
    c.delete_tag(rid, "stage")
    tap.ok("stage" not in c.get_run(rid).data.tags, "a tag goes")
    tap.same(code(c.delete_tag, rid, "stage")[0], "RESOURCE_DOES_NOT_EXIST", "once")

    ds = Dataset(name="iris", digest="abc", source_type="local", source="here", schema="{}")
    c.log_inputs(rid, [DatasetInput(ds, [InputTag("mlflow.data.context", "train")])])
    c.log_inputs(rid, [DatasetInput(ds, [])])
    got = c.get_run(rid).inputs.dataset_inputs
    tap.same([(d.dataset.name, d.dataset.schema, d.tags[0].value) for d in got],
             [("iris", "{}", "train")], "a dataset, once")
    return rid


def search(c, eid, rid):
    for i in range(30):
        r = c.create_run(eid, run_name=f"s{i}", tags={"kind": "sweep", "odd tag": str(i % 2)})
        c.log_batch(r.info.run_id, metrics=[Metric("score", i, 1, 0)],
                    params=[Param("depth", str(i % 5))])

    def names(query, **kw):
        return [r.info.run_name for r in c.search_runs([eid], query, **kw)]

    sweep = "tags.kind = 'sweep'"
    tap.same(len(names(sweep)), 30, "by tag")
    tap.same(names(f"{sweep} and metrics.score >= 27", order_by=["metrics.score ASC"]),
             ["s27", "s28", "s29"], "by metric, in order")
    tap.same(sorted(names("params.depth = '4' AND tags.`odd tag` = '1'")), ["s19", "s29", "s9"],
             "by parameter and an odd tag")
    tap.same(names("attributes.run_name LIKE 's1_' and params.depth != '0'",
                   order_by=["params.depth DESC", "metrics.score DESC"])[:3], ["s19", "s14", "s18"],
             "LIKE and two keys of order")
    tap.same(names(f"run_id IN ('{rid}')"), ["again"], "by a list of ids")
    tap.same(names("datasets.name = 'iris' and dataset.context = 'train'"), ["again"], "by dataset")
    tap.same(names("status = 'FAILED'"), ["again"], "by status")
    token, seen = None, []
    while True:
        page = c.search_runs([eid], sweep, max_results=7, page_token=token)
        seen += [r.info.run_name for r in page]
        token = page.token
        if not token:
            break
    tap.same((len(seen), len(set(seen))), (30, 30), "pages without gap or repeat")
    for bad in ("metrics.score > 1 OR metrics.score < 0", "params.depth = 5", "foo.x = 'y'",
                "metrics.score = 'x'", "attributes.nope = 'x'", "(metrics.score > 1)"):
        tap.same(code(c.search_runs, [eid], bad)[0], "INVALID_PARAMETER_VALUE", f"refused: {bad}")
    victim = c.search_runs([eid], "run_name = 's3'")[0].info.run_id
    c.delete_run(victim)
    tap.same(len(names(sweep)), 29, "a deleted run is not found")
    tap.same(names(sweep, run_view_type=ViewType.DELETED_ONLY), ["s3"], "unless asked for")
    tap.same(code(c.log_metric, victim, "x", 1)[0], "INVALID_PARAMETER_VALUE", "nor changed")
    c.restore_run(victim)
    tap.same(len(names(sweep)), 30, "and it comes back")
    frame_like = mlflow.search_runs([eid], sweep, output_format="list", max_results=5)
    tap.same(len(frame_like), 5, "mlflow.search_runs")


def files(c, server, eid, rid):
    with tempfile.TemporaryDirectory() as tmp:
        big = os.urandom(9 << 20)
        os.makedirs(os.path.join(tmp, "model/deep"))
        with open(os.path.join(tmp, "model/deep/weights.bin"), "wb") as f:
            f.write(big)
        with open(os.path.join(tmp, "model/a b \u00e9.txt"), "w") as f:
            f.write("hello")
        c.log_artifacts(rid, os.path.join(tmp, "model"), "model")
        c.log_text(rid, "# notes", "notes.md")
        c.log_dict(rid, {"a": [1, 2]}, "conf/c.json")
        tap.same([(f.path, f.is_dir) for f in c.list_artifacts(rid)],
                 [("conf", True), ("model", True), ("notes.md", False)], "a run's files")
        got = c.download_artifacts(rid, "model", tmp)
        with open(os.path.join(got, "deep/weights.bin"), "rb") as f:
            tap.ok(f.read() == big, "9 MiB come back")
        with open(os.path.join(got, "a b \u00e9.txt")) as f:
            tap.same(f.read(), "hello", "whatever the name")
        tap.same(mlflow.artifacts.load_dict(f"runs:/{rid}/conf/c.json"), {"a": [1, 2]}, "runs:/")
    base = "/api/2.0/mlflow-artifacts/artifacts"
    for evil in ("..%2f..%2fetc%2fpasswd", "a/%2e%2e/b", "a/%252e%252e/b", "a%5c..%5cb", "c:%5cx",
                 "%2fetc/passwd", "a//b", "a/%00b", "a/%23b", "%25252e%25252e/x"):
        status, _ = server.request("PUT", f"{base}/{evil}", b"x")
        tap.ok(status in (400, 404), f"refused: {evil}", status)
    status, _ = server.get(f"{base}?path=" + urllib.parse.quote("../x"))
    tap.same(status, 400, "refused as a folder too")
    status, _ = server.request("PUT", f"{base}/{eid}/{rid}/artifacts/notes.md/x", b"x")
    tap.same(status, 400, "a file is no folder")
    status, data = server.get(f"{base}?path={eid}/{rid}/artifacts/conf")
    size = len(server.get(f"{base}/{eid}/{rid}/artifacts/conf/c.json")[1])
    tap.same(json.loads(data), {"files": [{"path": "c.json", "is_dir": False, "file_size": size}]},
             "the proxy's list is relative to its folder")
    status, _ = server.request("DELETE", f"{base}/{eid}/{rid}/artifacts/conf")
    tap.same([f.path for f in c.list_artifacts(rid)], ["model", "notes.md"], "a folder goes")


def wire(server, eid, rid):
    def refused(path, body, text):
        status, reply = server.json("POST", API + path, body)
        tap.ok(status == 400 and text in reply["message"]
               and reply["error_code"] == "INVALID_PARAMETER_VALUE", f"{path}: {text}", reply)

    refused("experiments/create", {"name": 123}, "Invalid value 123 for parameter 'name' supplied")
    refused("experiments/create", {}, "Missing value for required parameter 'name'")
    refused("experiments/create", {"name": "x", "artifact_location": 9.0},
            "Invalid value 9.0 for parameter 'artifact_location'")
    refused("experiments/create", {"name": "x", "tags": "5"}, "Invalid value \"5\" for parameter")
    refused("runs/log-metric", {"run_id": rid, "key": "k", "value": 1, "timestamp": "foo"},
            "Invalid value \"foo\" for parameter 'timestamp' supplied")
    refused("runs/log-metric", {"run_id": rid, "value": 1, "timestamp": 1},
            "Missing value for required parameter 'key'")
    refused("runs/log-metric", {"run_id": 31, "key": "k", "value": 1, "timestamp": 1},
            "Invalid value 31 for parameter 'run_id' supplied")
    refused("runs/log-batch", {"run_id": rid, "metrics": [{"key": "k", "timestamp": 1}]},
            "Missing value for required parameter 'metrics[0].value'")
    refused("runs/log-parameter", {"run_id": rid, "key": "k" * 251, "value": "v"},
            "exceeds the maximum length of 250")
    status, reply = server.json("POST", API + "runs/log-metric", {
        "run_id": rid, "key": "strings", "value": "-Infinity", "timestamp": "7", "step": "3"})
    tap.same(status, 200, "numbers may come as text")
    status, reply = server.json("GET", f"/ajax-api/2.0/mlflow/runs/get?run_id={rid}")
    tap.same(reply["run"]["info"]["run_id"], rid, "every path is there below /ajax-api")
    tap.ok(isinstance(reply["run"]["info"]["start_time"], int), "64-bit numbers are numbers")
    status, reply = server.json("GET", API + "no/such/path")
    tap.same((status, reply["error_code"]), (404, "ENDPOINT_NOT_FOUND"), "an unknown path")
    status, reply = server.json("GET", API + "runs/create")
    tap.same((status, reply["error_code"]), (405, "BAD_REQUEST"), "an unknown method")
    tap.same(server.get("/health"), (200, b"OK"), "/health")
    q = f"metrics/get-history?run_id={rid}&metric_key=loss&max_results=30"
    token, steps = "", []
    while True:
        _, reply = server.json("GET", API + q + (f"&page_token={token}" if token else ""))
        steps += [m["step"] for m in reply["metrics"]]
        token = reply.get("next_page_token")
        if not token:
            break
    tap.same(steps, list(range(100)), "a history in pages")
    _, reply = server.json("GET", API + "metrics/get-history-bulk-interval?metric_key=loss"
                           f"&run_ids={rid}&max_results=10&start_step=0&end_step=99")
    steps = [m["step"] for m in reply["metrics"]]
    tap.same(steps, [0, 10, 20, 30, 40, 50, 60, 70, 80, 99], "a sample with both ends, as MLflow takes it")


def own(server, eid, rid):
    """Croft's own routes and commands on the same runs."""
    def get(path, **query):
        return server.json("GET", "/api/v1/" + path + "?" + urllib.parse.urlencode(query))

    _, got = get(f"experiments/{eid}/runs", limit=3, order_by="metrics.score DESC",
                 filter="metrics.score > 3 AND (params.depth = '1' OR NOT params.depth IN ('2', '3'))")
    tap.same([r["metrics"]["score"]["value"] for r in got["runs"]], [29, 26, 25], "the wide filter")
    tap.same(got["total"], 16, "and how many there are")
    status, got = get(f"experiments/{eid}/runs", filter="metrics.score >")
    tap.ok(status == 400 and "numeric value" in got["error"]["message"], "a filter's error is said", got)
    _, got = get(f"experiments/{eid}/keys")
    tap.ok("score" in got["metrics"] and "depth" in got["params"], "the keys of an experiment")
    _, got = get(f"runs/{rid}/metrics/loss", points=10)
    tap.same((got["total"], sum(b[2] for b in got["buckets"]), len(got["buckets"])), (100, 100, 10),
             "a chart: every point in one bucket")
    tap.same(got["buckets"][0][3:5], [0.1, 1], "its smallest and largest")
    _, got = get(f"runs/{rid}/metrics/loss", points=1000, **{"from": 10, "to": 19})
    tap.same([b[0] for b in got["buckets"]], list(range(10, 20)), "a range of it")
    tap.same(get(f"runs/{rid}/metrics/none")[0], 404, "of no metric")
    _, two = get(f"experiments/{eid}/runs", limit=2, order_by="metrics.score DESC")
    ids = [r["id"] for r in two["runs"]]
    _, got = get("runs/compare", ids=",".join(ids), differing="true")
    tap.same([(r["key"], r["values"]) for r in got["params"]], [("depth", ["4", "3"])], "what differs")
    tap.same(get("runs/compare", ids=ids[0] + ",zz")[0], 400, "not with nonsense")
    rc, out, err = server.cli("experiments")
    tap.ok(rc == 0 and "Default" in out and "one" in out, "croft experiments", out + err)
    rc, out, err = server.cli("experiments", "runs", "one", "-f", "metrics.score > 27", "-c",
                              "score,params.depth")
    tap.ok(rc == 0 and "s29" in out and "s28" in out and "s27" not in out, "croft experiments runs",
           out + err)
    rc, out, err = server.cli("runs", "compare", *ids)
    tap.ok(rc == 0 and "depth" in out and "score" in out, "croft runs compare", out + err)
    rc, out, err = server.cli("runs", "chart", rid, "loss", "-n", "5")
    tap.ok(rc == 0 and len(out.splitlines()) == 6, "croft runs chart", out + err)
    rc, _, err = server.cli("runs", "delete", ids[0])
    _, got = get(f"experiments/{eid}/runs", view="deleted")
    tap.same([r["id"] for r in got["runs"]], [ids[0]], "croft runs delete")
    rc, out, err = server.cli("experiments", "purge", "--days", "0")
    tap.ok(rc == 0 and "1 runs and 0 experiments" in out, "croft experiments purge", out + err)
    tap.same(get(f"runs/{ids[0]}/data")[0], 404, "and it is gone")
    _, got = get("audit")
    tap.ok("run.delete" in json.dumps(got), "deletion is in the audit log", got)


with Croft() as server:
    mlflow.set_tracking_uri(server.base)
    client = MlflowClient()
    experiment = experiments(client)
    run_id = training(client, server, experiment)
    search(client, experiment, run_id)
    files(client, server, experiment, run_id)
    wire(server, experiment, run_id)
    own(server, experiment, run_id)
    server.stop()
    server.start()
    mlflow.set_tracking_uri(server.base)
    after = MlflowClient().get_run(run_id)
    tap.same(after.data.metrics["loss"], 0.01, "all of it is there after a restart")

with Croft(key="s3cret") as server:
    mlflow.set_tracking_uri(server.base)
    tap.same(code(MlflowClient().get_experiment, "0")[0], "UNAUTHENTICATED",
             "without the key: MLflow's shape of an error")
    os.environ["MLFLOW_TRACKING_TOKEN"] = "s3cret"
    tap.same(MlflowClient().get_experiment("0").name, "Default", "with MLFLOW_TRACKING_TOKEN")
tap.done()
