"""tracking_fill.py DATABASE: what `bench_tracking fill` puts into Croft through the API, put into
the SQLite database of an MLflow server directly: through its API it would take an hour. Prints the
experiment of 10,000 runs, the one to compare, and the run with the long series."""
import sqlite3
import sys
import time
import uuid

RUNS, METRICS, LONG, COMPARED, SERIES, POINTS = 10000, 50, 1000000, 50, 4, 1000
db = sqlite3.connect(sys.argv[1])
now = int(time.time() * 1000)


def experiment(name):
    cur = db.execute(
        "INSERT INTO experiments (name, artifact_location, lifecycle_stage, creation_time, "
        "last_update_time) VALUES (?, 'mlflow-artifacts:/bench', 'active', ?, ?)", (name, now, now))
    return cur.lastrowid


def runs(eid, n):
    ids = [uuid.uuid4().hex for _ in range(n)]
    db.executemany(
        "INSERT INTO runs (run_uuid, name, source_type, source_name, entry_point_name, user_id, "
        "status, start_time, lifecycle_stage, artifact_uri, experiment_id) VALUES "
        "(?, 'r', 'UNKNOWN', '', '', 'bench', 'RUNNING', ?, 'active', ?, ?)",
        ((i, now + k, f"mlflow-artifacts:/bench/{i}/artifacts", eid) for k, i in enumerate(ids)))
    db.executemany("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)",
                   ((k, v, i) for i in ids for k, v in
                    (("mlflow.runName", "r"), ("mlflow.user", "bench"),
                     ("mlflow.source.name", "train.py"))))
    return ids


def points(rows):
    db.executemany("INSERT INTO metrics (key, value, timestamp, run_uuid, step, is_nan) "
                   "VALUES (?, ?, ?, ?, ?, 0)", rows)


def latest(rows):
    db.executemany("INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid) "
                   "VALUES (?, ?, ?, ?, 0, ?)", rows)


many = experiment("bench-runs")
ids = runs(many, RUNS)
db.executemany("INSERT INTO params (key, value, run_uuid) VALUES ('p', ?, ?)",
               ((str(k % 10), i) for k, i in enumerate(ids)))


def value(i, k):
    return (i + 1) * (k + 7) * 7919 % 10007 / 10007


points((f"metric_{k:02d}", value(i, k), 1, run, 1) for i, run in enumerate(ids)
       for k in range(METRICS))
latest((f"metric_{k:02d}", value(i, k), 1, 1, run) for i, run in enumerate(ids)
       for k in range(METRICS))
compared = experiment("bench-compare")
for run in runs(compared, COMPARED):
    points((f"metric_{k:02d}", s * 7919 % 10007 / 10007, 1700000000000 + s, run, 100000000 + s)
           for k in range(SERIES) for s in range(POINTS))
    latest((f"metric_{k:02d}", 0.5, 1700000000000 + POINTS, 100000000 + POINTS, run)
           for k in range(SERIES))
long = runs(compared, 1)[0]
points(("metric_00", s * 7919 % 10007 / 10007, 1700000000000 + s, long, 100000000 + s)
       for s in range(LONG))
latest([("metric_00", 0.5, 1700000000000 + LONG, 100000000 + LONG, long)])
db.commit()
print(many, compared, long)
