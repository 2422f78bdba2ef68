#!/usr/bin/env python3
"""Two servers on one PostgreSQL database: a response in the background that one of them makes is
seen, followed and cancelled through the other, and taken up by it when the first is killed."""
import json
import os
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import pg as postgres
from croft_server import CHAT, Croft, Tap, skip_all

if postgres.missing():
    skip_all(postgres.missing())
tap = Tap()
STORY = {"model": CHAT, "input": "Tell me a story.", "temperature": 0.9, "seed": 7, "max_output_tokens": 120}
ENDLESS = {"model": CHAT, "input": "Tell me a story.", "logit_bias": {"2": -100, "0": -100}}


def events(data):
    return [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: ")]


def text(list):
    return "".join(e["delta"] for e in list if e["type"] == "response.output_text.delta")


def output(r):
    return r["output"][0]["content"][0]["text"]


def wait(c, id, seconds=40):
    end = time.time() + seconds
    while time.time() < end:
        r = c.json("GET", "/v1/responses/" + id)[1]
        if r["status"] not in ("queued", "in_progress"):
            return r
        time.sleep(0.05)
    return r


def busy(c):
    """Responses that this server is writing."""
    return c.metric("croft_num_requests_running") or 0


def run(a, b):
    known = output(a.json("POST", "/v1/responses", STORY)[1])
    tap.same(output(b.json("POST", "/v1/responses", STORY)[1]), known, "the same seed, the same answer on both")
    made = a.json("POST", "/v1/responses", dict(STORY, background=True))[1]
    tap.same(output(wait(b, made["id"])), known, "made through A, read through B")
    _, data = a.request("POST", "/v1/responses", dict(STORY, background=True, stream=True))
    whole = events(data)
    tap.same(text(whole), known, "made and followed through A, whoever writes it")
    _, data = b.request("GET", f"/v1/responses/{whole[0]['response']['id']}?stream=true&starting_after=9")
    tap.same(events(data), whole[10:], "followed again through B")

    doomed = a.json("POST", "/v1/responses", dict(ENDLESS, background=True))[1]
    time.sleep(0.5)
    tap.same(b.json("POST", f"/v1/responses/{doomed['id']}/cancel")[1]["status"], "cancelled", "cancelled through B")
    end = time.time() + 10
    while time.time() < end and busy(a) + busy(b) > 0:
        time.sleep(0.1)
    tap.same(busy(a) + busy(b), 0, "who writes it has stopped")

    b.stop()  # so that A takes it
    long = dict(STORY, max_output_tokens=400)
    known = output(a.json("POST", "/v1/responses", long)[1])
    made = a.json("POST", "/v1/responses", dict(long, background=True, stream=False))[1]
    time.sleep(0.3)
    a.kill()
    b.start()
    tap.same(output(wait(b, made["id"])), known, "A is killed in the middle: B goes on, with the same answer")


blobs = tempfile.mkdtemp(prefix="croft-blobs-")
with postgres.Pg() as pg:
    both = [Croft(models=True, settings={"db.url": pg.url("shared"), "blobs.url": "file:" + blobs}) for _ in range(2)]
    try:
        for c in both:
            c.start()
        run(*both)
    finally:
        for c in both:
            c.remove()
tap.done()
