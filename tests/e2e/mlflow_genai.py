"""MLflow's own client, unmodified: evaluation datasets and their records, scorers, links of traces
that are still on their way, the state that a client says, files of logged models."""
import json
import os
import sys
import time
import uuid

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

os.environ.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true",
                  MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true")
import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.store.tracking.rest_store import RestStore  # noqa: E402
from mlflow.utils.rest_utils import MlflowHostCreds  # noqa: E402

tap = Tap()


def code(fn, *args, **kw):
    try:
        fn(*args, **kw)
    except MlflowException as e:
        return e.error_code
    return "OK"


def datasets(s, c, store):
    e1, e2 = c.create_experiment("a"), c.create_experiment("b")
    d = store.create_dataset("faq", tags={"team": "qa", "mlflow.user": "ada"}, experiment_ids=[e1])
    tap.same((d.name, d.tags["team"], d.created_by, d.experiment_ids, d.dataset_id[:2]),
             ("faq", "qa", "ada", [e1], "d-"), "a dataset is made")
    records = [{"inputs": {"q": "one?", "n": 1}, "outputs": {"a": "1"}, "expectations": {"right": True},
                "tags": {"lang": "en", "mlflow.user": "bob"},
                "source": {"source_type": "TRACE", "source_data": {"trace_id": "tr-1"}}},
               {"inputs": {"q": "two?"}, "outputs": "plain"}]
    tap.same(store.upsert_dataset_records(d.dataset_id, records), {"inserted": 2, "updated": 0}, "records are added")
    again = [{"inputs": {"n": 1, "q": "one?"}, "expectations": {"why": "it is"}, "tags": {"lang": "de"}}]
    tap.same(store.upsert_dataset_records(d.dataset_id, again), {"inserted": 0, "updated": 1},
             "the same inputs, whatever their order, are the same record")
    found, token = store._load_dataset_records(d.dataset_id, max_results=10)
    one, two = found
    tap.same((one.inputs, one.outputs, one.expectations, one.tags, one.source_type, one.source_id, one.created_by),
             ({"q": "one?", "n": 1}, {"a": "1"}, {"right": True, "why": "it is"},
              {"lang": "de", "mlflow.user": "bob"}, "TRACE", "tr-1", "bob"), "it is merged")
    tap.same((two.outputs, two.tags, two.expectations, token), ("plain", {}, None, None), "others are as they were")
    page, token = store._load_dataset_records(d.dataset_id, max_results=1)
    rest, end = store._load_dataset_records(d.dataset_id, max_results=1, page_token=token)
    tap.same([r.inputs["q"] for r in page + rest] + [end], ["one?", "two?", None], "records come in pages")
    got = store.get_dataset(d.dataset_id)
    tap.same((json.loads(got.schema), json.loads(got.profile)),
             ({"inputs": {"q": "string", "n": "integer"}, "outputs": {"a": "string"},
               "expectations": {"right": "boolean", "why": "string"}, "version": "1.0"}, {"num_records": 2}),
             "with a schema and a profile")
    tap.ok(got.digest != d.digest and got.last_updated_by == "bob", "and a new digest")
    tap.same(store.delete_dataset_records(d.dataset_id, [two.dataset_record_id, "dr-none"]), 1, "a record is removed")
    store.set_dataset_tags(d.dataset_id, {"team": "ops", "n": 3, "gone": None})
    store.delete_dataset_tag(d.dataset_id, "mlflow.user")
    tap.same(store.get_dataset(d.dataset_id).tags, {"team": "ops", "n": "3"}, "tags change")
    store.add_dataset_to_experiments(d.dataset_id, [e2, e1])
    tap.same(store.get_dataset_experiment_ids(d.dataset_id), [e1, e2], "it is in two experiments")
    store.remove_dataset_from_experiments(d.dataset_id, [e1])
    tap.same(store.get_dataset_experiment_ids(d.dataset_id), [e2], "and then in one")
    tap.same(code(store.add_dataset_to_experiments, d.dataset_id, ["777"]), "RESOURCE_DOES_NOT_EXIST", "no such one")
    for name in ("b", "c", "A"):
        store.create_dataset(name, tags={"team": name}, experiment_ids=[e1])

    def names(**kw):
        return [x.name for x in store.search_datasets(**kw)]
    tap.same(names(order_by=["name ASC"]), ["A", "b", "c", "faq"], "a search in order")
    tap.same(names(experiment_ids=[e2]), ["faq"], "of an experiment")
    tap.same((names(filter_string="name LIKE 'f%'"), names(filter_string="tags.team = 'c'"),
              names(filter_string="name = 'b' AND tags.team = 'c'")), (["faq"], ["c"], []), "with a filter")
    first = store.search_datasets(max_results=3, order_by=["created_time DESC"])
    tap.same([x.name for x in first] + names(max_results=3, page_token=first.token), ["A", "c", "b", "faq"], "in pages")
    for bad in ("nope = 'x'", "created_time = 'x"):
        tap.same(code(names, filter_string=bad), "INVALID_PARAMETER_VALUE", f"refused: {bad}")
    for half in "ab":  # each of these was compared with each, in the one write transaction
        begun = time.time()
        many = [{"inputs": {"many": 1}, "tags": {f"{half}{i}": "" for i in range(100000)}}]
        s.json("POST", f"/api/3.0/mlflow/datasets/{d.dataset_id}/records", {"records": json.dumps(many)})
    tap.ok(time.time() - begun < 10, "100,000 tags meet 100,000 others", f"{time.time() - begun:.1f} s")
    tap.same(s.json("POST", f"/api/3.0/mlflow/datasets/{d.dataset_id}/records", {"records": '[{"outputs": 1}]'})[0], 400,
             "a record without inputs is refused")
    other = RestStore(lambda: MlflowHostCreds(s.base + "/p/other"))
    tap.same((list(other.search_datasets()), code(other.get_dataset, d.dataset_id)), ([], "RESOURCE_DOES_NOT_EXIST"),
             "another project sees none of it")
    store.delete_dataset(d.dataset_id)
    tap.same(code(store.get_dataset, d.dataset_id), "RESOURCE_DOES_NOT_EXIST", "it is removed")


def scorers(s, c, store):
    e = c.create_experiment("scored")
    a = store.register_scorer(e, "tone", '{"v": 1}')
    b = store.register_scorer(e, "tone", '{"v": 2}')
    store.register_scorer(e, "length", '{"v": 9}')
    tap.same((a.scorer_version, b.scorer_version, a.scorer_id == b.scorer_id), (1, 2, True), "a scorer has versions")
    tap.same([(x.scorer_name, x.scorer_version) for x in store.list_scorers(e)], [("length", 1), ("tone", 2)],
             "the newest of each are listed")
    tap.same([x.scorer_version for x in store.list_scorer_versions(e, "tone")], [1, 2], "and all of one")
    tap.same((store.get_scorer(e, "tone")._serialized_scorer, store.get_scorer(e, "tone", 1)._serialized_scorer),
             ('{"v": 2}', '{"v": 1}'), "the newest, or the one that is named")
    store.delete_scorer(e, "tone", 2)
    tap.same(store.get_scorer(e, "tone").scorer_version, 1, "a version is removed")
    store.delete_scorer(e, "tone")
    tap.same([code(store.get_scorer, e, "tone"), code(store.get_scorer, e, "length", 5), code(store.list_scorers, "99"),
              code(store.register_scorer, e, "x", "{"), code(store.delete_scorer, e, "tone")],
             ["RESOURCE_DOES_NOT_EXIST"] * 3 + ["INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"], "what is not there")


def traces(s, c):
    mlflow.set_experiment("traced")
    run = c.create_run(c.get_experiment_by_name("traced").experiment_id).info.run_id
    early = "tr-" + uuid.uuid4().hex
    c.link_traces_to_run([early], run)
    with mlflow.start_span("late") as span:
        pass
    mlflow.flush_trace_async_logging()
    c.link_traces_to_run([span.trace_id], run)
    e = c.get_run(run).info.experiment_id
    linked = {t.info.trace_id: t.info.state for t in c.search_traces(locations=[e], filter_string=f"run_id = '{run}'",
                                                                     include_spans=False)}
    tap.same({k: str(v) for k, v in linked.items()}, {early: "IN_PROGRESS", span.trace_id: "OK"},
             "a trace that is on its way can be linked")
    with mlflow.start_span("judged") as span:
        mlflow.update_current_trace(state="ERROR")
        mlflow.log_expectation(trace_id=span.trace_id, name="right", value="yes")
    mlflow.flush_trace_async_logging()
    tap.same(str(mlflow.get_trace(span.trace_id).info.state), "ERROR",
             "the state that a client says counts, whatever the root span's")
    tap.same([(a.name, a.value) for a in mlflow.get_trace(span.trace_id).info.assessments], [("right", "yes")],
             "an assessment that was made before the trace was sent comes with it")
    raw = s.json("GET", f"/api/3.0/mlflow/traces/get?trace_id={span.trace_id}")[1]["trace"]["spans"][0]
    tap.ok(isinstance(raw["start_time_unix_nano"], int) and {"key": "mlflow.spanType", "value": {
        "string_value": "UNKNOWN"}} in raw["attributes"], "spans are written as MLflow writes them", raw)
    other = uuid.uuid4().hex
    attributes = [{"key": k, "value": v} for k, v in (
        ("openinference.span.kind", {"stringValue": "LLM"}), ("input.value", {"stringValue": "Hello"}),
        ("output.value", {"stringValue": '{"text": "Bye"}'}), ("llm.token_count.prompt", {"intValue": "100"}),
        ("llm.token_count.completion", {"intValue": "50"}))]
    s.json("POST", "/v1/traces", {"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": other, "spanId": "0123456789abcdef", "name": "call", "startTimeUnixNano": "1795764057347247780",
        "endTimeUnixNano": "1795764057347645033", "attributes": attributes}]}]}]})
    told = mlflow.get_trace("tr-" + other).data.spans[0]
    tap.same((told.span_type, told.inputs, told.outputs, told.attributes["mlflow.chat.tokenUsage"],
              told.attributes["input.value"]),
             ("LLM", "Hello", {"text": "Bye"}, {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}, "Hello"),
             "a span of another convention is told in MLflow's words too")
    a = s.json("POST", f"/api/3.0/mlflow/traces/{span.trace_id}/assessments", {"assessment": {
        "assessment_name": "tone", "source": {"source_type": "HUMAN"}, "feedback": {"value": 1}}})[1]["assessment"]
    b = s.json("PATCH", f"/api/3.0/mlflow/traces/{span.trace_id}/assessments/{a['assessment_id']}", {
        "assessment": {"assessment_name": "warmth"}, "update_mask": "assessmentName"})[1]["assessment"]
    tap.same(b["assessment_name"], "warmth", "an assessment is renamed")


def files(s, c):
    e = c.create_experiment("files")
    m = c.create_logged_model(e, name="m").model_id
    place = c.get_logged_model(m).artifact_location.split(":/", 1)[1]
    s.request("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{place}/sub/MLmodel", b"hello")
    root = f"/ajax-api/2.0/mlflow/logged-models/{m}/artifacts/"
    tap.same([[f["path"] for f in s.json("GET", root + "directories" + q)[1]["files"]]
              for q in ("", "?artifact_directory_path=sub")], [["sub"], ["sub/MLmodel"]], "a logged model's files")
    tap.same(s.get(root + "files?artifact_file_path=sub/MLmodel"), (200, b"hello"), "one of them")
    tap.same(s.get(root + "files?artifact_file_path=../../x")[0], 400, "none outside")
    run = c.create_run(e).info.run_id
    up = f"/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path=a/b.txt"
    tap.same((s.request("POST", up, b"hi")[0], s.get(f"/get-artifact?run_uuid={run}&path=a/b.txt")), (200, (200, b"hi")),
             "a small file in the body")
    tap.same((code(c.get_experiment, "-1337"), code(c.get_experiment, "x")),
             ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"), "experiments that are none")
    many = "&".join(f"run_ids={run}" for _ in range(100))
    tap.same(s.get(f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?metric_key=m&max_results=5&{many}")[0], 200,
             "a hundred runs in one query")
    c.create_registered_model("z")
    c.create_registered_model("y")
    for n in ("z", "y", "z"):
        c.create_model_version(n, "s3://b/x")
    tap.same([(v.name, v.version) for v in c.search_model_versions()], [("z", "2"), ("y", "1"), ("z", "1")],
             "versions are found by when they changed")


with Croft() as server:
    server.cli("project", "add", "other")
    mlflow.set_tracking_uri(server.base)
    client, rest = MlflowClient(server.base), RestStore(lambda: MlflowHostCreds(server.base))
    datasets(server, client, rest)
    scorers(server, client, rest)
    traces(server, client)
    files(server, client)
tap.done()
