#!/usr/bin/env python3
"""Policies of experiments on a running server: the plan changes nothing, the keeper carries policies
out, what is on hold stays, the audit log says what went and why, and a server that is killed in the
middle of it (kill -9) loses nothing that should stay and finishes the rest. On SQLite and PostgreSQL."""
import json
import math
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import Croft, Tap

tap = Tap()
random.seed(5)
DAY = 86400 * 1000
NOW = int(time.time() * 1000)
POINTS = 60_000


def mlflow(c, path, body):
    status, data = c.json("POST", "/api/2.0/mlflow/" + path, body)
    assert status == 200, (path, status, data)
    return data


def run(c, experiment, ended_days, points=0):
    start = NOW - (ended_days + 1) * DAY
    r = mlflow(c, "runs/create", {"experiment_id": experiment, "start_time": start, "run_name": f"r{ended_days}"})
    rid = r["run"]["info"]["run_id"]
    for at in range(0, points, 1000):
        mlflow(c, "runs/log-batch", {"run_id": rid, "metrics": [
            {"key": "loss", "value": math.sin(i / 1000), "timestamp": start + i, "step": i}
            for i in range(at, min(at + 1000, points))]})
    mlflow(c, "runs/update", {"run_id": rid, "status": "FINISHED", "end_time": NOW - ended_days * DAY})
    return rid


def chart(c, rid):
    status, d = c.json("GET", f"/api/v1/runs/{rid}/metrics/loss?points=50")
    if status != 200:
        return status
    b = d["buckets"]
    mean = sum(x[2] * x[5] for x in b) / d["total"]
    return d["total"], min(x[3] for x in b), max(x[4] for x in b), round(mean, 9), b[-1][6], d["rolled_up"]


def carry_out(c):
    try:
        c.request("POST", "/api/v1/retention/run", {})
    except OSError:
        pass


def wait_for(what, seconds=30):
    end = time.time() + seconds
    while time.time() < end:
        if what():
            return True
        time.sleep(0.1)
    return False


def audit(c, action):
    return [r for r in c.json("GET", f"/api/v1/audit?action={action}&limit=200")[1]["records"]]


with Croft(settings={"experiments.retention_every": "2s"}) as c:
    x = mlflow(c, "experiments/create", {"name": "churn"})["experiment_id"]
    old, young = run(c, x, 100, POINTS), run(c, x, 3, 9000)
    mlflow(c, "runs/delete", {"run_id": (gone := run(c, x, 50, 5000))})
    mlflow(c, "runs/delete", {"run_id": (held := run(c, x, 50))})
    was = chart(c, old)
    tap.same([was[0], was[-1]], [POINTS, 0], "a series as it was")
    rc, out, err = c.cli("runs", "hold", held, "--reason", "case 12")
    tap.same(rc, 0, "croft runs hold")
    tap.ok("case 12" in c.cli("runs", "holds")[1], "croft runs holds")
    c.sql(f"UPDATE run SET deleted_ms = {NOW - 40 * DAY} WHERE deleted_ms > 0")

    rc, out, err = c.cli("retention", "set", "--experiment", x, "--purge-days", "30", "--rollup-days", "500")
    tap.same((rc, err), (0, ""), "croft retention set")
    plan = c.json("GET", "/api/v1/retention/plan")[1]
    # the keeper may be quicker than the plan
    tap.ok(wait_for(lambda: c.json("GET", f"/api/v1/runs/{gone}/data")[0] == 404), "the keeper removes what was deleted")
    tap.same(c.json("GET", f"/api/v1/runs/{held}/data")[0], 200, "not what is on hold")
    record = audit(c, "run.purge")
    tap.same([r["subject"] for r in record], ["run " + gone], "the audit log has its tombstone")
    tap.same((record[0]["actor"], record[0]["detail"]["policy"], record[0]["detail"]["name"]),
             ("croft", f"purge_days=30 of experiment {x}", "r50"), "who, which policy, what it was")

    rc, out, err = c.cli("retention", "plan", "--at", "2099-01-01")
    tap.ok(rc == 0 and "roll_up" in out and "stays: hold" in out, "croft retention plan --at", out + err)
    tap.same(chart(c, old), was, "a plan changes nothing")

    # many runs, and a server that dies while it works on them
    runs = [old] + [run(c, x, 60 + i, 8_000) for i in range(30)]
    doomed = [run(c, x, 60, 8_000) for i in range(30)]
    for r in doomed:
        mlflow(c, "runs/delete", {"run_id": r})
    c.sql(f"UPDATE run SET deleted_ms = {NOW - 40 * DAY} WHERE deleted_ms > 0")
    before = {r: chart(c, r) for r in runs}
    c.cli("retention", "set", "-x", x, "--rollup-days", "30")
    kills = midway = 0
    wrong = []
    while kills < 8:
        work = threading.Thread(target=carry_out, args=(c,))
        work.start()
        time.sleep(random.uniform(0.01, 0.06))
        c.kill()
        kills += 1
        work.join()
        c.start()
        done = [chart(c, r)[-1] > 0 for r in runs] + [chart(c, r) == 404 for r in doomed]
        midway += any(done) and not all(done)
        for r in runs:
            now = chart(c, r)
            if now[:-1] != before[r][:-1] or now[-1] not in (0, before[r][0]):
                wrong.append((r, before[r], now))
        for r in doomed:  # whole or gone
            now = chart(c, r)
            if now != 404 and now[0] != 8_000:
                wrong.append((r, now))
    tap.note(f"{midway} kills in the middle of it")
    tap.same(wrong, [], f"after each of {kills} kills everything is whole")
    tap.ok(wait_for(lambda: all(chart(c, r)[-1] == before[r][0] for r in runs)), "all old series are rolled up at last")
    tap.ok(wait_for(lambda: all(chart(c, r) == 404 for r in doomed)), "and all deleted runs have gone")
    tap.same([chart(c, r)[:-1] for r in runs], [before[r][:-1] for r in runs],
             "count, smallest, largest, mean and last are what they were")
    tap.same(chart(c, young)[-1], 0, "a younger run keeps its points")
    subjects = sorted(r["subject"] for r in audit(c, "run.purge"))
    tap.same(subjects, sorted("run " + r for r in doomed + [gone]), "each purge is in the audit log once")
    rolled = audit(c, "run.roll_up")
    tap.same(sorted(r["subject"] for r in rolled), sorted("run " + r for r in runs), "and each roll-up")
    tap.same(sum(r["detail"]["points"] for r in rolled), sum(before[r][0] for r in runs), "with the points")

    status, d = c.json("GET", f"/api/2.0/mlflow/metrics/get-history?run_id={old}&metric_key=loss")
    tap.same((d["croft_rolled_up"], len(d["metrics"])), ({"points": POINTS, "buckets": 235}, 235),
             "MLflow's history says that it is rolled up")
    tap.same(d["metrics"][-1]["value"], math.sin((POINTS - 1) / 1000), "its last value is exact")
    data = c.json("GET", f"/api/v1/runs/{old}/data")[1]
    tap.same(data["metrics"]["loss"]["value"], math.sin((POINTS - 1) / 1000), "as is the run's")
    tap.ok("60000 points are rolled up" in c.cli("runs", "chart", old, "loss")[2], "croft runs chart says it")
    tap.same(c.cli("audit", "verify")[0], 0, "the audit log verifies")
tap.done()
