#!/usr/bin/env python3
"""Two servers on one PostgreSQL database: a key, a session, a role of one is the other's within a
second, and so is their end; audit records that both add are one chain."""
import json
import os
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
import pg as postgres
from croft_server import Croft, Tap, skip_all

if postgres.missing():
    skip_all(postgres.missing())
tap = Tap()


def as_owner(c):
    with open(os.path.join(c.home, "server.json")) as f:
        return {"authorization": "Bearer " + json.load(f)["key"]}


def call(c, method, path, body=None, headers=None):
    status, data = c.request(method, path, json.dumps(body).encode() if body is not None else None,
                             headers={"content-type": "application/json", **(headers or {})})
    return status, json.loads(data) if data[:1] in (b"{", b"[") else data


def until(status, c, headers, path="/api/v1/me"):
    """Seconds until c answers so; None after fifteen."""
    start = time.time()
    while time.time() - start < 15:
        if call(c, "GET", path, headers=headers)[0] == status:
            return time.time() - start
        time.sleep(0.01)
    return None


def run(a, b):
    owner = as_owner(a)
    call(a, "POST", "/api/v1/users", {"name": "ada", "role": "admin", "password": "correct horse"}, owner)
    took = until(401, b, {})
    tap.ok(took is not None, "the first user of one server closes the other", took)
    status, made = call(a, "POST", "/api/v1/keys", {"user": "ada"}, owner)
    key = {"x-api-key": made["key"]}
    tap.same(call(a, "GET", "/api/v1/me", headers=key)[0], 200, "a key is valid at once where it was made")
    took = until(200, b, key)
    tap.ok(took is not None, "and soon on the other server")
    call(b, "DELETE", "/api/v1/keys/" + made["id"], headers=key)
    tap.same(call(b, "GET", "/api/v1/me", headers=key)[0], 401, "revoked, at once")
    took = until(401, a, key)
    tap.ok(took is not None, "and soon on the other server")
    # a session

    def sign_in(c):
        rq = urllib.request.Request(c.base + "/api/v1/session", method="POST",
                                    data=b'{"name":"ada","password":"correct horse"}',
                                    headers={"content-type": "application/json", "origin": c.base})
        with urllib.request.urlopen(rq) as r:
            return {"cookie": r.headers["set-cookie"].split(";")[0]}
    cookie = sign_in(a)
    tap.same(call(b, "GET", "/api/v1/me", headers=cookie)[0], 200, "a session of one is the other's")
    call(a, "DELETE", "/api/v1/session", headers={**cookie, "origin": a.base})
    tap.same(call(a, "GET", "/api/v1/me", headers=cookie)[0], 401, "signed out")
    took = until(401, b, cookie)
    tap.ok(took is not None, "soon on the other server, too")
    # both write the log at once
    def add(c, prefix):
        for i in range(25):
            call(c, "POST", "/api/v1/projects", {"name": f"{prefix}{i}"}, as_owner(c))
    threads = [threading.Thread(target=add, args=x) for x in ((a, "x"), (b, "y"), (a, "z"))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    status, verdict = call(b, "GET", "/api/v1/audit/verify", headers=as_owner(b))
    tap.ok(verdict["ok"] and verdict["records"] >= 75 + 4, "the log of both is one chain", verdict)
    # what the other server wrote is heard of within a moment
    end, n = time.time() + 15, 0
    while n != 76 and time.time() < end:
        n = len(call(a, "GET", "/api/v1/projects", headers=owner)[1]["projects"])
        time.sleep(0.02)
    tap.same(n, 76, "nothing of it is lost")


def main():
    blobs = tempfile.mkdtemp(prefix="croft-blobs-")
    with postgres.Pg() as pg:
        settings = {"db.url": pg.url("shared"), "blobs.url": "file:" + blobs}
        servers = [Croft(settings=settings) for _ in range(2)]
        try:
            for c in servers:
                c.start()
            run(*servers)
        finally:
            for c in servers:
                c.remove()
    tap.done()


main()
