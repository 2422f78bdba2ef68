"""The strict filter language beside MLflow's own: every name with every operator and every value is
taken or refused as MLflow's parser takes or refuses it, with the same message, and finds the same."""
import itertools
import os
import sys
import urllib.parse

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "true"
import logging  # noqa: E402
import warnings  # noqa: E402

from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402
from mlflow.utils.search_utils import (SearchExperimentsUtils, SearchModelUtils,  # noqa: E402
                                       SearchModelVersionUtils, SearchTraceUtils, SearchUtils)

warnings.simplefilter("ignore")
logging.getLogger("mlflow").setLevel(logging.ERROR)
tap = Tap()

OPS = ["=", "!=", "<", "<=", ">", ">=", "LIKE", "ilike", "IN", "NOT IN", "IS NULL", "is not null"]
VALUES = ["'abc'", '"abc"', "'a%'", "5", "-1.5e2", "abc", "`abc`", "('abc', 'b')", "('x')", "()",
          "(1, 2)", "'it''s'"]
WHOLE = ["", " ", "AND", "a", "OR", "({0} = 'abc')", "NOT {0} = 'abc'", "{0} = 'abc' OR {0} = 'b'",
         "{0} = 'abc' AND", "AND {0} = 'abc'", "{0} = 'abc' and {0} != 'b'", "{0}", "5 = 'abc'",
         "zzz = 'abc'", "zzz.a = 'abc'"]


def outcome(fn):
    try:
        return bool(fn()), ""
    except MlflowException as e:
        return "refused", e.message.removeprefix("INVALID_PARAMETER_VALUE: ")
    except (TypeError, ValueError, AttributeError, KeyError):
        return "broken", ""  # MLflow's own parser falls over: nothing to compare with


def rest(server, path, key, text):
    """The client asks for more than it is told to."""
    status, reply = server.json("GET", f"/api/2.0/mlflow/{path}?" + urllib.parse.urlencode({"filter": text}))
    if status != 200:
        raise MlflowException(reply["message"])
    return reply[key]


def traces_as_mlflow(text):
    """What its SQL store looks at once a filter is parsed."""
    u = SearchTraceUtils
    for p in u.parse_search_filter_for_search_traces(text):
        kind, key, op = p["type"], p["key"], p["comparator"].upper()
        u.is_tag(kind, op) or u.is_request_metadata(kind, op) or u.is_attribute(kind, key, op) \
            or u.is_span(kind, key, op) or u.is_assessment(kind, key, op)
    return True


def as_set(message):
    """Python prints a set in any order: that part cannot be the same."""
    return message.split("'{")[0].split("{'")[0]


def compare(what, texts, theirs, ours):
    wrong, messages = [], 0
    for text in texts:
        (want, why), (got, said) = outcome(lambda: theirs(text)), outcome(lambda: ours(text))
        if want != got and want != "broken":
            wrong.append(f"{text}: MLflow {want} {why!r}, here {got} {said!r}")
        elif want == "refused" and why:
            messages += 1
            if as_set(why) != as_set(said):
                wrong.append(f"{text}: MLflow says {why!r}, here {said!r}")
    tap.ok(not wrong, f"{what}: {len(texts)} filters as MLflow, {messages} of them refused alike",
           "\n".join(wrong[::max(1, len(wrong) // 25)]) + f"\n{len(wrong)}")


def corpus(names, free, ops=OPS, without=()):
    """A list with another operator than IN falls over in MLflow, or is compared as a text."""
    for name, op, value in itertools.product(names, ops, VALUES):
        if value[0] == "(" and op not in ("IN", "NOT IN") or (name, value[0]) in without:
            continue
        if "NULL" in op.upper():
            value = ""
        yield f"{name} {op} {value}".strip()
    for text in WHOLE:
        yield text.format(free)


def main(server):
    c = MlflowClient(server.base, server.base)
    eid = c.create_experiment("abc", tags={"t": "abc"})
    rid = c.create_run(eid, run_name="abc", tags={"t": "abc", "odd key": "it''s"}).info.run_id
    c.log_batch(rid, metrics=[Metric("m", 5, 1, 0)], params=[Param("p", "abc")])
    c.log_inputs(rid, [DatasetInput(Dataset("abc", "d1", "s", "{}"), [InputTag("mlflow.data.context", "train")])])
    run = c.get_run(rid)
    names = ["metrics.m", "metric.none", "params.p", "parameter.none", "tags.t", "tag.`odd key`",
             "tags.\"odd key\"", "run_name", "attributes.status", "start_time", "created", "run_id",
             "user_id", "datasets.name", "dataset.context", "dataset.zzz"]
    compare("runs", sorted(set(corpus(names, "tags.t"))), lambda t: SearchUtils.filter([run], t),
            lambda t: c.search_runs([eid], t))

    x = c.get_experiment(eid)
    names = ["name", "attribute.name", "attributes.name", "tags.t", "tag.none", "creation_time", "experiment_id"]
    compare("experiments", sorted(set(corpus(names, "tags.t"))), lambda t: SearchExperimentsUtils.filter([x], t),
            lambda t: [e for e in c.search_experiments(filter_string=t) if e.name == "abc"])

    c.create_registered_model("abc", tags={"t": "abc"})
    v = c.create_model_version("abc", "models:/abc", run_id=None, tags={"t": "abc"})
    m = c.get_registered_model("abc")
    names = ["name", "attribute.name", "tags.t", "tag.`t`", "tags.none", "metrics.m", "run_id"]
    compare("models", sorted(set(corpus(names, "tags.t"))), lambda t: SearchModelUtils.filter([m], t),
            lambda t: rest(server, "registered-models/search", "registered_models", t))
    v = c.get_model_version("abc", v.version)
    names = ["name", "attribute.name", "tags.t", "tags.none", "version_number", "run_id", "source_path",
             "creation_timestamp"]
    compare("versions", sorted(set(corpus(names, "tags.t"))), lambda t: SearchModelVersionUtils.filter([v], t),
            lambda t: c.search_model_versions(t))

    names = ["status", "trace.name", "timestamp_ms", "execution_time", "end_time", "request_id", "run_id",
             "client_request_id", "trace.text", "tags.t", "tag.`t`", "metadata.k", "request_metadata.k",
             "span.name", "span.content", "span.type", "span.attributes.k", "feedback.f", "expectation.e"]
    # MLflow compares its numbers with texts too, takes no small letters for spans, and has no lists for what
    # it keeps in tags and metadata
    numbers = ("timestamp_ms", "execution_time", "end_time")
    without = {(n, q) for n in numbers for q in "'\""} | {(n, "(") for n in ("trace.name", "run_id", "trace.text")}
    compare("traces", sorted({*corpus(names, "tags.t", [op.upper() for op in OPS], without), "span.zzz = 'abc'"}),
            traces_as_mlflow, lambda t: c.search_traces(locations=[eid], filter_string=t) == [])


with Croft() as croft:
    main(croft)
tap.done()
