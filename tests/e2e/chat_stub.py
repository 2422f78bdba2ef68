"""A provider that says what a test tells it to."""
import http.server
import json
import threading
import time


class Provider:
    """Speaks chat completions; says what it is told to say, and keeps what it was asked."""

    def __init__(self):
        self.say, self.asked = "{}", []
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *a):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                provider.asked.append(body)
                if provider.say is None:
                    time.sleep(8)
                    return
                status = 200
                if isinstance(provider.say, int):
                    status, data = provider.say, b'{"error":{"message":"broken"}}'
                elif body.get("stream"):
                    chunk = {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [
                        {"index": 0, "delta": {"content": provider.say}, "finish_reason": None}]}
                    end = {"id": "1", "object": "chat.completion.chunk", "model": "m", "choices": [
                        {"index": 0, "delta": {}, "finish_reason": "stop"}]}
                    data = "".join(f"data: {json.dumps(x)}\n\n" for x in (chunk, end)).encode() + b"data: [DONE]\n\n"
                else:
                    data = json.dumps({"id": "1", "object": "chat.completion", "model": "m", "choices": [
                        {"index": 0, "message": {"role": "assistant", "content": provider.say},
                         "finish_reason": "stop"}]}).encode()
                self.send_response(status)
                kind = "text/event-stream" if status == 200 and body.get("stream") else "application/json"
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
