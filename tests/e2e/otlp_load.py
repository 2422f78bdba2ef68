"""Clients that send traces, one in each request, and keep to Retry-After, as exporters do."""
import http.client
import json
import threading
import time

BIG = "x" * 200_000


def request(i):
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": f"{i + 1:032x}", "spanId": "0" * 15 + "1", "name": f"t{i}", "startTimeUnixNano": "1",
        "endTimeUnixNano": "2", "attributes": [{"key": "pad", "value": {"stringValue": BIG}}]}]}]}]}).encode()


class Client(threading.Thread):
    def __init__(self, address, numbers):
        super().__init__()
        self.address, self.numbers = address, numbers
        self.acked, self.waits, self.others, self.no_hint = [], 0, [], 0

    def run(self):
        for i in self.numbers:
            body = request(i)
            while True:
                try:
                    h = http.client.HTTPConnection(self.address, timeout=60)
                    h.request("POST", "/v1/traces", body, {"Content-Type": "application/json"})
                    r = h.getresponse()
                    r.read()
                except OSError as e:
                    self.others.append(repr(e))
                    time.sleep(0.5)
                    continue
                if r.status == 200:
                    self.acked.append(i)
                    break
                if r.status in (429, 503):
                    self.waits += 1
                    self.no_hint += r.getheader("retry-after") is None
                    time.sleep(float(r.getheader("retry-after") or 1))
                else:
                    self.others.append(r.status)
                    break


def watch(croft, seconds, before):
    """While the store stalls: (longest answer of /healthz in s, bytes of memory more than before)."""
    slowest = peak = 0
    end = time.time() + seconds
    while time.time() < end:
        t = time.time()
        ok = croft.get("/healthz")[0] == 200
        slowest = max(slowest, time.time() - t if ok else 99)
        peak = max(peak, croft.metric("process_resident_memory_bytes") or 0)
        time.sleep(0.2)
    return slowest, peak - before
