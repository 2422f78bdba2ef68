"""The official MLflow client's tracing and assessments, unmodified, against a server."""
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
import mlflow
from mlflow.client import MlflowClient
from mlflow.entities import AssessmentError, AssessmentSource, Feedback, SpanType
from mlflow.exceptions import MlflowException

tap = Tap()


@mlflow.trace(span_type=SpanType.RETRIEVER)
def retrieve(q):
    return [{"page_content": "Graz is in Styria.", "metadata": {"doc_uri": "d1"}}]


@mlflow.trace(span_type=SpanType.CHAT_MODEL)
def chat(messages):
    span = mlflow.get_current_active_span()
    span.set_attribute("mlflow.chat.tokenUsage", {"input_tokens": 12, "output_tokens": 5, "total_tokens": 17})
    return {"choices": [{"message": {"role": "assistant", "content": "In Styria."}}]}


@mlflow.trace(name="answer")
def answer(q, fail=False):
    mlflow.update_current_trace(tags={"release": "v2"}, metadata={"mlflow.trace.session": "s1"},
                                client_request_id="rq-7")
    retrieve(q)
    if fail:
        raise ValueError("no answer")
    return chat([{"role": "user", "content": q}])["choices"][0]["message"]["content"]


with Croft() as c:
    mlflow.set_tracking_uri(c.base)
    experiment = mlflow.set_experiment("traces").experiment_id
    client = MlflowClient()
    answer("Where is Graz?")
    first = mlflow.get_last_active_trace_id()
    t = mlflow.get_trace(first)
    tap.ok(t is not None, "mlflow.trace, then get_trace")
    tap.same((t.info.state.value, t.info.experiment_id, t.info.client_request_id), ("OK", experiment, "rq-7"), "its info")
    tap.same((t.info.tags["mlflow.traceName"], t.info.tags["release"], t.info.trace_metadata["mlflow.trace.session"]),
             ("answer", "v2", "s1"), "tags and metadata")
    tap.same(t.info.token_usage["total_tokens"], 17, "token usage")
    tap.same([s.name for s in t.data.spans], ["answer", "retrieve", "chat"], "its spans")
    root, ret, llm = t.data.spans
    tap.same((root.inputs, root.outputs), ({"q": "Where is Graz?", "fail": False}, "In Styria."), "inputs and outputs")
    tap.same((ret.span_type, llm.span_type, llm.parent_id), ("RETRIEVER", "CHAT_MODEL", root.span_id), "types, the tree")
    tap.ok(t.info.execution_duration is not None and "Graz" in t.info.request_preview, "duration, preview")
    ours = c.json("GET", f"/api/v1/traces/{first[3:]}")[1]
    tap.same(([s["kind"] for s in ours["spans"]], ours["trace"]["tokens_in"], ours["trace"]["name"]),
             (["span", "retriever", "llm"], 12, "answer"), "the same trace in Croft's own form")
    s = c.json("GET", f"/api/v1/traces/{first[3:]}/spans/{llm.span_id}")[1]
    tap.same(s["view"]["messages_in"][0]["parts"][0]["text"], "Where is Graz?", "with its messages")

    tap.raises(ValueError, lambda: answer("Who?", fail=True), "a trace that fails")
    second = mlflow.get_last_active_trace_id()
    tap.same(mlflow.get_trace(second).info.state.value, "ERROR", "is an error")
    with mlflow.start_run() as run:
        answer("In a run?")
    third = mlflow.get_last_active_trace_id()

    # ---- search ----
    def ids(**kw):
        return [x.info.trace_id for x in mlflow.search_traces(locations=[experiment], return_type="list", **kw)]

    tap.same(ids(), [third, second, first], "search_traces, newest first")
    tap.same(ids(order_by=["timestamp_ms ASC"]), [first, second, third], "oldest first")
    tap.same(ids(max_results=2), [third, second], "max_results")
    for order in (["status ASC", "timestamp_ms ASC"], ["attributes.status"], ["trace.status DESC", "request_id"],
                  ["execution_time_ms DESC"], ["name", "end_time DESC"], ["tags.release DESC", "timestamp_ms DESC"],
                  ["request_metadata.`mlflow.trace.session`"], ["run_id", "experiment_id"]):
        tap.same(sorted(ids(order_by=order)), sorted([first, second, third]), f"ordered by {order}")
    tap.same(ids(order_by=["status ASC", "timestamp_ms ASC"]), [second, first, third], "errors first, then by time")
    tap.raises(MlflowException, lambda: ids(order_by=["colour"]), "an unknown order is an error")
    tap.same(ids(filter_string="trace.status = 'ERROR'"), [second], "by status")
    tap.same(ids(filter_string="attributes.name = 'answer' AND tags.release = 'v2' AND metadata.`mlflow.trace.session` = 's1'"),
             [third, second, first], "by name, tag, metadata")
    tap.same(ids(filter_string="trace.client_request_id = 'rq-8'"), [], "by the client's id")
    tap.same(ids(filter_string="span.type = 'CHAT_MODEL'"), [third, first], "by a span's type")
    tap.same(ids(filter_string="span.name = 'chat'"), [third, first], "by a span's name")
    tap.same(ids(filter_string="trace.text LIKE '%Styria%'"), [third, second, first], "by text")
    tap.same(ids(run_id=run.info.run_id), [third], "by run")
    tap.same(ids(filter_string="trace.execution_time_ms > 100000"), [], "by duration")
    tap.same(len(mlflow.search_traces(locations=[experiment], return_type="list", include_spans=False)[0].data.spans), 0,
             "without spans")
    tap.raises(MlflowException, lambda: ids(filter_string="colour = 'red'"), "a wrong filter is an error")
    page = client.search_traces(locations=[experiment], max_results=2)
    tap.same([x.info.trace_id for x in client.search_traces(locations=[experiment], max_results=2, page_token=page.token)],
             [first], "the next page")

    # ---- tags ----
    mlflow.set_trace_tag(first, "stage", "gold")
    tap.same(ids(filter_string="tag.stage = 'gold'"), [first], "set_trace_tag")
    mlflow.delete_trace_tag(first, "stage")
    tap.ok("stage" not in mlflow.get_trace(first).info.tags, "delete_trace_tag")

    # ---- assessments ----
    f = mlflow.log_feedback(trace_id=first, name="correct", value=True, rationale="checked", span_id=llm.span_id,
                            source=AssessmentSource("HUMAN", "ada"), metadata={"round": "1"})
    tap.same((f.value, f.rationale, f.source.source_id, f.span_id, f.metadata), (True, "checked", "ada", llm.span_id, {"round": "1"}),
             "log_feedback")
    judged = mlflow.log_feedback(trace_id=first, name="grade", value={"score": 3.5}, source=AssessmentSource("LLM_JUDGE", "m-1"))
    broken = mlflow.log_feedback(trace_id=first, name="judge", error=AssessmentError("TIMEOUT", "too slow"),
                                 source=AssessmentSource("LLM_JUDGE", "m-1"))
    e = mlflow.log_expectation(trace_id=first, name="expected", value={"place": ["Styria"]},
                               source=AssessmentSource("HUMAN", "ada"))
    tap.same((e.value, e.name), ({"place": ["Styria"]}, "expected"), "log_expectation")
    got = {a.name: a for a in mlflow.get_trace(first).info.assessments}
    tap.same(sorted(got), ["correct", "expected", "grade", "judge"], "they come with the trace")
    tap.same((got["grade"].value, got["judge"].error.error_code), ({"score": 3.5}, "TIMEOUT"), "values and errors")
    mlflow.update_assessment(first, f.assessment_id, Feedback(name="correct", value=False, rationale="no"))
    tap.same(mlflow.get_assessment(first, f.assessment_id).value, False, "update_assessment")
    better = mlflow.override_feedback(trace_id=first, assessment_id=judged.assessment_id, value={"score": 1},
                                      source=AssessmentSource("HUMAN", "ada"))
    a = {x.assessment_id: x for x in mlflow.get_trace(first).info.assessments}
    tap.same((a[judged.assessment_id].valid, a[better.assessment_id].overrides), (False, judged.assessment_id), "override_feedback")
    tap.same(ids(filter_string="feedback.correct = 'false'"), [first], "traces by feedback")
    mlflow.delete_assessment(first, f.assessment_id)
    tap.raises(MlflowException, lambda: mlflow.get_assessment(first, f.assessment_id), "delete_assessment")
    history = c.json("GET", f"/api/v1/runs/{first[3:]}/feedback?history=true")[1]["feedback"]
    tap.same([h["version"] for h in history if h["name"] == "correct"], [1, 2, 3], "its history stays")

    # ---- links, deletion ----
    client.link_traces_to_run([first], run.info.run_id)
    tap.same(ids(run_id=run.info.run_id), [third, first], "link_traces_to_run")
    tap.same(client.delete_traces(experiment, trace_ids=[second]), 1, "delete_traces by id")
    tap.same(ids(), [third, first], "it is gone")
    tap.same(client.delete_traces(experiment, max_timestamp_millis=int(time.time() * 1000) + 1000, max_traces=1), 1,
             "delete_traces by age")
    tap.same(ids(), [third], "the oldest went")
    tap.ok(mlflow.get_trace("tr-" + "0" * 31 + "1") is None, "an unknown trace")
tap.done()
