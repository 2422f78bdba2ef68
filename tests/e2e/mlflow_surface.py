"""Walks the services of the pinned MLflow client's own protocol definitions: each endpoint that they
declare for open-source servers must have a route here, or stand in LEFT_OUT with a reason
(docs/experiments.md has the same list). An endpoint of LEFT_OUT that has a route fails too, so that
the list stays true."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

from mlflow.protos import databricks_pb2, mlflow_artifacts_pb2, model_registry_pb2, service_pb2, webhooks_pb2  # noqa: E402

GATEWAY = "MLflow's gateway: Croft's own endpoints route models"
LEFT_OUT = (
    ("mlflow/gateway/", GATEWAY),
    ("mlflow/label-schemas/", "labelling by people is a page of MLflow's"),
    ("mlflow/review-queues/", "labelling by people is a page of MLflow's"),
    ("mlflow/prompt-optimization/", "jobs that MLflow's server runs in Python"),
    ("mlflow/workspaces", "projects (/p/NAME) take their place"),
    ("mlflow/issues", "not there yet"),
    ("mlflow/traces/metrics", "not there yet"),
    ("mlflow/traces/calculate-filter-correlation", "not there yet"),
    ("mlflow/get-online-trace-details", "MLflow's open-source server does not have it either"),
    ("mlflow/unified-traces", "MLflow's open-source server does not have it either"),
    ("mlflow/traces/{request_id}/info", "the second version of traces, before MLflow 3"),
    ("POST 2.0/mlflow/traces", "the second version of traces, before MLflow 3"),
    ("GET 2.0/mlflow/traces", "the second version of traces, before MLflow 3"),
    ("PATCH 2.0/mlflow/traces/{request_id}", "the second version of traces, before MLflow 3"),
)
ANY = "0198c0ffee0198c0ffee0198c0ffee01"


def endpoints():
    for pb in (service_pb2, model_registry_pb2, mlflow_artifacts_pb2, webhooks_pb2):
        for service in pb.DESCRIPTOR.services_by_name.values():
            for method in service.methods:
                rpc = method.GetOptions().Extensions[databricks_pb2.rpc]
                for e in rpc.endpoints:
                    if rpc.visibility == databricks_pb2.INTERNAL:
                        continue
                    yield f"{e.method} {e.since.major}.{e.since.minor}{e.path if e.path[0] == '/' else '/' + e.path}"


def left_out(endpoint):
    rest = endpoint.split(" ", 1)[1]
    for what, why in LEFT_OUT:
        if endpoint == what or (" " not in what and what in rest and (
                not what.endswith("}") or rest.endswith(what))):
            return why
    return None


tap = Tap()
with Croft() as s:
    for endpoint in sorted(set(endpoints())):
        method, rest = endpoint.split(" ", 1)
        path = "/api/" + re.sub(r"\{[^}]*\}|<[^>]*>", ANY, rest)
        status, body = s.request(method, path, b"{}" if method != "GET" else None,
                                 headers={"Content-Type": "application/json"})
        there = b"ENDPOINT_NOT_FOUND" not in body and b"is not a method of" not in body and status != 405
        why = left_out(endpoint)
        if why:
            tap.ok(not there, f"{endpoint}: left out: {why}", body)
        else:
            tap.ok(there and status < 500, endpoint, f"{status} {body[:200]}")
tap.done()
