#!/usr/bin/env python3
"""A static file server that speaks the paths of a model hub, with faults on demand.

    hub_server.py ROOT        files are ROOT/org/repo/...; prints its port, then serves

    GET /api/models/ORG/REPO/revision/REV?blobs=true    list with sizes and hashes
    GET /ORG/REPO/resolve/REV/FILE                      302 to /cdn/ORG/REPO/FILE
    GET /cdn/...                                        the bytes; Range, If-Range, ETag
    GET /control?cut=N&wrong=1&slow=1&norange=1&status=N&token=T&changed=1   faults from now on
    GET /log                                            the requests since the last /control
"""
import hashlib
import http.server
import json
import os
import re
import sys
import time
import urllib.parse

ROOT = sys.argv[1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 1000
fault = {}
log = []
hashes = {}


def sha256(path):
    key = (path, os.path.getmtime(path))
    if key not in hashes:
        h = hashlib.sha256()
        with open(path, "rb") as f:
            for block in iter(lambda: f.read(1 << 20), b""):
                h.update(block)
        hashes[key] = h.hexdigest()
    return hashes[key]


def git_sha1(path):
    with open(path, "rb") as f:
        data = f.read()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def sibling(repo, rel):
    path = os.path.join(ROOT, repo, rel)
    out = {"rfilename": rel, "size": os.path.getsize(path)}
    if out["size"] > LARGE:
        out["lfs"] = {"sha256": sha256(path), "size": out["size"], "pointerSize": 134}
    else:
        out["blobId"] = git_sha1(path)
    return out


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for k, v in headers:
            self.send_header(k, v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def json(self, value):
        self.answer(200, json.dumps(value).encode(), [("Content-Type", "application/json")])

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        if path == "/control":
            fault.clear()
            fault.update(dict(urllib.parse.parse_qsl(url.query)))
            log.clear()
            return self.json(fault)
        if path == "/log":
            return self.json(log)
        log.append({"path": path, "auth": self.headers.get("Authorization"),
                    "range": self.headers.get("Range") if path.startswith("/cdn/") else None})
        if "token" in fault and self.headers.get("Authorization") != "Bearer " + fault["token"]:
            return self.answer(401)
        if "status" in fault:
            return self.answer(int(fault["status"]))
        m = re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/([^/]+)", path)
        if m:
            return self.list(m[1])
        m = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if m:
            return self.answer(302, b"", [("Location", "/cdn/%s/%s" % (m[1], m[3]))])
        if path.startswith("/cdn/"):
            return self.file(os.path.join(ROOT, path[5:]))
        self.answer(404)

    def list(self, repo):
        top = os.path.join(ROOT, repo)
        if not os.path.isdir(top):
            return self.answer(404)
        files = [os.path.relpath(os.path.join(d, f), top) for d, _, fs in os.walk(top) for f in fs]
        self.json({"id": repo, "sha": COMMIT, "cardData": {"license": "apache-2.0"},
                   "siblings": [sibling(repo, f) for f in sorted(files)]})

    def file(self, path):
        if not os.path.isfile(path):
            return self.answer(404)
        size, start = os.path.getsize(path), 0
        etag = '"%s%s"' % (sha256(path)[:16], "-changed" if "changed" in fault else "")
        m = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        same = self.headers.get("If-Range") in (None, etag)
        if m and "norange" not in fault and same:
            start = int(m[1])
            if start >= size:
                return self.answer(416, b"", [("Content-Range", "bytes */%d" % size)])
            self.send_response(206)
            self.send_header("Content-Range", "bytes %d-%d/%d" % (start, size - 1, size))
        else:
            self.send_response(200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(size - start))
        self.end_headers()
        left = int(fault.get("cut", size))
        with open(path, "rb") as f:
            f.seek(start)
            while left > 0:
                block = f.read(min(1 << 16, left))
                if not block:
                    return
                left -= len(block)
                if "wrong" in fault:
                    block = bytes([block[0] ^ 1]) + block[1:]
                try:
                    self.wfile.write(block)
                except OSError:
                    break
                if "slow" in fault:
                    time.sleep(0.05)
        self.close_connection = True


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that was killed
            super().handle_error(request, client_address)


server = Server(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
