#!/usr/bin/env python3
"""/metrics, read by Prometheus' own parsers: its older text format and OpenMetrics."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import ROOT, Croft, Tap, skip_all  # noqa: E402

VENV = os.path.join(ROOT, "build", "venv", "bin", "python")
if os.path.realpath(sys.prefix) != os.path.realpath(os.path.join(ROOT, "build", "venv")):
    if subprocess.run([os.path.join(ROOT, "tools", "setup-clients.sh"), "prometheus"], capture_output=True).returncode:
        skip_all("prometheus-client cannot be fetched")
    os.execv(VENV, [VENV, *sys.argv])
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open  # noqa: E402
from prometheus_client.parser import text_string_to_metric_families as parse_text  # noqa: E402

tap = Tap()
OPEN = "application/openmetrics-text; version=1.0.0, text/plain;q=0.5"

with Croft(key="secret") as c:
    for _ in range(3):
        c.get("/api/v1/status")
    c.get("/api/v1/documents/nothing")
    for i in range(50):
        c.get(f"/api/v1/runs/{i:032x}")
        c.get(f"/nobody/was/here/{i}")
    text = c.get("/metrics")[1].decode()
    names = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")]
    tap.ok(len(names) == len(set(names)), "each family stands once", [n for n in names if names.count(n) > 1])
    families = {f.name: f for f in parse_text(text)}
    tap.ok(len(families) > 15 and all(f.documentation for f in families.values()), "the older format is read, with help",
           [n for n, f in families.items() if not f.documentation])
    counters = [f.name for f in families.values() if f.type == "counter"]
    raw = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ") and line.endswith(" counter")]
    tap.ok(all(n.endswith("_total") for n in raw), "counters end with _total", raw)
    status = [s for s in families["croft_http_request_seconds"].samples
              if s.name.endswith("_count") and s.labels == {"method": "GET", "route": "/api/v1/status"}]
    tap.ok(status and status[0].value >= 3, "requests are counted by route", status)
    routes = {s.labels["route"] for s in families["croft_http_request_seconds"].samples}
    tap.ok("/api/v1/runs/{id}" in routes and "/{rest...}" in routes and len(routes) < 12,
           "labels are routes and not what clients ask for", routes)
    codes = {(s.labels["route"], s.labels["code"]) for s in families["croft_http_answers"].samples}
    tap.ok({("/api/v1/status", "2xx"), ("/api/v1/runs/{id}", "4xx")} <= codes, "answers by kind of status", codes)
    by_route = {}
    for s in families["croft_http_request_seconds"].samples:
        if s.name.endswith("_bucket"):
            by_route.setdefault((s.labels["method"], s.labels["route"]), []).append((float(s.labels["le"]), s.value))
    tap.ok(all(b == sorted(b) and [v for _, v in b] == sorted(v for _, v in b) and b[-1][0] == float("inf")
               for b in by_route.values()), "buckets add up", by_route)
    status, data = c.request("GET", "/metrics", headers={"Accept": OPEN})
    families = {f.name: f for f in parse_open(data.decode())}
    tap.ok(status == 200 and len(families) > 15 and data.endswith(b"# EOF\n"), "OpenMetrics on Accept", len(families))
    tap.ok(counters and set(counters) <= set(families), "with the same counters", set(counters) - set(families))
    tap.same(c.request("GET", "/metrics", headers={"Authorization": "Bearer no"})[0], 401, "not without a key")
tap.done()
