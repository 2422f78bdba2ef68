#!/usr/bin/env python3
"""OTLP/HTTP on the wire: encodings, failures, partial success, hostile bodies."""
import gzip
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

tap = Tap()
PB, JS = "application/x-protobuf", "application/json"


def span(trace, sid, **more):
    return dict({"traceId": trace, "spanId": sid, "name": "x", "kind": 1,
                 "startTimeUnixNano": "1760000000000000000", "endTimeUnixNano": "1760000001000000000"}, **more)


def request(*spans):
    return {"resourceSpans": [{"resource": {"attributes": [
        {"key": "service.name", "value": {"stringValue": "wire"}}]}, "scopeSpans": [{"spans": list(spans)}]}]}


def post(c, body, type=JS, path="/v1/traces", **headers):
    import http.client
    h = http.client.HTTPConnection(c.address, timeout=60)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    h.request("POST", path, data, {"Content-Type": type, **{k.replace("_", "-"): v for k, v in headers.items()}})
    r = h.getresponse()
    return r.status, r.getheader("content-type"), r.read(), r


with Croft() as c:
    tap.same(post(c, b"", PB)[:3], (200, PB, b""), "an empty request is a success, in its encoding")
    tap.same(post(c, {})[:3], (200, JS, b"{}"), "in JSON too")
    tap.same(post(c, {}, JS + "; charset=utf-8")[:2], (200, JS), "with a charset")
    t = "5B8EFFF798038103D269B633813FC60C"
    tap.same(post(c, request(span(t, "EEE19B7EC3C1B174")))[:3], (200, JS, b"{}"), "ids in upper-case hex")
    tap.same(c.json("GET", "/api/v1/runs/" + t)[1]["spans"][0]["id"], "eee19b7ec3c1b174", "are the same ids")

    status, _, body, _ = post(c, request(span(t, "EEE19B7EC3C1B175"), span("00" * 16, "01" * 8),
                                         span(t, "00" * 8)))
    tap.same([status, json.loads(body)["partialSuccess"]["rejectedSpans"]], [200, "2"], "partial success")

    status, kind, body, _ = post(c, b"\x0a\x05abc", PB)
    tap.same([status, kind, body[:3]], [400, PB, b"\x08\x03\x12"], "malformed: google.rpc.Status in protobuf")
    status, kind, body, _ = post(c, b"{]")
    tap.same([status, kind, json.loads(body)["code"]], [400, JS, 3], "and in JSON")
    bad = span(t, "01" * 8)
    bad["startTimeUnixNano"] = "soon"
    status, _, body, _ = post(c, request(bad))
    tap.ok(status == 400 and b"startTimeUnixNano" in body, "a wrong member is named", body)
    tap.same(post(c, b"x", "text/plain")[0], 415, "another content type is refused")
    tap.same(post(c, b"x", JS, content_encoding="br")[0], 415, "another coding too")

    good = json.dumps(request(span(t, "0a" * 8))).encode()
    raw = zlib.compressobj(wbits=-15)
    for name, data, coding in (("gzip", gzip.compress(good), "gzip"), ("deflate", zlib.compress(good), "deflate"),
                               ("raw deflate", raw.compress(good) + raw.flush(), "deflate"),
                               ("two gzip members", gzip.compress(good[:50]) + gzip.compress(good[50:]), "gzip"),
                               ("identity", good, "identity")):
        tap.same(post(c, data, content_encoding=coding)[0], 200, name)
    tap.same(post(c, gzip.compress(good)[:-20], content_encoding="gzip")[0], 400, "cut gzip is refused")
    tap.same(post(c, gzip.compress(b" " * (80 << 20)), content_encoding="gzip")[0], 413,
             "80 MB in 80 kB: refused at the limit of what comes out")
    tap.same(post(c, request(span(t, "0b" * 8)), path="/api/public/otel/v1/traces")[0], 200, "the other path")
    deep = (b'{"key":"k","value":' + b'{"kvlistValue":{"values":[{"key":"k","value":' * 500 + b"{}" + b"}]}}" * 500 + b"}")
    tap.same(post(c, b'{"resourceSpans":[{"resource":{"attributes":[' + deep + b"]}}]}")[0], 400, "deep nesting is refused")

    record = {"timeUnixNano": "1760000000000000000", "body": {"stringValue": "hello"}, "traceId": t}
    late = dict(record, timeUnixNano=str(1 << 63))
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record, late]}]}]}
    for data, kind, name in ((b"", PB, "protobuf"), (b"{}", JS, "JSON")):
        tap.same(post(c, data, kind, path="/v1/logs")[:2], (200, kind), f"no log records in {name}: a success")
    status, _, body, _ = post(c, gzip.compress(json.dumps(logs).encode()), path="/v1/logs", content_encoding="gzip")
    tap.same([status, json.loads(body)["partialSuccess"]["rejectedLogRecords"]], [200, "1"], "partial success of logs")
    tap.same([r["body"] for r in c.json("GET", f"/api/v1/runs/{t}/logs")[1]["logs"]], ["hello"], "the other is there")
    status, kind, body, _ = post(c, b"\x0a\x05abc", PB, path="/v1/logs")
    tap.same([status, kind, body[:3]], [400, PB, b"\x08\x03\x12"], "malformed logs")
    for kind, body in ((PB, b""), (JS, b"{}")):
        status, got, body, r = post(c, body, kind, path="/v1/metrics")
        tap.ok((status, got) == (501, kind) and b"OTEL_METRICS_EXPORTER=none" in body and
               r.getheader("retry-after") is None, "metrics are refused, and nobody tries again", (status, got, body))

    shared = os.environ.get("CROFT_SHARED_DATA", os.path.join(os.path.dirname(__file__), "../../../shared/data"))
    archive = os.path.join(shared, "badinput", "badinput.tar.xz")
    if os.path.exists(archive):
        with tarfile.open(archive) as tar:
            for m in tar:
                if m.isfile() and ("otlp/" in m.name or "json/" in m.name or "gzip/" in m.name):
                    data = tar.extractfile(m).read()
                    type = PB if "otlp/" in m.name else JS
                    coding = {"content_encoding": "gzip"} if "gzip/" in m.name else {}
                    status = post(c, data, type, **coding)[0]
                    tap.ok(status in (200, 400, 413), f"{m.name} gives {status}")
        tap.same(c.get("/healthz")[0], 200, "and the server lives")
    tap.ok(c.metric("process_resident_memory_bytes") < 500 << 20, "in bounded memory")
tap.done()
