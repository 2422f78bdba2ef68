"""bench/load.py BUILD: many clients for a while. IDLE streams (2,000) that a slow provider feeds a word now
and then pass through Croft; ACTIVE clients (256) ask the local model one thing after the other, half of them
streamed; HOSTILE ones (256) hang up at random, send half a request or a byte a second. For SECONDS (60; 600
for the long run), then the provider ends its streams.

Every answer must be whole (its end and, streamed, [DONE]), or refused with 429 or 503 and Retry-After; every
idle stream must have all its words in order; memory must not grow; the server must answer /healthz all the
time and, when all are gone, have let go of everything. Prints a table; fails when something is not so.
"""
import asyncio
import json
import os
import random
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = sys.argv[1]
SECONDS = int(os.environ.get("SECONDS", 60))
IDLE, ACTIVE, HOSTILE = (int(os.environ.get(k, v)) for k, v in (("IDLE", 2000), ("ACTIVE", 256), ("HOSTILE", 256)))
PAUSE = 10  # seconds between two words of an idle stream
sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "tests", "e2e"))
from croft_server import CHAT, Croft  # noqa: E402

bad = []
ended = asyncio.Event()  # the idle streams may end


def wrong(what):
    bad.append(what)
    if len(bad) < 10:
        print("wrong: " + what, flush=True)


# ---- the slow provider ----

async def provider(reader, writer):
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        n = next(int(x.split(b":")[1]) for x in head.lower().split(b"\r\n") if x.startswith(b"content-length"))
        await reader.readexactly(n)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        words = 0
        while True:
            over = ended.is_set()
            chunk = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "slow", "choices": [
                {"index": 0, "delta": {} if over else {"content": f"{words} "}, "finish_reason": "stop" if over else None}]}
            data = f"data: {json.dumps(chunk)}\n\n" + ("data: [DONE]\n\n" if over else "")
            writer.write(f"{len(data):x}\r\n{data}\r\n".encode() + (b"0\r\n\r\n" if over else b""))
            await writer.drain()
            if over:
                break
            words += 1
            try:
                await asyncio.wait_for(ended.wait(), PAUSE * random.uniform(0.8, 1.2))
            except asyncio.TimeoutError:
                pass
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


# ---- clients ----

async def send(c, body):
    host, port = c.address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    data = json.dumps(body).encode()
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nhost: {c.address}\r\ncontent-type: application/json\r\n"
                 f"content-length: {len(data)}\r\nconnection: close\r\n\r\n".encode() + data)
    await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    return reader, writer, int(head.split()[1]), dict(x.split(": ", 1) for x in head.split("\r\n")[1:] if ": " in x)


async def body_of(reader, headers):
    out = b""
    if headers.get("transfer-encoding") != "chunked":
        return await reader.read()
    while True:
        n = int((await reader.readuntil(b"\r\n")).strip() or b"0", 16)
        out += await reader.readexactly(n)
        await reader.readexactly(2)
        if not n:
            return out


def words_of(data):
    """The text of a whole stream; None when it is not whole."""
    lines = [x[6:] for x in data.decode().split("\n\n") if x.startswith("data: ")]
    if not lines or lines[-1] != "[DONE]":
        return None
    chunks = [json.loads(x) for x in lines[:-1]]
    if any("error" in x for x in chunks) or not any(x["choices"] and x["choices"][0]["finish_reason"] for x in chunks):
        return None
    return "".join(x["choices"][0]["delta"].get("content") or "" for x in chunks if x["choices"])


async def idle(c, counts):
    while True:
        reader, writer, status, headers = await send(c, {
            "model": "slow", "stream": True, "messages": [{"role": "user", "content": "Speak slowly."}]})
        if status == 200:
            break
        writer.close()
        if status not in (429, 503) or "retry-after" not in headers:
            return wrong(f"an idle stream: {status} {headers}")
        counts["idle refused"] += 1
        await asyncio.sleep(float(headers["retry-after"]))
    counts["idle open"] += 1
    text = words_of(await body_of(reader, headers))
    writer.close()
    if text is None or text.split() != [str(i) for i in range(len(text.split()))] or len(text.split()) < 1:
        return wrong(f"an idle stream is not whole: {text!r}")
    counts["idle whole"] += 1


async def active(c, i, counts, times):
    rng = random.Random(i)
    while not ended.is_set():
        streamed = rng.random() < 0.5
        begin = time.monotonic()
        reader, writer, status, headers = await send(c, {
            "model": CHAT, "stream": streamed, "max_tokens": rng.randint(4, 32), "user": str(i),
            "messages": [{"role": "user", "content": f"Say something about number {rng.randint(1, 1000)}."}]})
        data = await body_of(reader, headers)
        writer.close()
        if status == 200:
            whole = words_of(data) is not None if streamed else json.loads(data)["choices"][0]["finish_reason"]
            if not whole:
                wrong(f"an answer is not whole: {data[-300:]!r}")
            counts["answered"] += 1
            times.append(time.monotonic() - begin)
        elif status in (429, 503) and "retry-after" in headers:
            counts["told to come again"] += 1
            await asyncio.sleep(float(headers["retry-after"]) * rng.uniform(1, 2))
        else:
            wrong(f"{status} {data[:300]!r}")


async def hostile(c, i, counts):
    rng = random.Random(1000 + i)
    host, port = c.address.rsplit(":", 1)
    body = json.dumps({"model": CHAT, "stream": True, "max_tokens": 200, "messages": [{"role": "user", "content": "Go on."}]}).encode()
    whole = (f"POST /v1/chat/completions HTTP/1.1\r\nhost: {c.address}\r\ncontent-type: application/json\r\n"
             f"content-length: {len(body)}\r\n\r\n").encode() + body
    while not ended.is_set():
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            kind = rng.randrange(4)
            if kind == 0:  # half a request
                writer.write(whole[:rng.randrange(1, len(whole))])
                await asyncio.sleep(rng.uniform(0, 3))
            elif kind == 1:  # hangs up in the middle of an answer
                writer.write(whole)
                await reader.read(rng.randrange(1, 2000))
            elif kind == 2:  # a byte a second, in either direction
                for k in range(rng.randrange(2, 8)):
                    writer.write(whole[k:k + 1])
                    await asyncio.sleep(1)
            else:
                writer.write(whole)
                for _ in range(rng.randrange(2, 8)):
                    await reader.read(1)
                    await asyncio.sleep(1)
            counts["hostile"] += 1
            writer.transport.abort()
        except OSError:
            counts["hostile refused"] += 1
            await asyncio.sleep(0.2)


def resident(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS")) / 1024


async def watch(c, memory, health):
    while not ended.is_set():
        begin = time.monotonic()
        host, port = c.address.rsplit(":", 1)
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(f"GET /healthz HTTP/1.1\r\nhost: {c.address}\r\nconnection: close\r\n\r\n".encode())
            said = await asyncio.wait_for(reader.read(2000), 10)
            if b" 200 " not in said[:16]:
                wrong(f"/healthz: {said!r}")
            writer.close()
        except (OSError, asyncio.TimeoutError) as e:
            wrong(f"/healthz: {e!r}")
        health.append(time.monotonic() - begin)
        memory.append(resident(c.process.pid))
        await asyncio.sleep(0.5)


async def main(c):
    server = await asyncio.start_server(provider, "127.0.0.1", 0, backlog=4096)
    port = server.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    status, made = await loop.run_in_executor(None, lambda: c.json("POST", "/api/v1/endpoints", {
        "name": "slow", "url": f"http://127.0.0.1:{port}/v1", "model": "slow", "timeout_ms": 3600000}))
    if status != 201:
        raise RuntimeError(made)
    counts = {k: 0 for k in ("idle open", "idle whole", "idle refused", "answered", "told to come again", "hostile",
                             "hostile refused")}
    memory, times, health = [], [], []
    jobs = []
    for i in range(IDLE):
        jobs.append(asyncio.create_task(idle(c, counts)))
        if i % 50 == 49:
            await asyncio.sleep(0.1)
    while counts["idle open"] < IDLE and not bad:
        await asyncio.sleep(0.1)
    print(f"{counts['idle open']} idle streams are open, {resident(c.process.pid):.0f} MB resident", flush=True)
    jobs += [asyncio.create_task(active(c, i, counts, times)) for i in range(ACTIVE)]
    jobs += [asyncio.create_task(hostile(c, i, counts)) for i in range(HOSTILE)]
    jobs.append(asyncio.create_task(watch(c, memory, health)))
    for _ in range(SECONDS):
        await asyncio.sleep(1)
        if c.process.poll() is not None:
            raise RuntimeError("croft ended:\n" + c.logged())
    ended.set()
    for e in await asyncio.gather(*jobs, return_exceptions=True):
        if e is not None:
            wrong(f"a client: {e!r}")
    server.close()
    await asyncio.sleep(3)
    live = (await loop.run_in_executor(None, lambda: c.json("GET", "/api/v1/models/live")))[1]["models"]
    model = next(m for m in live if m["name"] == CHAT)
    left = {k: model[k] for k in ("running", "queued", "kv_tokens_used")}
    if any(left.values()):
        wrong(f"left behind: {left}")
    quarter = max(len(memory) // 4, 1)
    early, late = statistics.median(memory[quarter:2 * quarter]), statistics.median(memory[-quarter:])
    if SECONDS >= 60 and late > early * 1.05 + 8:  # the cache of keys and values is full by then
        wrong(f"memory grows: {early:.0f} MB, later {late:.0f} MB")
    if counts["idle whole"] != IDLE:
        wrong(f"{counts['idle whole']} of {IDLE} idle streams are whole")
    times.sort()
    health.sort()
    for name, n in counts.items():
        print(f"{name:24} {n:10}")
    print(f"{'answers a second':24} {counts['answered'] / SECONDS:10.1f}")
    print(f"{'time of an answer, s':24} {statistics.median(times):10.2f} median {times[int(len(times) * .99)]:10.2f} p99")
    print(f"{'/healthz, ms':24} {1000 * statistics.median(health):10.1f} median {1000 * health[-1]:10.1f} most")
    print(f"{'resident, MB':24} {early:10.0f} then   {late:10.0f} later")
    print(f"{'wrong':24} {len(bad):10}")


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
server = Croft(models=True, settings={"chat.kv_tokens": 8192})
try:
    with server:
        asyncio.run(main(server))
finally:
    server.remove()
sys.exit(1 if bad else 0)
