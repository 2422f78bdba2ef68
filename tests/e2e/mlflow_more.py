"""MLflow's own client, unmodified: webhooks, metrics of logged models, lineage of what runs used and made."""
import base64
import hashlib
import hmac
import http.server
import json
import os
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

os.environ.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true",
                  MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true")
import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Dataset, DatasetInput, LoggedModelInput, LoggedModelOutput, Metric  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

tap = Tap()


def code(fn, *args, **kw):
    try:
        fn(*args, **kw)
    except MlflowException as e:
        return e.error_code
    return "OK"


class Receiver:
    """Keeps what it gets; answers what it is told to, then 200."""

    def __init__(self):
        self.got, self.answers = [], []
        me = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                me.got.append((dict(self.headers), body))
                status = me.answers.pop(0) if me.answers else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", me.url + "/elsewhere")
                self.send_header("Content-Length", "4")
                self.end_headers()
                self.wfile.write(b"seen")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def wait(self, n, seconds=20):
        end = time.time() + seconds
        while len(self.got) < n and time.time() < end:
            time.sleep(0.02)
        return len(self.got)

    def settle(self):
        """Until nothing has come for a second."""
        seen = -1
        while seen != len(self.got):
            seen = len(self.got)
            time.sleep(1)


def signed(secret, headers, body):
    said = f"{headers['X-MLflow-Delivery-Id']}.{headers['X-MLflow-Timestamp']}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(secret.encode(), said, hashlib.sha256).digest()).decode()


def said(receiver):
    return [(d["entity"], d["action"], d["data"]) for d in (json.loads(b) for _, b in receiver.got)]


def webhooks_work(server):
    c, r = MlflowClient(server.base), Receiver()
    every = ["registered_model.created", "model_version.created", "model_version_tag.set", "model_version_tag.deleted",
             "model_version_alias.created", "model_version_alias.deleted", "prompt.created", "prompt_version.created",
             "prompt_tag.set", "prompt_tag.deleted", "prompt_version_tag.set", "prompt_alias.created",
             "prompt_alias.deleted"]
    h = c.create_webhook("ci", r.url, every, description="tell CI", secret="hush")
    tap.same((h.name, h.url, [str(e) for e in h.events], str(h.status), h.description, h.secret),
             ("ci", r.url, every, "ACTIVE", "tell CI", None), "a webhook is made; its secret stays inside")
    c.create_registered_model("churn", tags={"team": "growth"}, description="who leaves")
    c.create_model_version("churn", "s3://b/1", tags={"algo": "lr"})
    c.set_model_version_tag("churn", "1", "reviewed", "yes")
    c.delete_model_version_tag("churn", "1", "reviewed")
    c.set_registered_model_alias("churn", "prod", "1")
    c.delete_registered_model_alias("churn", "prod")
    tap.same(r.wait(6), 6, "six changes of a model are told")
    tap.same(sorted(map(str, said(r))), sorted(map(str, [
        ("registered_model", "created", {"name": "churn", "tags": {"team": "growth"}, "description": "who leaves"}),
        ("model_version", "created", {"name": "churn", "version": "1", "source": "s3://b/1", "run_id": None,
                                      "tags": {"algo": "lr"}, "description": None}),
        ("model_version_tag", "set", {"name": "churn", "version": "1", "key": "reviewed", "value": "yes"}),
        ("model_version_tag", "deleted", {"name": "churn", "version": "1", "key": "reviewed"}),
        ("model_version_alias", "created", {"name": "churn", "version": "1", "alias": "prod"}),
        ("model_version_alias", "deleted", {"name": "churn", "alias": "prod"})])), "in MLflow's words")
    tap.ok(all(signed("hush", h_, b) == h_.get("X-MLflow-Signature") for h_, b in r.got), "each is signed")
    tap.same(len({h_["X-MLflow-Delivery-Id"] for h_, _ in r.got}), 6, "each has an id of its own")
    r.got.clear()
    c.register_prompt("greet", "Hello {{name}}", tags={"lang": "en"})
    c.set_prompt_tag("greet", "owner", "ada")
    c.set_prompt_alias("greet", "live", 1)
    r.settle()
    tap.ok(("prompt_version", "created", "Hello {{name}}") in
           [(a, b, d.get("template")) for a, b, d in said(r)], "so are those of prompts", said(r))

    r.got.clear()
    server.json("POST", "/api/2.0/mlflow/registered-models/create", {
        "name": "long", "tags": [{"key": f"k{i}", "value": "v" * 5000} for i in range(1000)]})
    c.create_registered_model("short")
    tap.same(r.wait(2), 2, "a change of 5 MB stops nobody's deliveries")
    tap.same(sorted(map(str, (d for _, _, d in said(r)))),
             sorted(map(str, [{"name": "long", "truncated": True}, {"name": "short", "tags": {}, "description": None}])),
             "it is told by name")

    r.got.clear()
    r.answers[:] = [503, 429]
    c.set_registered_model_alias("churn", "prod", "1")
    tap.same(r.wait(3, 30), 3, "a refusal that may pass is tried again")
    tap.same((len({h_["X-MLflow-Delivery-Id"] for h_, _ in r.got}), len({b for _, b in r.got})), (1, 1),
             "with the same id and the same words")
    r.got.clear()
    r.answers[:] = [302, 404]
    c.set_registered_model_alias("churn", "a", "1")
    c.set_registered_model_alias("churn", "b", "1")
    r.wait(2)
    time.sleep(2.5)
    tap.same(len(r.got), 2, "a redirect is not followed, a final refusal not tried again")

    r.got.clear()
    t = c.test_webhook(h.webhook_id, "model_version.created")
    tap.same((t.success, t.response_status, t.response_body), (True, 200, "seen"), "an example can be sent")
    r.answers[:] = [500]
    tap.same(c.test_webhook(h.webhook_id).success, False, "and fails when it is refused")
    r.got.clear()
    u = c.update_webhook(h.webhook_id, name="ci2", status="DISABLED")
    tap.same((u.name, str(u.status), u.url, len(u.events)), ("ci2", "DISABLED", r.url, len(every)),
             "what is given changes, the rest stays")
    c.create_registered_model("quiet")
    c.update_webhook(h.webhook_id, status="ACTIVE", events=["registered_model.created"])
    c.create_registered_model("loud")
    r.wait(1)
    time.sleep(0.5)
    tap.same([d["name"] for _, _, d in said(r)], ["loud"], "a disabled one gets nothing")
    tap.same(code(c.create_webhook, "x y", r.url, every[:1]), "INVALID_PARAMETER_VALUE", "a bad name is refused")
    tap.same(code(c.create_webhook, "x", "ftp://h/x", every[:1]), "INVALID_PARAMETER_VALUE", "so is a bad URL")
    tap.same(server.json("POST", "/api/2.0/mlflow/webhooks", {"name": "x", "url": r.url, "events": [
        {"entity": "PROMPT", "action": "EXCEEDED"}]})[1]["error_code"], "INVALID_PARAMETER_VALUE", "and no such event")
    server.cli("project", "add", "other")
    tap.same(MlflowClient(server.base + "/p/other").list_webhooks(), [], "another project does not see it")
    c.delete_webhook(h.webhook_id)
    tap.same(code(c.get_webhook, h.webhook_id), "RESOURCE_DOES_NOT_EXIST", "it is removed")
    tap.ok("webhook" not in server.cli("secret", "ls")[1], "with its secret")


def inside_is_refused(server):
    c = MlflowClient(server.base)
    for url in ("https://127.0.0.1/x", "https://10.1.2.3/x", "https://[::1]/x", "https://[::ffff:169.254.169.254]/x",
                "https://localhost/x", "https://0x7f000001/x", "https://2130706433/x", "https://127.1/x",
                "https://[fd00::1]/x", "http://example.com/x", "https://u:p@example.com/x", "https://"):
        tap.same(code(c.create_webhook, "x", url, ["prompt.created"]), "INVALID_PARAMETER_VALUE", f"refused: {url}")
    h = c.create_webhook("x", "https://example.com/x", ["prompt.created"])
    server.sql(f"UPDATE mlflow_webhook SET url = 'https://127.0.0.1:{server.address.rsplit(':')[-1]}/'")
    t = c.test_webhook(h.webhook_id)
    tap.ok(not t.success and "non-public" in t.error_message, "one that got in is not sent either", t.error_message)


def survives(server_home):
    """What was committed is told even when the server died before it could."""
    with Croft(home=server_home, settings={"webhooks.private_addresses": "true"}) as s:
        r = Receiver()
        port = r.server.server_port
        r.server.shutdown()
        r.server.server_close()  # nobody listens
        c = MlflowClient(s.base)
        c.create_webhook("late", f"http://127.0.0.1:{port}/x", ["registered_model.created"])
        c.create_registered_model("before")
        s.kill()
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    listener = http.server.HTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    with Croft(home=server_home, settings={"webhooks.private_addresses": "true"}):
        end = time.time() + 70  # the lease of the dead server's try may have to pass
        while not got and time.time() < end:
            time.sleep(0.1)
    tap.same([g["data"]["name"] for g in got], ["before"], "a delivery survives kill -9")


def metrics_of_models(server):
    c = MlflowClient(server.base)
    mlflow.set_tracking_uri(server.base)
    e = c.create_experiment("models")
    run = c.create_run(e).info.run_id
    ids = [c.create_logged_model(e, name=f"m{i}", params={"lr": str(i)}, source_run_id=run).model_id for i in range(4)]
    for i, m in enumerate(ids[:3]):
        c.log_metric(run, "acc", 0.5 + i / 10, step=1, timestamp=100, model_id=m, dataset_name="train", dataset_digest="t1")
    c.log_batch(run, [Metric("acc", 0.9, 200, 2, model_id=ids[0], dataset_name="test", dataset_digest="x1"),
                      Metric("acc", 0.1, 200, 2, model_id=ids[1], dataset_name="test", dataset_digest="x2"),
                      Metric("loss", 3.0, 200, 2)])
    seen = [(x.key, x.value, x.timestamp, x.step, x.dataset_name, x.dataset_digest, x.run_id == run)
            for x in c.get_logged_model(ids[0]).metrics]
    tap.same(sorted(seen), [("acc", 0.5, 100, 1, "train", "t1", True), ("acc", 0.9, 200, 2, "test", "x1", True)],
             "a model has the metrics that name it")
    tap.same(len(c.get_metric_history(run, "acc")), 5, "and the run has them all")

    def names(**kw):
        return [m.name for m in c.search_logged_models([e], **kw)]
    tap.same(sorted(names(filter_string="metrics.acc > 0.55")), ["m0", "m1", "m2"], "by metric: any value counts")
    tap.same(names(filter_string="metrics.acc > 0.55", datasets=[{"dataset_name": "test"}]), ["m0"], "on a dataset")
    tap.same(names(filter_string="metrics.acc < 0.55", datasets=[{"dataset_name": "test", "dataset_digest": "x1"}]), [],
             "with its digest")
    tap.same(sorted(names(datasets=[{"dataset_name": "test"}])), ["m0", "m1"], "by dataset alone")
    tap.same(names(filter_string="metrics.acc > 0.1 AND params.lr = '2'"), ["m2"], "beside parameters")
    by = {"field_name": "metrics.acc"}
    tap.same(names(order_by=[by]), ["m1", "m2", "m0", "m3"], "ordered by the newest value, none last")
    tap.same(names(order_by=[{**by, "ascending": False}]), ["m0", "m2", "m1", "m3"], "downwards, none last too")
    tap.same(names(order_by=[{**by, "dataset_name": "train"}]), ["m0", "m1", "m2", "m3"], "on a dataset")
    tap.same(code(names, order_by=[{"field_name": "nope"}]), "INVALID_PARAMETER_VALUE", "no such field")
    tap.same(server.json("POST", "/api/2.0/mlflow/logged-models/search", {
        "experiment_ids": [e], "datasets": [{"dataset_digest": "x"}]})[0], 400, "no dataset's name")
    tap.same(code(c.log_metric, run, "acc", 1, model_id="m-" + "0" * 32), "RESOURCE_DOES_NOT_EXIST", "no such model")
    return e, run, ids


def graph(server, of, up=False):
    edges = server.json("GET", f"/api/v1/lineage/graph?of={of}&direction={'up' if up else 'down'}")[1]
    return {(x["node"], x["kind"], x["source"]) for x in edges["edges"]}


def lineage(server, e, run, ids):
    c = MlflowClient(server.base)
    user = c.create_run(e).info.run_id
    c.log_inputs(user, [DatasetInput(Dataset("faq", "d1", "s3", json.dumps({"uri": "s3://b/faq.csv"}))),
                        DatasetInput(Dataset("mem", "d2", "local", "{}"))], [LoggedModelInput(ids[0])])
    c.log_outputs(user, [LoggedModelOutput(ids[3], 0)])
    c.create_registered_model("scored")
    v = c.create_model_version("scored", f"models:/{ids[0]}", model_id=ids[0])
    node = f"urn:mlflow-model:{ids[0]}"
    tap.ok({(f"run:{user}", "used", "s3://b/faq.csv"), (f"run:{user}", "used", "urn:mlflow-dataset:mem:d2"),
            (f"run:{user}", "used", node)} <= graph(server, f"run:{user}", up=True), "what a run used is lineage")
    tap.ok((f"urn:mlflow-model:{ids[3]}", "produced", f"run:{user}") in graph(server, f"run:{user}"), "and what it made")
    down = graph(server, f"run:{run}")
    tap.ok((node, "produced", f"run:{run}") in down, "a logged model comes from its run")
    down = graph(server, "model/scored:1")
    tap.ok(any(n == f"run:{user}" and k == "used" for n, k, _ in down),
           "who used it before it was registered depends on the version", down)
    later = c.create_run(e).info.run_id
    c.log_inputs(later, models=[LoggedModelInput(ids[0])])
    down = graph(server, "model/scored:1")
    tap.ok(any(n == f"run:{later}" for n, _, _ in down), "and who uses it afterwards")
    tap.same(json.loads(c.get_logged_model(ids[0]).tags["mlflow.modelVersions"]), [{"name": "scored", "version": 1}],
             "the model says what it was registered as")
    c.create_model_version("scored", f"models:/{ids[0]}", model_id=ids[0])
    tap.same(len(json.loads(c.get_logged_model(ids[0]).tags["mlflow.modelVersions"])), 2, "each time")
    return v


with Croft(settings={"webhooks.private_addresses": "true"}) as s:
    webhooks_work(s)
    lineage(s, *metrics_of_models(s))
    home = s.home
    with Croft() as strict:
        inside_is_refused(strict)
import tempfile  # noqa: E402

with tempfile.TemporaryDirectory() as folder:
    survives(folder)
tap.done()
