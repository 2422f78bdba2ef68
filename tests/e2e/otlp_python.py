"""The official OpenTelemetry SDK and OTLP/HTTP exporter for Python, unmodified, against a server."""
import json
import sys
import time

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from croft_server import Croft, Tap

tap = Tap()


def provider(base, compression):
    p = TracerProvider(resource=Resource.create({"service.name": "shop", "host.cores": 4}))
    p.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(
        endpoint=base + "/v1/traces", compression=compression)))
    return p


def one_trace(p):
    tracer = p.get_tracer("croft.test", "1.2.3", schema_url="https://opentelemetry.io/schemas/1.41.0")
    with tracer.start_as_current_span("answer", kind=SpanKind.SERVER) as root:
        root.set_attribute("session.id", "s-1")
        root.set_attribute("input.value", "Where is my order?")
        with tracer.start_as_current_span("chat gpt-5", kind=SpanKind.CLIENT) as llm:
            llm.set_attributes({
                "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-5", "gen_ai.response.model": "gpt-5-2026",
                "gen_ai.usage.input_tokens": 120, "gen_ai.usage.output_tokens": 30,
                "gen_ai.request.temperature": 1.0, "gen_ai.request.stream": True,
                "gen_ai.request.stop_sequences": ["a", "b"]})
            llm.add_event("first token", {"at": 3})
        with tracer.start_as_current_span(
                "execute_tool find", links=[Link(SpanContext(1, 2, True, TraceFlags(1)),
                                                 {"why": "retry"})]) as tool:
            tool.set_attribute("gen_ai.operation.name", "execute_tool")
            tool.record_exception(ValueError("no such order"))
            tool.set_status(Status(StatusCode.ERROR, "no such order"))
        root.set_attribute("output.value", "It is on its way.")
        return format(root.get_span_context().trace_id, "032x")


with Croft() as c:
    for compression in (Compression.NoCompression, Compression.Gzip, Compression.Deflate):
        p = provider(c.base, compression)
        trace = one_trace(p)
        tap.ok(p.force_flush(), f"{compression.value}: the exporter is told of success")
        status, got = c.json("GET", "/api/v1/runs/" + trace)
        tap.same(status, 200, f"{compression.value}: the trace is there")
        p.shutdown()
    run, spans = got["run"], {s["name"]: s for s in got["spans"]}
    tap.same([run["kind"], run["name"], run["status"]], ["trace", "answer", "ok"], "the run is the root")
    tap.same(run["attributes"], {"input": "Where is my order?", "output": "It is on its way.",
                                 "service": "shop", "model": "gpt-5-2026", "session": "s-1"},
             "with what its spans say")
    tap.same([s["kind"] for s in (spans["answer"], spans["chat gpt-5"], spans["execute_tool find"])],
             ["server", "llm", "tool"], "types of spans")
    tap.same(spans["chat gpt-5"]["parent"], spans["answer"]["id"], "and the tree")
    tap.same([spans["execute_tool find"]["status"], spans["execute_tool find"]["error"]],
             ["error", "no such order"], "errors")
    a = spans["chat gpt-5"]["attributes"]
    tap.same([a["gen_ai.usage.input_tokens"], a["gen_ai.request.stop_sequences"], a["gen_ai.request.stream"]],
             [120, ["a", "b"], True], "attributes keep their types")
tap.done()
