#!/usr/bin/env python3
"""Blobs in a real S3 server: what every backend promises (test_store_s3), straight and through a
proxy on which one request in five fails."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import BUILD, Tap, skip_all  # noqa: E402
from s3_server import FaultProxy, S3Server  # noqa: E402

tap = Tap()
program = os.path.join(BUILD, "tests", "test_store_s3")
if not os.path.exists(program):
    skip_all(f"there is no {program}")


def suite(url, faults):
    env = dict(os.environ, CROFT_TEST_S3_URL=url)
    if faults:
        env.update(CROFT_TEST_S3_FAULTS="1", CROFT_S3_RETRY_MS="5")
    p = subprocess.run([program], env=env, text=True, capture_output=True, timeout=300)
    bad = [line for line in p.stdout.splitlines() if not line.startswith(("ok ", "1.."))]
    skipped = [line for line in p.stdout.splitlines() if "# SKIP no S3" in line]
    return p.returncode == 0 and not skipped, p.stdout + p.stderr, bad


server = S3Server()
proxy = None
try:
    good, out, _ = suite(server.url("straight"), False)
    tap.ok(good, "the blob suite over a real S3 server", out)
    tap.same(server.objects("straight") != [], True, "its objects lie in the server")
    proxy = FaultProxy(server.port)
    good, out, _ = suite(proxy.url("faults"), True)
    tap.ok(good, "the same while one request in five fails", out)
    tap.note(f"{proxy.requests} requests, of which failed: {dict(proxy.faults)}")
    tap.ok(len(proxy.faults) == len(FaultProxy.KINDS), "every kind of fault occurred",
           proxy.faults)
finally:
    if proxy:
        proxy.stop()
    server.remove()
tap.done()
