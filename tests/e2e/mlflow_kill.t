#!/usr/bin/env python3
"""kill -9 while runs are logged: what was acknowledged is there, once, also what was being moved
from the tail to blocks, and series go on where they were."""
import http.client
import json
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

KILLS, WRITERS, BATCH = 8, 4, 500
tap = Tap()
random.seed(20260101)


class Writer(threading.Thread):
    """One run, batches of points of two series, steps counted up; a batch that was not answered is
    sent again after the restart, as a client would."""

    def __init__(self, number):
        super().__init__(daemon=True)
        self.number, self.step, self.acknowledged, self.run = number, 0, 0, None
        self.address, self.failed = None, threading.Event()

    def post(self, conn, path, body):
        conn.request("POST", "/api/2.0/mlflow/" + path, json.dumps(body),
                     {"Content-Type": "application/json"})
        rs = conn.getresponse()
        data = rs.read()
        if rs.status != 200:
            raise RuntimeError(f"{rs.status} {data[:200]}")
        return json.loads(data)

    def run_until_dead(self, address):
        try:
            conn = http.client.HTTPConnection(address, timeout=20)
            if not self.run:
                self.run = self.post(conn, "runs/create", {
                    "experiment_id": "0", "start_time": 1})["run"]["info"]["run_id"]
            while True:
                self.post(conn, "runs/log-batch", {"run_id": self.run, "metrics": [
                    {"key": f"m{k}", "value": s * 0.5 + k, "timestamp": 1000 + s, "step": s}
                    for k in (0, 1) for s in range(self.step, self.step + BATCH)]})
                self.step += BATCH
                self.acknowledged = self.step
        except (OSError, http.client.HTTPException):
            return


home = None
writers = [Writer(i) for i in range(WRITERS)]
with Croft() as server:
    for kill in range(KILLS):
        threads = [threading.Thread(target=w.run_until_dead, args=(server.address,)) for w in writers]
        for t in threads:
            t.start()
        time.sleep(0.4 + random.random() * 0.8)
        server.kill()
        for t in threads:
            t.join()
        server.start()
    total = 0
    for w in writers:
        for key in ("m0", "m1"):
            status, reply = server.json(
                "GET", f"/api/2.0/mlflow/metrics/get-history?run_id={w.run}&metric_key={key}")
            steps = [m["step"] for m in reply.get("metrics", [])]
            good = all(m["value"] == m["step"] * 0.5 + int(key[1]) for m in reply["metrics"])
            # the last batch may be there without its answer
            tap.ok(good and steps == list(range(len(steps)))
                   and len(steps) in (w.acknowledged, w.acknowledged + BATCH),
                   f"run {w.number} {key}: {len(steps)} points, each once",
                   f"acknowledged {w.acknowledged}, got {len(steps)}")
            total += len(steps)
        status, chart = server.json("GET", f"/api/v1/runs/{w.run}/metrics/m0?points=100")
        tap.same(sum(b[2] for b in chart["buckets"]), len(steps), "and the pyramid counts the same")
    tap.note(f"{total} points over {KILLS} kills")
    tap.ok(total > KILLS * WRITERS * BATCH, "enough was logged to mean something")
tap.done()
