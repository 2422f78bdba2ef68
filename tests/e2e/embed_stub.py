"""A provider of embeddings whose vectors a test can compute itself: words, hashed. The model's name
says the dimension and the seed ("64-a"); it counts the texts that it was sent, may be slow or
away, and refuses texts with the word "unreadable"."""
import hashlib
import http.server
import json
import math
import threading
import time


def vector(model, text):
    dim, seed = model.split("-")
    dim = int(dim)
    v = [0.0] * dim
    for word in text.split():
        h = hashlib.sha256((seed + word).encode()).digest()
        for i in range(0, 12, 3):
            v[(h[i] * 256 + h[i + 1]) % dim] += 1 if h[i + 2] & 1 else -1
    v[0] += 0.01
    return v


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


class EmbedStub:
    def __init__(self):
        self.texts, self.away, self.delay = {}, set(), {}
        self.lock = threading.Lock()
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def do_POST(self):
                stub.handle(self)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *a):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()

    def sent(self, model):
        with self.lock:
            return list(self.texts.get(model, []))

    def handle(self, h):
        body = json.loads(h.rfile.read(int(h.headers["content-length"])))
        model, texts = body["model"], body["input"]
        if isinstance(texts, str):
            texts = [texts]
        time.sleep(self.delay.get(model, 0))
        if model in self.away:
            return self.reply(h, 503, {"error": {"message": "away"}})
        if model.endswith("b") and any("unreadable" in t for t in texts):
            return self.reply(h, 400, {"error": {"message": "this text cannot be read"}})
        with self.lock:
            self.texts.setdefault(model, []).extend(texts)
        data = [{"object": "embedding", "index": i, "embedding": vector(model, t)} for i, t in enumerate(texts)]
        self.reply(h, 200, {"object": "list", "data": data, "usage": {"prompt_tokens": 1, "total_tokens": 1}})

    def reply(self, h, status, value):
        data = json.dumps(value).encode()
        h.send_response(status)
        h.send_header("content-type", "application/json")
        h.send_header("content-length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)
