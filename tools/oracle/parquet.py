"""Parquet files of pyarrow's in tests/golden/parquet, with what they hold as JSON, which tests/unit/test_text_parquet.c reads;
and the other way: python tools/oracle/parquet.py FOLDER [FILE.parquet FILE.json]: pyarrow reads a file of Croft's, whose
rows must be those of the JSON. With pyarrow installed."""
import datetime
import decimal
import json
import os
import random
import sys

import pyarrow as pa
import pyarrow.parquet as pq

N = 37


def table():
    r = range(N)
    day = datetime.date(2026, 5, 3)
    at = datetime.datetime(2026, 5, 3, 14, 0, 0, 250000)
    return pa.table({
        "id": pa.array([i * 7 - 20 for i in r], pa.int64()),
        "name": pa.array([None if i % 5 == 4 else f"näme {i % 4}" for i in r], pa.string()),
        "flag": pa.array([None if i % 6 == 5 else i % 3 == 0 for i in r], pa.bool_()),
        "score": pa.array([i / 8 for i in r], pa.float64()),
        "f32": pa.array([-i / 4 for i in r], pa.float32()),
        "f16": pa.array([i / 2 for i in r], pa.float16()),
        "u32": pa.array([2 ** 32 - 1 - i for i in r], pa.uint32()),
        "i8": pa.array([i - 10 for i in r], pa.int8()),
        "day": pa.array([day + datetime.timedelta(i - 20) for i in r], pa.date32()),
        "at": pa.array([None if i == 3 else at - datetime.timedelta(days=40 * i, microseconds=i % 2 * 250000) for i in r],
                       pa.timestamp("us", "UTC")),
        "price": pa.array([decimal.Decimal(i * 25 - 100) / 100 for i in r], pa.decimal128(9, 2)),
        "emb": pa.array([None if i % 9 == 8 else [] if i % 7 == 6 else [i / 2, -i, 0.25] for i in r], pa.list_(pa.float32())),
        "fixed": pa.array([[i, i + 0.5] for i in r], pa.list_(pa.float32(), 2)),
        "tags": pa.array([[f"t{j}" if j else None for j in range(i % 4)] for i in r], pa.list_(pa.string())),
        "part": pa.array([None if i % 4 == 3 else {"a": i, "b": "x" * (i % 3)} for i in r],
                         pa.struct([("a", pa.int32()), ("b", pa.string())])),
    })


def said(v):
    if isinstance(v, datetime.datetime):
        return v.strftime("%Y-%m-%dT%H:%M:%S") + (f".{v.microsecond:06d}" if v.microsecond else "") + "Z"
    if isinstance(v, datetime.date):
        return v.isoformat()
    return float(v) if isinstance(v, decimal.Decimal) else v


def rows(t):
    out = []
    for r in t.to_pylist():
        part = r.pop("part")
        out.append([said(v) for v in r.values()] + [part and part["a"], part and part["b"]])
    return out


def wide():
    """Numbers at the ends of their types, long runs, many blocks: in Croft's words each is what the other column says as text."""
    r = random.Random(4)
    edge = [0, 1, -1, 2 ** 63 - 1, -2 ** 63, 2 ** 31 - 1, -2 ** 31, 255, -256]
    n = [r.choice(edge) if i % 3 else r.getrandbits(64) - 2 ** 63 if i % 2 else i for i in range(700)] + [7] * 300
    small = [v % 2 ** 32 - 2 ** 31 for v in n]
    texts = ["" if i % 11 == 0 else "shared beginning " * (i % 5) + str(v) for i, v in enumerate(n)]
    t = pa.table({"n": pa.array(n, pa.int64()), "n_said": pa.array([str(v) for v in n]), "small": pa.array(small, pa.int32()),
                  "small_said": pa.array([str(v) for v in small]), "text": pa.array(texts), "text_said": pa.array(texts)})
    pq.write_table(t, f"{sys.argv[1]}/wide.parquet", compression="lz4", use_dictionary=["n_said", "small_said", "text_said"],
                   column_encoding={"n": "DELTA_BINARY_PACKED", "small": "DELTA_BINARY_PACKED", "text": "DELTA_BYTE_ARRAY"})


def main():
    folder = sys.argv[1]
    if len(sys.argv) == 4:
        t = pq.read_table(sys.argv[2])
        want = json.load(open(sys.argv[3]))
        got = t.to_pylist()
        assert got == want, next((a, b) for a, b in zip(got, want) if a != b)
        print(f"pyarrow {pa.__version__} reads the {len(got)} rows of {sys.argv[2]}")
        return
    os.makedirs(folder, exist_ok=True)
    t = table()
    kinds = {
        "plain-none": dict(compression="none", use_dictionary=False, store_decimal_as_integer=True),
        "dictionary-snappy": dict(compression="snappy", store_decimal_as_integer=True),
        "v2-zstd": dict(compression="zstd", data_page_version="2.0", store_decimal_as_integer=True),
        "v2-plain-gzip": dict(compression="gzip", data_page_version="2.0", use_dictionary=False, store_decimal_as_integer=True),
        "small-pages-snappy": dict(compression="snappy", data_page_size=64, write_batch_size=4, row_group_size=16, store_decimal_as_integer=True),
    }
    numbers = {"id", "u32", "i8", "day", "at"}
    strings = {"name", "tags", "part"}
    delta = {c: "DELTA_BINARY_PACKED" for c in numbers}
    split = {"score": "BYTE_STREAM_SPLIT", "f32": "BYTE_STREAM_SPLIT", "f16": "BYTE_STREAM_SPLIT"}
    leaves = {"tags": "tags.list.element", "part": "part.b", "emb": "emb.list.element", "fixed": "fixed.list.element"}
    by = lambda what: {leaves.get(c, c): what for c in strings}  # noqa: E731
    kinds["delta-length-brotli"] = dict(compression="brotli", use_dictionary=False, store_decimal_as_integer=True,
                                        column_encoding={**delta, **split, **by("DELTA_LENGTH_BYTE_ARRAY")})
    kinds["delta-shared-lz4"] = dict(compression="lz4", use_dictionary=False, data_page_version="2.0", data_page_size=256, write_batch_size=9,
                                     store_decimal_as_integer=True,
                                     column_encoding={**delta, **by("DELTA_BYTE_ARRAY"), "f16": "DELTA_BYTE_ARRAY",
                                                      "emb.list.element": "BYTE_STREAM_SPLIT", "id": "BYTE_STREAM_SPLIT"})
    for name, o in kinds.items():
        pq.write_table(t, f"{folder}/{name}.parquet", version="2.6", **o)
    pq.write_table(pa.table({"a": pa.array([[[1.0]]], pa.list_(pa.list_(pa.float32()))), "id": pa.array([5])}), f"{folder}/lists-of-lists.parquet")
    wide()
    pq.write_table(t.select(["id", "at"]), f"{folder}/int96.parquet", use_deprecated_int96_timestamps=True)
    json.dump({"source": f"tools/oracle/parquet.py: pyarrow {pa.__version__}",
               "columns": [c for c in t.column_names if c != "part"] + ["part.a", "part.b"], "files": list(kinds), "rows": rows(t)},
              open(f"{folder}/rows.json", "w"), ensure_ascii=False, separators=(",", ":"))


main()
