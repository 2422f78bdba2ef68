"""A real S3 server for tests, and a proxy in front of it on which one request in five goes wrong.

    server = S3Server()                 # skips the test when there is none
    server.url("prefix")                # s3://key:secret@127.0.0.1:port/bucket/prefix?tls=false
    proxy = FaultProxy(server.port)     # proxy.url("prefix"); proxy.faults counts by kind
"""
import collections
import http.client
import os
import random
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from croft_server import ROOT, skip_all

KEY, SECRET, BUCKET = "testkey", "test/secret+1", "croft-test"


def s3_url(port, prefix=""):
    return f"s3://{KEY}:test%2Fsecret%2B1@127.0.0.1:{port}/{BUCKET}/{prefix}?tls=false"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class S3Server:
    def __init__(self):
        made = subprocess.run([os.path.join(ROOT, "tools", "setup-s3.sh")], capture_output=True,
                              text=True)
        if made.returncode:
            skip_all("no S3 server: " + (made.stderr.strip().splitlines() or ["?"])[-1])
        self.root = tempfile.mkdtemp(prefix="croft-s3-")
        os.makedirs(os.path.join(self.root, "data", BUCKET))
        os.makedirs(os.path.join(self.root, "sidecar"))
        self.process = None
        self.port = free_port()
        self.start()

    def start(self):
        env = dict(os.environ, ROOT_ACCESS_KEY=KEY, ROOT_SECRET_KEY=SECRET)
        self.log = open(os.path.join(self.root, "log"), "ab")
        self.process = subprocess.Popen(
            [os.path.join(ROOT, "build", "versitygw"), "--quiet", "--port",
             f"127.0.0.1:{self.port}", "posix", "--sidecar", os.path.join(self.root, "sidecar"),
             os.path.join(self.root, "data")],
            env=env, stdout=self.log, stderr=self.log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        raise RuntimeError("the S3 server does not listen")

    def url(self, prefix=""):
        return s3_url(self.port, prefix)

    def objects(self, prefix=""):
        """Paths of the objects below a prefix, as they lie on its disk."""
        top = os.path.join(self.root, "data", BUCKET, prefix)
        return [os.path.join(d, f) for d, _, files in os.walk(top) for f in files
                if "/.sgwtmp" not in d]

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def remove(self):
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)


class FaultProxy:
    """rate: the share of requests that go wrong, each in one of these ways."""
    KINDS = ("500", "503", "lost request", "lost answer", "cut answer", "delay")

    def __init__(self, port, rate=0.2, seed=1):
        proxy = self
        self.rate, self.random = rate, random.Random(seed)
        self.faults, self.requests = collections.Counter(), 0
        self.lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                n = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(n) if n else None
                kind = proxy.choose()
                if kind in ("500", "503"):
                    return self.refuse(int(kind))
                if kind == "lost request":
                    return self.reset()
                if kind == "delay":
                    time.sleep(0.2)
                c = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                headers = {k: v for k, v in self.headers.items()
                           if k.lower() not in ("connection", "expect")}
                c.request(self.command, self.path, body=body, headers=headers)
                r = c.getresponse()
                data = r.read()
                c.close()
                if kind == "lost answer":
                    return self.reset()
                self.answer(r, data, cut=kind == "cut answer")

            def answer(self, r, data, cut):
                self.send_response(r.status)
                length = r.headers.get("Content-Length")
                for k, v in r.headers.items():
                    if k.lower() not in ("content-length", "transfer-encoding", "connection",
                                         "server", "date"):
                        self.send_header(k, v)
                self.send_header("Content-Length",
                                 length if self.command == "HEAD" and length else len(data))
                self.end_headers()
                if self.command == "HEAD":
                    return
                if cut and data:
                    self.wfile.write(data[:len(data) // 2])
                    return self.reset()
                self.wfile.write(data)

            def refuse(self, status):
                code = "SlowDown" if status == 503 else "InternalError"
                data = f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
                self.send_response(status)
                if status == 503:
                    self.send_header("Retry-After", "0")
                self.send_header("Content-Length", len(data))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            def reset(self):
                self.close_connection = True
                try:
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

            def log_message(self, *_):
                pass

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def choose(self):
        with self.lock:
            self.requests += 1
            if self.random.random() >= self.rate:
                return None
            kind = self.random.choice(self.KINDS)
            self.faults[kind] += 1
            return kind

    def url(self, prefix=""):
        return s3_url(self.port, prefix)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
