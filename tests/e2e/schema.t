#!/usr/bin/env python3
"""Random texts that `croft schema sample` makes of each schema of the JSON Schema suite, judged by Python's
jsonschema; the command line's errors. Skipped without the suite (shared data) or the package."""
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from croft_server import BINARY, ROOT, Tap, skip_all  # noqa: E402

DATA = os.environ.get("CROFT_SHARED_DATA", os.path.join(ROOT, "..", "shared", "data"))
SUITE = os.path.join(DATA, "conformance", "json-schema-test-suite.tar.xz")
VENV = os.path.join(ROOT, "build", "venv", "bin", "python")
DRAFTS = [("draft2020-12", "https://json-schema.org/draft/2020-12/schema", "Draft202012Validator"),
          ("draft4", "http://json-schema.org/draft-04/schema#", "Draft4Validator")]


def croft(*args, text=None):
    r = subprocess.run([BINARY, "schema", *args], input=text, capture_output=True, text=True, timeout=60)
    return r.returncode, r.stdout, r.stderr


def schemas():
    with tarfile.open(SUITE) as tar:
        for member in tar:
            parts = member.name.split("/")
            for draft, uri, validator in DRAFTS:
                if parts[-3:-1] == ["tests", draft] and parts[-1].endswith(".json"):
                    for group in json.load(tar.extractfile(member)):
                        schema = group["schema"]
                        if isinstance(schema, dict) and "$schema" not in schema:
                            schema = {"$schema": uri, **schema}
                        yield validator, parts[-1], schema


def judge():
    """Runs in the virtual environment."""
    import jsonschema
    made = refused = 0
    wrong = []
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "schema.json")
        for validator, name, schema in schemas():
            with open(path, "w") as f:
                json.dump(schema, f)
            strict = ["--strict"] if made % 3 else []
            code, out, err = croft("sample", path, "--count", "8", *strict)
            if code:
                refused += 1
                if "cannot be completed" in err and "unique" not in json.dumps(schema):
                    wrong.append((name, schema, err))
                continue
            if "\\\\p{" in json.dumps(schema):
                continue  # Python's expressions have no properties
            check = getattr(jsonschema, validator)(schema)
            for line in out.splitlines():
                if re.search(r"[0-9.]{16}", line):
                    continue  # more digits than its numbers have
                made += 1
                try:
                    ok = check.is_valid(json.loads(line))
                except Exception as e:  # the suite's remote references, odd patterns
                    ok = "Unresolvable" in type(e).__name__ or "re.error" in repr(e) or "PatternError" in repr(e)
                if not ok:
                    wrong.append((name, schema, line))
    print(json.dumps({"made": made, "refused": refused, "wrong": wrong[:20]}))


def main():
    tap = Tap()
    if not os.path.exists(SUITE):
        skip_all("the suite is not here")
    if subprocess.run([os.path.join(ROOT, "tools", "setup-clients.sh"), "formats"]).returncode:
        skip_all("the packages cannot be fetched")
    r = subprocess.run([VENV, __file__, "judge"], capture_output=True, text=True, timeout=300)
    got = json.loads(r.stdout or "{}")
    tap.ok(got and not got["wrong"], "every sample is valid", r.stderr[-2000:] + json.dumps(got.get("wrong"), indent=1))
    print(f"# {got.get('made')} samples; {got.get('refused')} schemas refused")
    tap.ok(got.get("made", 0) > 2000, "and there are many", got.get("made"))
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, "s.json")
        with open(path, "w") as f:
            f.write('{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"],"additionalProperties":false}')
        tap.same(croft("accept", path, "-", text='{"n": 12}\n')[:2], (0, "accepted, 9 bytes\n"), "accepted")
        code, out, err = croft("accept", path, "-", text='{"m": 12}')
        tap.ok(code and "byte 3" in err and not out, "the first wrong byte is named", err)
        code, _, err = croft("accept", path, "-", text='{"n": 1')
        tap.ok(code and "too early" in err, "an end that comes too early", err)
        with open(path, "w") as f:
            f.write('{"properties":{"a":{"format":"colour"}}}')
        code, _, err = croft("accept", path, "-", text="{}")
        tap.ok(code and "#/properties/a/format" in err and "colour" in err, "what cannot be enforced is named", err)
        tap.ok(croft("accept", path)[0] and croft("accept", "/nowhere.json", path)[0], "bad arguments")
    tap.done()


if sys.argv[1:] == ["judge"]:
    judge()
else:
    main()
