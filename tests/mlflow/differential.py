"""Calls the REST stores of MLflow's client against Croft and against MLflow's own server, side by side,
with good and bad arguments, and compares what comes back: results without ids and times, error codes.

    CROFT_BUILD=build build/mlflow-own/bin/python tests/mlflow/differential.py

(tests/mlflow/own_tests.sh makes that environment.) Prints TAP. A difference that is meant stands in
MEANT with its reason.
"""
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from croft_server import Croft, Tap  # noqa: E402

os.environ.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
from mlflow.entities import (Dataset, DatasetInput, InputTag, LoggedModelInput, LoggedModelOutput,  # noqa: E402
                             LoggedModelParameter, LoggedModelTag, Metric, Param, RunStatus, RunTag,
                             ViewType)
from mlflow.entities.experiment_tag import ExperimentTag  # noqa: E402
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.store.model_registry.rest_store import RestStore as RegistryStore  # noqa: E402
from mlflow.store.tracking.rest_store import RestStore as TrackingStore  # noqa: E402
from mlflow.utils.rest_utils import MlflowHostCreds  # noqa: E402

MEANT = {
    "a metric that is infinite": "Croft returns infinity as such, MLflow 1.79e308",
    "rename to a name that is taken": "RESOURCE_ALREADY_EXISTS says it; MLflow: BAD_REQUEST",
    "rename a deleted one": "MLflow: INTERNAL_ERROR",
    "get_metric_history, no run": "MLflow answers with no points",
    "log_inputs, no name": "MLflow keeps a dataset without a name",
    "its inputs": "for the same reason",
    "search_logged_models metrics.acc = 'x'": "MLflow: INTERNAL_ERROR",
    "search_logged_models nope = 1": "MLflow: INTERNAL_ERROR",
    "search_logged_models name > 'a'": "Croft compares texts",
    "search_model_versions version_number = '1'": "Croft wants numbers without quotes",
    "search_registered_models, 0 at most": "MLflow finds none",
    "search_registered_models, -1 at most": "MLflow finds none",
    "records of no dataset": "RESOURCE_DOES_NOT_EXIST says it; MLflow: BAD_REQUEST",
}
DROPPED = {"artifact_uri", "artifact_location", "creation_time", "last_update_time", "creation_timestamp",
           "last_updated_timestamp", "digest", "workspace", "model_uri", "source", "trace_location",
           "creation_timestamp_ms", "last_updated_timestamp_ms", "created_time", "start_time", "end_time",
           "run_uuid", "name_of_run", "user_id", "token"}


class Side:
    """One server: its stores, and what it called the things that the steps made."""

    def __init__(self, url):
        self.t = TrackingStore(lambda: MlflowHostCreds(url))
        self.r = RegistryStore(lambda: MlflowHostCreds(url))
        self.made = {}
        self.url = url

    def keep(self, name, value):
        self.made[name] = str(value)
        return value

    def __getitem__(self, name):
        return self.made[name]

    def plain(self, v):
        if isinstance(v, (list, tuple)):
            return [self.plain(x) for x in v]
        if isinstance(v, dict):
            return {k: self.plain(x) for k, x in sorted(v.items()) if k not in DROPPED}
        if isinstance(v, str):
            for name, value in sorted(self.made.items(), key=lambda x: -len(x[1])):
                if len(value) > 3:
                    v = v.replace(value, f"<{name}>")
            return re.sub(r"\b[0-9a-f]{32}\b", "<id>", v)
        if isinstance(v, float):
            return str(v)
        if v is None or isinstance(v, (int, bool)):
            return v
        if hasattr(v, "_properties"):
            return {p: self.plain(getattr(v, p)) for p in type(v)._properties() if p not in DROPPED}
        if hasattr(v, "__dict__"):
            return {k.lstrip("_"): self.plain(x) for k, x in sorted(vars(v).items()) if k.lstrip("_") not in DROPPED}
        return str(v)

    def run(self, step):
        try:
            return self.plain(step(self))
        except MlflowException as e:
            return "refused: " + e.error_code
        except Exception as e:  # the client itself refused, or could not read the answer
            return f"client: {type(e).__name__}"


class Mlflow:
    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen(
            [os.path.join(os.path.dirname(sys.executable), "mlflow"), "server", "--port", str(port), "--workers", "1",
             "--backend-store-uri", f"sqlite:///{self.folder.name}/m.db", "--artifacts-destination",
             self.folder.name + "/artifacts"], cwd=self.folder.name, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)

    def __enter__(self):
        for _ in range(600):
            try:
                urllib.request.urlopen(self.url + "/health", timeout=1)
                return self
            except OSError:
                time.sleep(0.2)
        raise RuntimeError("mlflow server does not start")

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.folder.cleanup()


NO_RUN, NO_MODEL = "0" * 32, "m-" + "0" * 32


def steps():
    """(name, what to do on one side)."""
    yield "the default experiment", lambda s: s.t.get_experiment("0")
    yield "create_experiment", lambda s: bool(s.keep("exp", s.t.create_experiment("first", tags=[ExperimentTag("k", "v")])))
    yield "get_experiment", lambda s: s.t.get_experiment(s["exp"])
    yield "the same name again", lambda s: s.t.create_experiment("first")
    yield "an empty name", lambda s: s.t.create_experiment("")
    yield "a long name", lambda s: s.t.create_experiment("x" * 501)
    yield "no such experiment", lambda s: s.t.get_experiment("777777")
    yield "an id that is no number", lambda s: s.t.get_experiment("abc")
    yield "a negative id", lambda s: s.t.get_experiment("-1")
    yield "get_experiment_by_name", lambda s: s.t.get_experiment_by_name("first")
    yield "no such name", lambda s: s.t.get_experiment_by_name("nope")
    yield "set_experiment_tag", lambda s: s.t.set_experiment_tag(s["exp"], ExperimentTag("a", "b"))
    yield "a tag without a key", lambda s: s.t.set_experiment_tag(s["exp"], ExperimentTag("", "b"))
    yield "a tag with a bad key", lambda s: s.t.set_experiment_tag(s["exp"], ExperimentTag("a?", "b"))
    yield "its tags", lambda s: s.t.get_experiment(s["exp"]).tags
    yield "delete_experiment_tag", lambda s: s.t.delete_experiment_tag(s["exp"], "a")
    yield "delete_experiment_tag again", lambda s: s.t.delete_experiment_tag(s["exp"], "a")
    yield "rename_experiment", lambda s: s.t.rename_experiment(s["exp"], "renamed")
    yield "rename to a name that is taken", lambda s: s.t.rename_experiment(s["exp"], "Default")
    yield "delete_experiment", lambda s: s.t.delete_experiment(s["exp"])
    yield "delete_experiment again", lambda s: s.t.delete_experiment(s["exp"])
    yield "a run in a deleted experiment", lambda s: s.t.create_run(s["exp"], "u", 1, [], "r")
    yield "rename a deleted one", lambda s: s.t.rename_experiment(s["exp"], "x")
    yield "restore_experiment", lambda s: s.t.restore_experiment(s["exp"])
    yield "restore_experiment again", lambda s: s.t.restore_experiment(s["exp"])
    for view in (ViewType.ACTIVE_ONLY, ViewType.DELETED_ONLY, ViewType.ALL):
        yield f"search_experiments {view}", lambda s, v=view: [e.name for e in s.t.search_experiments(v, 1000, order_by=["name ASC"])]
    for f in ("name = 'renamed'", "name LIKE 're%'", "name ILIKE 'RE%'", "tags.k = 'v'", "tags.`k` != 'w'",
              "name = renamed", "bad = 1", "name >", "creation_time > 0", "attribute.name = 'Default'"):
        yield f"search_experiments {f}", lambda s, f=f: sorted(e.name for e in s.t.search_experiments(max_results=1000, filter_string=f))
    for n in (0, -1, 1, 50000, 50001):
        yield f"search_experiments {n} at most", lambda s, n=n: len(s.t.search_experiments(max_results=n))

    def run(s, name, **kw):
        r = s.t.create_run(s["exp"], "ada", 1000, [RunTag("t", name)], name)
        s.keep(name, r.info.run_id)
        return r
    yield "create_run", lambda s: run(s, "run1")
    yield "create_run 2", lambda s: run(s, "run2")
    yield "a run of no experiment", lambda s: s.t.create_run("777777", "u", 1, [], "r")
    yield "a name in two ways", lambda s: s.t.create_run(s["exp"], "u", 1, [RunTag("mlflow.runName", "a")], "b")
    yield "get_run", lambda s: s.t.get_run(s["run1"])
    yield "no such run", lambda s: s.t.get_run(NO_RUN)
    yield "an id that is none", lambda s: s.t.get_run("nonsense")
    yield "log_param", lambda s: s.t.log_param(s["run1"], Param("lr", "0.1"))
    yield "log_param, the same again", lambda s: s.t.log_param(s["run1"], Param("lr", "0.1"))
    yield "log_param, another value", lambda s: s.t.log_param(s["run1"], Param("lr", "0.2"))
    yield "a parameter's bad key", lambda s: s.t.log_param(s["run1"], Param("a:b", "1"))
    yield "a parameter's key of a path", lambda s: s.t.log_param(s["run1"], Param("../a", "1"))
    yield "a parameter's empty key", lambda s: s.t.log_param(s["run1"], Param("", "1"))
    yield "a long parameter", lambda s: s.t.log_param(s["run2"], Param("long", "x" * 7000))
    yield "a parameter of no run", lambda s: s.t.log_param(NO_RUN, Param("a", "1"))
    yield "log_metric", lambda s: s.t.log_metric(s["run1"], Metric("loss", 0.5, 100, 1))
    yield "log_metric, later", lambda s: s.t.log_metric(s["run1"], Metric("loss", 0.25, 200, 2))
    yield "log_metric, the same again", lambda s: s.t.log_metric(s["run1"], Metric("loss", 0.25, 200, 2))
    yield "a metric that is no number", lambda s: s.t.log_metric(s["run1"], Metric("nan", float("nan"), 1, 0))
    yield "a negative time", lambda s: s.t.log_metric(s["run1"], Metric("loss", 1.0, -1, 0))
    yield "a metric's bad key", lambda s: s.t.log_metric(s["run1"], Metric("a b?", 1.0, 1, 0))
    yield "a metric that is infinite", lambda s: (s.t.log_metric(s["run2"], Metric("inf", float("inf"), 1, 0)),
                                                  s.t.get_run(s["run2"]).data.metrics["inf"])[1]
    yield "set_tag", lambda s: s.t.set_tag(s["run1"], RunTag("color", "red"))
    yield "set_tag over", lambda s: s.t.set_tag(s["run1"], RunTag("color", "blue"))
    yield "a long tag", lambda s: s.t.set_tag(s["run2"], RunTag("long", "x" * 9000))
    yield "delete_tag", lambda s: s.t.delete_tag(s["run1"], "color")
    yield "delete_tag again", lambda s: s.t.delete_tag(s["run1"], "color")
    yield "log_batch", lambda s: s.t.log_batch(s["run1"], [Metric("acc", 0.9, 5, 0), Metric("acc", 0.8, 5, 1)],
                                               [Param("p", "1")], [RunTag("x", "y")])
    yield "log_batch, a parameter changed", lambda s: s.t.log_batch(s["run1"], [Metric("never", 1.0, 1, 0)], [Param("p", "2")], [])
    yield "log_batch, a parameter twice", lambda s: s.t.log_batch(s["run1"], [], [Param("q", "1"), Param("q", "2")], [])
    yield "log_batch, too many metrics", lambda s: s.t.log_batch(s["run1"], [Metric("m", 1.0, 1, i) for i in range(1001)], [], [])
    yield "log_batch, too many params", lambda s: s.t.log_batch(s["run1"], [], [Param(f"p{i}", "1") for i in range(101)], [])
    yield "log_batch of nothing", lambda s: s.t.log_batch(s["run1"], [], [], [])
    yield "the run after that", lambda s: s.t.get_run(s["run1"]).data.to_dictionary()
    yield "get_metric_history", lambda s: s.t.get_metric_history(s["run1"], "loss")
    yield "get_metric_history of none", lambda s: s.t.get_metric_history(s["run1"], "none")
    yield "get_metric_history, no run", lambda s: s.t.get_metric_history(NO_RUN, "loss")
    yield "get_metric_history, a page", lambda s: s.t.get_metric_history(s["run1"], "acc", max_results=1)
    yield "update_run_info", lambda s: s.t.update_run_info(s["run1"], RunStatus.FINISHED, 2000, "renamed run")
    yield "its name", lambda s: (s.t.get_run(s["run1"]).info.run_name, s.t.get_run(s["run1"]).data.tags["mlflow.runName"])
    for f in ("metrics.loss < 0.3", "metrics.loss = 0.25", "params.lr = '0.1'", "params.lr = 0.1", "params.lr LIKE '0%'",
              "tags.t = 'run1'", "attributes.status = 'FINISHED'", "attributes.run_name LIKE 'ren%'", "run_id IN ('x')",
              "metrics.loss > 'a'", "params.lr > '1'", "a.b = 1", "metrics.loss", "start_time >= 1000", "end_time < 0",
              "metrics.loss < 0.3 OR params.lr = '0.1'", "(metrics.loss < 0.3)", "tags.nope IS NULL", "params.p IS NOT NULL",
              "metrics.`loss` < 1 AND tags.\"t\" = 'run1'", "attributes.user_id = 'ada'"):
        yield f"search_runs {f}", lambda s, f=f: sorted(r.info.run_name for r in s.t.search_runs([s["exp"]], f, ViewType.ALL))
    for o in (["metrics.loss ASC"], ["params.lr DESC"], ["start_time"], ["tags.t DESC"], ["nope.x"], ["metrics.loss SIDEWAYS"],
              ["attributes.run_id DESC", "start_time ASC"]):
        yield f"search_runs by {o}", lambda s, o=o: len(s.t.search_runs([s["exp"]], "", ViewType.ALL, order_by=o))
    for n in (0, -1, 50001):
        yield f"search_runs, {n} at most", lambda s, n=n: len(s.t.search_runs([s["exp"]], "", ViewType.ALL, n))
    yield "search_runs of no experiment", lambda s: s.t.search_runs(["777777"], "", ViewType.ALL)
    yield "search_runs, a bad token", lambda s: s.t.search_runs([s["exp"]], "", ViewType.ALL, page_token="%%%")
    yield "log_inputs", lambda s: s.t.log_inputs(s["run1"], [DatasetInput(Dataset("d", "1", "local", "{}"), [InputTag("mlflow.data.context", "train")])])
    yield "log_inputs, no name", lambda s: s.t.log_inputs(s["run1"], [DatasetInput(Dataset("", "1", "local", "{}"))])
    yield "its inputs", lambda s: [(i.dataset.name, i.dataset.digest, [(t.key, t.value) for t in i.tags]) for i in s.t.get_run(s["run1"]).inputs.dataset_inputs]
    yield "delete_run", lambda s: s.t.delete_run(s["run2"])
    yield "delete_run again", lambda s: s.t.delete_run(s["run2"])
    yield "a metric of a deleted run", lambda s: s.t.log_metric(s["run2"], Metric("a", 1.0, 1, 0))
    yield "a tag of a deleted run", lambda s: s.t.set_tag(s["run2"], RunTag("a", "b"))
    yield "restore_run", lambda s: s.t.restore_run(s["run2"])
    yield "restore_run again", lambda s: s.t.restore_run(s["run2"])
    yield "delete_run of none", lambda s: s.t.delete_run(NO_RUN)

    yield "create_logged_model", lambda s: bool(s.keep("model", s.t.create_logged_model(
        s["exp"], "m", s["run1"], [LoggedModelTag("k", "v")], [LoggedModelParameter("lr", "1")], "kind").model_id))
    yield "get_logged_model", lambda s: s.t.get_logged_model(s["model"])
    yield "no such logged model", lambda s: s.t.get_logged_model(NO_MODEL)
    yield "a logged model's bad name", lambda s: s.t.create_logged_model(s["exp"], "a/b")
    yield "a logged model of no experiment", lambda s: s.t.create_logged_model("777777", "a")
    yield "finalize_logged_model", lambda s: str(s.t.finalize_logged_model(s["model"], "READY").status)
    yield "set_logged_model_tags", lambda s: s.t.set_logged_model_tags(s["model"], [LoggedModelTag("a", "b")])
    yield "delete_logged_model_tag", lambda s: s.t.delete_logged_model_tag(s["model"], "a")
    yield "delete_logged_model_tag again", lambda s: s.t.delete_logged_model_tag(s["model"], "a")
    yield "log_outputs", lambda s: s.t.log_outputs(s["run1"], [LoggedModelOutput(s["model"], 3)])
    yield "log_inputs of a model", lambda s: s.t.log_inputs(s["run2"], models=[LoggedModelInput(s["model"])])
    yield "a model's metric", lambda s: s.t.log_metric(s["run1"], Metric("acc", 0.7, 9, 1, s["model"], "d", "1"))
    yield "its metrics", lambda s: [(m.key, m.value, m.dataset_name) for m in s.t.get_logged_model(s["model"]).metrics]
    for f in ("metrics.acc > 0.5", "metrics.acc > 0.9", "params.lr = '1'", "name = 'm'", "name LIKE 'm%'", "tags.k = 'v'",
              "metrics.acc = 'x'", "nope = 1", "status = 'READY'", "name > 'a'", "source_run_id = 'x'"):
        yield f"search_logged_models {f}", lambda s, f=f: [m.name for m in s.t.search_logged_models([s["exp"]], f)]
    yield "search_logged_models by a metric", lambda s: [m.name for m in s.t.search_logged_models([s["exp"]], order_by=[{"field_name": "metrics.acc"}])]
    yield "search_logged_models by nothing", lambda s: [m.name for m in s.t.search_logged_models([s["exp"]], order_by=[{"field_name": "nope"}])]
    yield "delete_logged_model", lambda s: s.t.delete_logged_model(s["model"])
    yield "get a deleted logged model", lambda s: s.t.get_logged_model(s["model"])

    yield "create_registered_model", lambda s: s.r.create_registered_model("rm", [RegisteredModelTag("a", "b")], "about")
    yield "a model's name again", lambda s: s.r.create_registered_model("rm")
    for name in ("", "a/b", "a:b", " "):
        yield f"a model called {name!r}", lambda s, n=name: s.r.create_registered_model(n)
    yield "get_registered_model", lambda s: s.r.get_registered_model("rm")
    yield "no such model", lambda s: s.r.get_registered_model("nope")
    yield "update_registered_model", lambda s: s.r.update_registered_model("rm", "other")
    yield "set_registered_model_tag", lambda s: s.r.set_registered_model_tag("rm", RegisteredModelTag("x", "y"))
    yield "delete_registered_model_tag", lambda s: s.r.delete_registered_model_tag("rm", "x")
    yield "delete_registered_model_tag again", lambda s: s.r.delete_registered_model_tag("rm", "x")
    yield "create_model_version", lambda s: s.r.create_model_version("rm", "s3://b/1", tags=[ModelVersionTag("t", "1")], description="one")
    yield "create_model_version 2", lambda s: s.r.create_model_version("rm", "s3://b/2")
    yield "a version of no model", lambda s: s.r.create_model_version("nope", "s3://b/1")
    for source in ("", "runs:/x/model", "s3://b/../c", "models:/m-1", "/etc", "file:///etc"):
        yield f"a version from {source!r}", lambda s, x=source: s.r.create_model_version("rm", x).version
    yield "get_model_version", lambda s: s.r.get_model_version("rm", "1")
    yield "no such version", lambda s: s.r.get_model_version("rm", "9")
    yield "a version that is no number", lambda s: s.r.get_model_version("rm", "x")
    yield "update_model_version", lambda s: s.r.update_model_version("rm", "1", "changed")
    yield "set_model_version_tag", lambda s: s.r.set_model_version_tag("rm", "1", ModelVersionTag("q", "z"))
    yield "delete_model_version_tag", lambda s: s.r.delete_model_version_tag("rm", "1", "q")
    yield "get_model_version_download_uri", lambda s: s.r.get_model_version_download_uri("rm", "1")
    yield "set_registered_model_alias", lambda s: s.r.set_registered_model_alias("rm", "prod", "1")
    yield "an alias to no version", lambda s: s.r.set_registered_model_alias("rm", "prod", "9")
    for alias in ("latest", "v1", "a b", "", "x" * 300):
        yield f"an alias called {alias[:9]!r}", lambda s, a=alias: s.r.set_registered_model_alias("rm", a, "1")
    yield "get_model_version_by_alias", lambda s: s.r.get_model_version_by_alias("rm", "prod").version
    yield "no such alias", lambda s: s.r.get_model_version_by_alias("rm", "nope")
    yield "delete_registered_model_alias", lambda s: s.r.delete_registered_model_alias("rm", "prod")
    yield "delete_registered_model_alias again", lambda s: s.r.delete_registered_model_alias("rm", "prod")
    yield "transition to Staging", lambda s: s.r.transition_model_version_stage("rm", "1", "Staging", False).current_stage
    yield "transition to nothing", lambda s: s.r.transition_model_version_stage("rm", "1", "Nope", False)
    yield "transition, the others archived", lambda s: s.r.transition_model_version_stage("rm", "2", "Staging", True).current_stage
    yield "the first's stage then", lambda s: s.r.get_model_version("rm", "1").current_stage
    yield "get_latest_versions", lambda s: sorted((v.version, v.current_stage) for v in s.r.get_latest_versions("rm"))
    yield "get_latest_versions, a stage", lambda s: [v.version for v in s.r.get_latest_versions("rm", ["staging"])]
    yield "get_latest_versions, no stage", lambda s: [v.version for v in s.r.get_latest_versions("rm", ["x"])]
    for f in ("name = 'rm'", "name LIKE 'r%'", "name ILIKE 'R%'", "tags.a = 'b'", "name != 'rm'", "name > 'a'", "nope = 'x'",
              "version_number = 1", "name = rm"):
        yield f"search_registered_models {f}", lambda s, f=f: [m.name for m in s.r.search_registered_models(f)]
    for f in ("name = 'rm'", "name LIKE 'r%'", "version_number > 1", "version_number = '1'", "tags.t = '1'", "run_id = 'x'",
              "source_path = 's3://b/1'", "run_id IN ('a', 'b')", "name IN ('rm')", "nope = 'x'", "stage = 'x'"):
        yield f"search_model_versions {f}", lambda s, f=f: sorted(v.version for v in s.r.search_model_versions(f))
    for o in (["name ASC"], ["version_number DESC"], ["creation_timestamp"], ["nope"], ["name SIDEWAYS"]):
        yield f"search_model_versions by {o}", lambda s, o=o: len(s.r.search_model_versions("name = 'rm'", order_by=o))
    for n in (0, -1, 200001):
        yield f"search_model_versions, {n} at most", lambda s, n=n: len(s.r.search_model_versions("name = 'rm'", max_results=n))
    for n in (0, -1, 1001):
        yield f"search_registered_models, {n} at most", lambda s, n=n: len(s.r.search_registered_models(max_results=n))
    yield "rename_registered_model", lambda s: s.r.rename_registered_model("rm", "rm2").name
    yield "a rename to itself", lambda s: s.r.rename_registered_model("rm2", "rm2").name
    yield "delete_model_version", lambda s: s.r.delete_model_version("rm2", "1")
    yield "delete_model_version again", lambda s: s.r.delete_model_version("rm2", "1")
    yield "delete_registered_model", lambda s: s.r.delete_registered_model("rm2")
    yield "delete_registered_model again", lambda s: s.r.delete_registered_model("rm2")

    yield "create_dataset", lambda s: bool(s.keep("data", s.t.create_dataset("ds", {"a": "b"}, [s["exp"]]).dataset_id))
    yield "get_dataset", lambda s: {k: getattr(s.t.get_dataset(s["data"]), k) for k in ("name", "tags", "schema", "profile", "created_by")}
    yield "no such dataset", lambda s: s.t.get_dataset("d-none")
    yield "upsert_dataset_records", lambda s: s.t.upsert_dataset_records(s["data"], [
        {"inputs": {"q": 1}, "outputs": {"a": 2}, "tags": {"x": "y"}}, {"inputs": {"q": 2}}, {"inputs": {"q": 1}, "expectations": {"e": 1}}])
    yield "its schema", lambda s: (json.loads(s.t.get_dataset(s["data"]).schema), json.loads(s.t.get_dataset(s["data"]).profile))
    yield "its records", lambda s: sorted((json.dumps(r.inputs), json.dumps(r.outputs), json.dumps(r.expectations), json.dumps(r.tags))
                                          for r in s.t._load_dataset_records(s["data"])[0])
    yield "records of no dataset", lambda s: s.t.upsert_dataset_records("d-none", [{"inputs": {}}])
    yield "its experiments", lambda s: s.t.get_dataset_experiment_ids(s["data"]) == [s["exp"]]
    yield "an experiment that is none", lambda s: s.t.add_dataset_to_experiments(s["data"], ["777777"])
    yield "set_dataset_tags", lambda s: s.t.set_dataset_tags(s["data"], {"c": "d"})
    yield "delete_dataset_tag", lambda s: s.t.delete_dataset_tag(s["data"], "a")
    yield "delete_dataset_tag of none", lambda s: s.t.delete_dataset_tag(s["data"], "zzz")
    for f in ("name = 'ds'", "name LIKE 'd%'", "tags.c = 'd'", "nope = 'x'", "created_time > 0", "name = 'x'"):
        yield f"search_datasets {f}", lambda s, f=f: [d.name for d in s.t.search_datasets(filter_string=f)]
    yield "search_datasets by nothing", lambda s: [d.name for d in s.t.search_datasets(order_by=["nope ASC"])]
    yield "delete_dataset", lambda s: s.t.delete_dataset(s["data"])
    yield "delete_dataset again", lambda s: s.t.delete_dataset(s["data"])

    yield "register_scorer", lambda s: s.t.register_scorer(s["exp"], "sc", '{"a": 1}').scorer_version
    yield "register_scorer again", lambda s: s.t.register_scorer(s["exp"], "sc", '{"a": 2}').scorer_version
    yield "a scorer that is no JSON", lambda s: s.t.register_scorer(s["exp"], "sc", "{")
    yield "a scorer of no experiment", lambda s: s.t.register_scorer("777777", "sc", "{}")
    yield "list_scorers", lambda s: [(x.scorer_name, x.scorer_version) for x in s.t.list_scorers(s["exp"])]
    yield "list_scorer_versions", lambda s: [x.scorer_version for x in s.t.list_scorer_versions(s["exp"], "sc")]
    yield "list_scorer_versions of none", lambda s: s.t.list_scorer_versions(s["exp"], "none")
    yield "get_scorer", lambda s: s.t.get_scorer(s["exp"], "sc").scorer_version
    yield "no such scorer", lambda s: s.t.get_scorer(s["exp"], "none")
    yield "no such version of it", lambda s: s.t.get_scorer(s["exp"], "sc", 9)
    yield "delete_scorer", lambda s: s.t.delete_scorer(s["exp"], "sc", 1)
    yield "delete_scorer of none", lambda s: s.t.delete_scorer(s["exp"], "none")


def main():
    tap = Tap()
    with Mlflow() as m, Croft(settings={"http.workers": 8}) as c:
        ours, theirs = Side(c.base), Side(m.url)
        for name, step in steps():
            a, b = ours.run(step), theirs.run(step)
            if name in MEANT and a != b:
                tap.ok(True, f"{name}: differs: {MEANT[name]}")
            else:
                tap.ok(a == b, name, f"croft  {a}\nmlflow {b}")
    tap.done()


main()
