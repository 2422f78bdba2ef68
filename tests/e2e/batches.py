import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
    os.environ.pop(name, None)
from croft_server import CHAT, EMBED, Croft, Tap  # noqa: E402

import openai  # noqa: E402

tap = Tap()
CHATS, TEXTS = "/v1/chat/completions", "/v1/embeddings"


def client_of(c):
    return openai.OpenAI(base_url=c.base + "/v1", api_key="test-key", max_retries=0, timeout=60)


def line(i, url, **body):
    return {"custom_id": f"r{i}", "method": "POST", "url": url, "body": body}


def begin(client, lines, url, **more):
    text = "".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines)
    f = client.files.create(file=("in.jsonl", text.encode()), purpose="batch")
    return client.batches.create(input_file_id=f.id, endpoint=url, completion_window="24h", **more)


def wait(client, b, until, limit=90):
    end = time.time() + limit
    while time.time() < end:
        b = client.batches.retrieve(b.id)
        if until(b):
            return b
        time.sleep(0.05)
    tap.note(b)
    return b


def over(b):
    return b.status in ("completed", "failed", "expired", "cancelled")


def out(client, file):
    return [json.loads(x) for x in client.files.content(file).text.splitlines()] if file else []


def embeddings(client):
    lines = [line(i, TEXTS, model=EMBED, input=f"text {i}") for i in range(5)]
    lines.append(line(5, TEXTS, model="no-such", input="x"))
    b = begin(client, lines, TEXTS, metadata={"who": "test"})
    tap.ok(b.status == "validating" and b.id.startswith("batch_") and b.metadata == {"who": "test"}, "made", b)
    b = wait(client, b, over)
    tap.same((b.status, b.request_counts.total, b.request_counts.completed, b.request_counts.failed),
             ("completed", 6, 5, 1), "completed")
    good, bad = out(client, b.output_file_id), out(client, b.error_file_id)
    tap.same([g["custom_id"] for g in good], [f"r{i}" for i in range(5)], "an answer for each line")
    live = client.embeddings.create(model=EMBED, input="text 3", encoding_format="float").data[0].embedding
    tap.same(good[3]["response"]["body"]["data"][0]["embedding"], live, "the answer of the endpoint itself")
    tap.ok(len(bad) == 1 and bad[0]["response"]["status_code"] == 404 and bad[0]["custom_id"] == "r5", "an error", bad)
    tap.same([x.id for x in client.batches.list()], [b.id], "listed")


def responses(client):
    url = "/v1/responses"
    lines = [line(i, url, model=CHAT, input=f"Say {i}.", max_output_tokens=3, temperature=0) for i in range(2)]
    b = wait(client, begin(client, lines, url), over)
    bodies = [g["response"]["body"] for g in out(client, b.output_file_id)]
    tap.ok(len(bodies) == 2 and all(client.responses.retrieve(r["id"]).output[0].content[0].text ==
                                    r["output"][0]["content"][0]["text"] for r in bodies),
           "responses too, which are stored", b)


def refused(client):
    good = line(0, TEXTS, model=EMBED, input="x")
    for lines, code, number in (([good, "{"], "invalid_json_line", 2), ([good, good], "duplicate_custom_id", 2),
                                ([], "empty_file", 1), ([{**good, "url": CHATS}], "invalid_url", 1),
                                ([{**good, "body": {"stream": True}}], "unsupported_parameter", 1)):
        b = wait(client, begin(client, lines, TEXTS), over)
        tap.same((b.status, b.errors and (b.errors.data[0].code, b.errors.data[0].line)), ("failed", (code, number)),
                 f"refused: {code}")
    tap.raises(openai.NotFoundError, lambda: client.batches.create(
        input_file_id="file-" + "0" * 32, endpoint=TEXTS, completion_window="24h"), "no such file")
    tap.raises(openai.BadRequestError, lambda: begin(client, [good], "/v1/models"), "no such endpoint")
    tap.raises(openai.NotFoundError, lambda: client.batches.retrieve("batch_" + "0" * 32), "no such batch")


def killed(c, client):
    lines = [line(i, CHATS, model=CHAT, messages=[{"role": "user", "content": f"Say {i}."}], max_tokens=8)
             for i in range(30)]
    b = begin(client, lines, CHATS)
    ran = []
    for k in range(2):
        b = wait(client, b, lambda b: b.request_counts.completed >= 6 * (k + 1) or over(b))
        ran.append(b.status)
        c.kill()
        # its next life takes it up at once: the end of this lease, in an hour, is not waited for
        c.sql("UPDATE job SET lease_until_ms = lease_until_ms + 3600000 WHERE queue = 'batch'")
        c.start()
        client = client_of(c)
        after = client.batches.retrieve(b.id)
        tap.ok(after.request_counts.completed >= b.request_counts.completed, "no answer is lost by a kill", (b, after))
    b = wait(client, b, over)
    good = out(client, b.output_file_id)
    tap.same(ran, ["in_progress"] * 2, "it was killed twice in the middle")
    tap.same((b.status, b.request_counts.completed), ("completed", 30), "and went on to its end")
    tap.same([g["custom_id"] for g in good], [f"r{i}" for i in range(30)], "each line was answered once")
    b = begin(client, lines, CHATS)
    wait(client, b, lambda b: b.request_counts.completed >= 2)
    tap.ok(client.batches.cancel(b.id).status == "cancelling", "cancelling")
    b = wait(client, b, over)
    tap.ok(b.status == "cancelled" and len(out(client, b.output_file_id)) == b.request_counts.completed < 30,
           "cancelled, with what was answered", b)
    b = begin(client, lines, CHATS)
    wait(client, b, lambda b: b.request_counts.completed >= 2)
    c.stop()
    c.sql("UPDATE api_batch SET expires_ms = 5 WHERE status = 'in_progress'")
    c.start()
    client = client_of(c)
    b = wait(client, b, over)
    bad = out(client, b.error_file_id)
    tap.ok(b.status == "expired" and bad[-1]["error"]["code"] == "batch_expired" and
           len(bad) + len(out(client, b.output_file_id)) == 30, "expired, each line told", b)


with Croft(models=True, key="test-key") as c:
    embeddings(client_of(c))
    responses(client_of(c))
    refused(client_of(c))
    other = openai.OpenAI(base_url=c.base + "/p/default/v1", api_key="wrong", max_retries=0)
    tap.raises(openai.AuthenticationError, lambda: other.batches.list(), "not without a key")
    killed(c, client_of(c))
    tap.same(c.stop(), 0, "the server ends with 0")
tap.done()
