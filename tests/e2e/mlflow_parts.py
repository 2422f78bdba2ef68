"""Files in parts: MLflow's own client (with its own switches for it), and the wire below it."""
import hashlib
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import Croft, Tap  # noqa: E402

os.environ.update(
    MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true",
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true", MLFLOW_TRACKING_TOKEN="sesame",
    MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD="true", MLFLOW_MULTIPART_UPLOAD_MINIMUM_FILE_SIZE="100000",
    MLFLOW_MULTIPART_UPLOAD_CHUNK_SIZE=str(5 << 20), MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD="true",
    MLFLOW_MULTIPART_DOWNLOAD_CHUNK_SIZE=str(3 << 20))
import mlflow  # noqa: E402
from mlflow import MlflowClient  # noqa: E402

tap = Tap()
ROOT = "/api/2.0/mlflow-artifacts/"


def answers(c, method, route):
    for line in c.get("/metrics")[1].decode().splitlines():
        if line.startswith(f'croft_http_request_seconds_count{{method="{method}",route="{ROOT}{route}"}}'):
            return int(float(line.rsplit(" ", 1)[1]))
    return 0


def client(c, project):
    """A 13 MB file there and back."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "big file.bin")
        data = os.urandom(13_000_001)
        with open(path, "wb") as f:
            f.write(data)
        mlflow.set_tracking_uri(c.base + project)
        with mlflow.start_run() as run:
            mlflow.log_artifact(path, "a b")
        files = MlflowClient().list_artifacts(run.info.run_id, "a b")
        tap.same([(f.path, f.file_size) for f in files], [("a b/big file.bin", len(data))],
                 f"a file in parts is there{' in a project' if project else ''}")
        back = mlflow.artifacts.download_artifacts(
            run_id=run.info.run_id, artifact_path="a b/big file.bin", dst_path=folder + "/back")
        with open(back, "rb") as f:
            tap.ok(f.read() == data, "and comes back whole, by ranges")


def parts(c):
    name = {"path": "/home/me/w.bin"}
    begun = c.json("POST", ROOT + "mpu/create/0/x", {**name, "num_parts": 3})[1]
    upload = {**name, "upload_id": begun["upload_id"]}
    urls = [x["url"][len(c.base):] for x in begun["credentials"]]
    tap.same([x["part_number"] for x in begun["credentials"]], [1, 2, 3], "each part has an address")
    tap.same(begun["credentials"][0]["headers"], {"authorization": "Bearer sesame"},
             "and what identifies the client")
    pieces = [b"a" * 70000, b"b" * 70000, b"c"]
    for i in (2, 0, 1, 1):
        tap.same(c.request("PUT", urls[i], pieces[i])[0], 200, f"part {i + 1} is taken, in any order, also again")
    etags = [hashlib.sha256(x).hexdigest() for x in pieces]
    listed = [{"part_number": i + 1, "etag": f'"{e}"'} for i, e in enumerate(etags)]
    tap.same(c.get(ROOT + "artifacts/0/x/w.bin")[0], 404, "before it is complete nothing is there")
    wrong = [dict(listed[0], etag=etags[1])] + listed[1:]
    for body, why in (({"parts": wrong}, "another part's tag"), ({"parts": listed[::-1]}, "falling numbers"),
                      ({"parts": []}, "no parts"), ({"parts": listed + [{"part_number": 4}]}, "one too many")):
        tap.same(c.json("POST", ROOT + "mpu/complete/0/x", {**upload, **body})[1]["error_code"],
                 "INVALID_PARAMETER_VALUE", f"{why}: refused")
    tap.same(c.json("POST", ROOT + "mpu/complete/0/y", {**upload, "parts": listed})[0], 404,
             "another file's upload is not found")
    for again in ("it is completed", "again, as when an answer was lost"):
        tap.same(c.json("POST", ROOT + "mpu/complete/0/x", {**upload, "parts": listed})[0], 200, again)
    tap.ok(c.get(ROOT + "artifacts/0/x/w.bin")[1] == b"".join(pieces), "the file is its parts in order")
    tap.same(c.request("PUT", urls[0], b"late")[0], 400, "a part that comes late is refused")
    other = c.json("POST", ROOT + "mpu/create/0/x", {"path": "v.bin", "num_parts": 1})[1]
    c.request("PUT", other["credentials"][0]["url"][len(c.base):], b"z")
    gone = {"path": "v.bin", "upload_id": other["upload_id"]}
    tap.same(c.json("POST", ROOT + "mpu/abort/0/x", gone)[0], 200, "an upload is aborted")
    tap.same(c.json("POST", ROOT + "mpu/complete/0/x", {**gone, "parts": [{"part_number": 1}]})[0], 404,
             "and then gone")
    old = c.json("POST", ROOT + "mpu/create/0/x", {"path": "o.bin", "num_parts": 1})[1]
    address = old["credentials"][0]["url"][len(c.base):]
    c.request("PUT", address, b"z")
    c.sql("UPDATE run_upload SET created_ms = created_ms - 86400001")
    gone = {"path": "o.bin", "upload_id": old["upload_id"]}
    tap.same((c.request("PUT", address, b"z")[0],
              c.json("POST", ROOT + "mpu/complete/0/x", {**gone, "parts": [{"part_number": 1}]})[0]),
             (404, 404), "after a day an upload is forgotten")
    for bad in ({"path": "../../x"}, {"path": ".."}, {"path": "x", "num_parts": 0}, {"path": "x", "num_parts": 10001},
                {"path": "x\0y"}, {}):
        tap.same(c.json("POST", ROOT + "mpu/create/0/x", bad)[0],
                 200 if bad.get("path") == "../../x" else 400, f"create {json.dumps(bad)}")
    tap.same(c.json("POST", ROOT + "mpu/create/0/%2e%2e/x", {"path": "x"})[0], 400, "no way out of the folder")


def ranges(c):
    want = b"0123456789"
    c.request("PUT", ROOT + "artifacts/0/r.txt", want)
    for asked, status, data in (("bytes=2-4", 206, b"234"), ("bytes=7-", 206, b"789"), ("bytes=-3", 206, b"789"),
                                ("bytes=-30", 206, want), ("bytes=5-99", 206, b"56789"), ("bytes=10-", 416, b""),
                                ("bytes=-0", 416, b""), ("bytes=1-2,4-5", 200, want), ("bytes=4-2", 200, want),
                                ("lines=1-2", 200, want), ("bytes=x-y", 200, want)):
        tap.same(c.request("GET", ROOT + "artifacts/0/r.txt", headers={"Range": asked}), (status, data), asked)


with Croft(key="sesame") as c:
    client(c, "")
    tap.same((answers(c, "PUT", "mpu/part/{upload}/{number}"), answers(c, "PUT", "artifacts/{path...}")),
             (3, 0), "in three parts, not in one piece")
    tap.same((answers(c, "GET", "presigned/{path...}"), answers(c, "GET", "artifacts/{path...}")), (1, 5),
             "and five ranges")
    c.cli("project", "add", "other")
    client(c, "/p/other")
    parts(c)
    ranges(c)
    tap.same([c.json("GET", p + "/api/2.0/mlflow/experiments/get?experiment_id=0")[1].get("error_code") for p in
              ("/p/nix", "/p/other")], ["RESOURCE_DOES_NOT_EXIST", None],
             "a project that is not there is a missing resource, not a missing path")
    tap.same(c.json("GET", "/api/2.0/mlflow/nix")[1]["error_code"], "ENDPOINT_NOT_FOUND", "a path is a path")
tap.done()
