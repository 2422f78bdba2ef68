"""A provider that misbehaves on demand. The model's name says how: "ok", "500x2-ok" (two times 500,
then an answer), "429", "hang", "half", "garbage", "html", "redirect", "slow", "401", "400", "long".
It counts requests by model and keeps the last headers and body; /v1/messages speaks Anthropic.
"""
import http.server
import json
import threading
import time


class Stub:
    def __init__(self):
        self.seen, self.headers, self.body, self.gone = {}, {}, {}, {}
        self.healthy = True
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

    # ---- answers ----

    def handle(self, h):
        body = json.loads(h.rfile.read(int(h.headers["content-length"])))
        model = body["model"]
        with self.lock:
            self.seen[model] = n = self.seen.get(model, 0) + 1
            self.headers[model] = dict(h.headers.items())
            self.body[model] = body
        if h.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": i, "embedding": [len(t), 1.5, -2]}
                    for i, t in enumerate(body["input"])]
            return self.reply(h, 200, {"object": "list", "data": data[::-1],
                                       "usage": {"prompt_tokens": 7, "total_tokens": 7}})
        if h.path.endswith("/messages"):
            return self.anthropic(h, body)
        fault, _, rest = model.partition("-")
        status, _, times = fault.partition("x")
        if model == "flaky":
            return self.stream(h, body, "well") if self.healthy else self.error(h, 503)
        if times and n > int(times):
            fault = rest
        elif times:
            fault = status
        if fault.isdigit():
            return self.error(h, int(fault))
        getattr(self, fault)(h, body)

    def reply(self, h, status, value, headers=()):
        data = json.dumps(value).encode()
        h.send_response(status)
        h.send_header("content-type", "application/json")
        h.send_header("content-length", str(len(data)))
        for k, v in headers:
            h.send_header(k, v)
        h.end_headers()
        h.wfile.write(data)

    def error(self, h, status):
        more = [("retry-after", "1")] if status == 429 else []
        self.reply(h, status, {"error": {"message": f"stub says {status} to sk-secret-key-of-ours"
                                         if status == 401 else f"stub says {status}"}}, more)

    def begin(self, h, kind="text/event-stream"):
        h.send_response(200)
        h.send_header("content-type", kind)
        h.send_header("transfer-encoding", "chunked")
        h.end_headers()

    def chunk(self, h, data):
        h.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        h.wfile.flush()

    def delta(self, h, delta, finish=None, **more):
        value = {"id": "x", "object": "chat.completion.chunk",
                 "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}
        self.chunk(h, b"data: " + json.dumps(value).encode() + b"\n\n")

    def end(self, h):
        usage = {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}
        self.chunk(h, b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n")
        self.chunk(h, b"data: [DONE]\n\n")
        h.wfile.write(b"0\r\n\r\n")

    def stream(self, h, body, text, pause=0):
        if not body.get("stream"):
            time.sleep(pause)
            return self.reply(h, 200, {"choices": [{"index": 0, "finish_reason": "stop",
                                                    "message": {"role": "assistant", "content": text}}],
                                       "usage": {"prompt_tokens": 11, "completion_tokens": 3}})
        self.begin(h)
        for c in text:
            self.delta(h, {"content": c})
            time.sleep(pause)
        self.delta(h, {}, "stop")
        self.end(h)

    def ok(self, h, body):
        self.stream(h, body, "fine")

    def tools(self, h, body):
        """Thinks, then calls two tools; the second call comes at once."""
        calls = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}},
                 {"id": "c2", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]
        if not body.get("stream"):
            return self.reply(h, 200, {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": calls}}],
                "usage": {"prompt_tokens": 11, "completion_tokens": 3}})
        self.begin(h)
        self.delta(h, {"reasoning_content": "hm"})
        first = dict(calls[0], index=0, function={"name": "weather", "arguments": ""})
        self.delta(h, {"tool_calls": [first]})
        for piece in ('{"city"', ':"Bern"}'):
            self.delta(h, {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        self.delta(h, {"tool_calls": [dict(calls[1], index=1)]})
        self.delta(h, {}, "tool_calls")
        self.end(h)

    def slow(self, h, body):
        self.stream(h, body, "slow", 0.3)

    def long(self, h, body):
        """Writes until the client has gone, and notes when."""
        self.begin(h)
        try:
            for _ in range(400):
                self.delta(h, {"content": "more "})
                time.sleep(0.05)
        except OSError:
            self.gone[body["model"]] = time.time()
            h.close_connection = True

    def hang(self, h, body):
        time.sleep(30)

    def mute(self, h, body):
        self.begin(h)
        self.delta(h, {"content": "a"})
        time.sleep(30)

    def late(self, h, body):
        time.sleep(2.2)
        self.stream(h, body, "late")

    def half(self, h, body):
        self.begin(h)
        self.delta(h, {"content": "half an "})
        h.close_connection = True

    def garbage(self, h, body):
        self.begin(h)
        self.chunk(h, b"data: \xff\xfe{not json\n\n")
        h.wfile.write(b"0\r\n\r\n")

    def html(self, h, body):
        data = b"<html>welcome to the hotel's network</html>"
        h.send_response(200)
        h.send_header("content-type", "text/html")
        h.send_header("content-length", str(len(data)))
        h.end_headers()
        h.wfile.write(data)

    def redirect(self, h, body):
        h.send_response(307)
        h.send_header("location", "http://127.0.0.1:1/v1/chat/completions")
        h.send_header("content-length", "0")
        h.end_headers()

    def anthropic(self, h, body):
        events = [("message_start", {"message": {"usage": {"input_tokens": 8, "output_tokens": 1}}}),
                  ("content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}),
                  ("ping", {}),
                  ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "Bon"}}),
                  ("content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": "jour"}}),
                  ("content_block_stop", {"index": 0}),
                  ("message_delta", {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 4}}),
                  ("message_stop", {})]
        if not body.get("stream"):
            return self.reply(h, 200, {"type": "message", "content": [{"type": "text", "text": "Bonjour"}],
                                       "stop_reason": "end_turn",
                                       "usage": {"input_tokens": 8, "output_tokens": 4}})
        self.begin(h)
        for name, value in events:
            self.chunk(h, f"event: {name}\ndata: {json.dumps({'type': name, **value})}\n\n".encode())
        h.wfile.write(b"0\r\n\r\n")
