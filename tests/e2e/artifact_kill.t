#!/usr/bin/env python3
"""Pushes that are killed (client, server, the program without a server), run into a full disk, a
read-only disk, a failing S3 server: no half object is ever visible, what was acknowledged stays, and
the next push goes on and ends well."""
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(__file__))
from croft_server import BINARY, Croft, Tap  # noqa: E402
from s3_server import FaultProxy, S3Server  # noqa: E402

tap = Tap()
KILLS = int(os.environ.get("CROFT_TEST_KILLS", "10"))
SEED = int(os.environ.get("CROFT_TEST_SEED", str(time.time_ns() % 100000)))
rnd = random.Random(SEED)
work = tempfile.mkdtemp(prefix="croft-kill-")


def fill(top, seed, big=3, small=60):
    r = random.Random(seed)
    os.makedirs(top)
    for i in range(big):
        with open(os.path.join(top, f"big{i}"), "wb") as f:
            f.write(r.randbytes(r.randrange(3_000_000, 9_000_000)))
    for i in range(small):
        with open(os.path.join(top, f"small{i}"), "wb") as f:
            f.write(r.randbytes(r.randrange(1, 60_000)))
    return top


def same(a, b):
    return subprocess.run(["diff", "-r", a, b], capture_output=True).returncode == 0


def whole(home):
    """Every blob that has a name has the content of its name; returns (how many, wrong ones)."""
    n, wrong, top = 0, [], os.path.join(home, "blobs")
    for d, _, files in os.walk(top):
        if os.path.basename(d) == "tmp":
            continue
        for name in files:
            n += 1
            with open(os.path.join(d, name), "rb") as f:
                if hashlib.sha256(f.read()).hexdigest() != os.path.basename(d) + name:
                    wrong.append(name)
    return n, wrong


def has_rows(c, known):
    """What the server says it has, it has."""
    _, r = c.json("POST", "/api/v1/trees/chunks/missing", {"ids": known})
    there = [k for k in known if k not in set(r["missing"])]
    return [k for k in there
            if not os.path.exists(os.path.join(c.home, "blobs", k[:2], k[2:]))], len(there)


def start_push(c, path, name):
    return subprocess.Popen([BINARY, "artifact", "push", path, name], env=c.env(),
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def names_of(c, home):
    ids = []
    for d, _, files in os.walk(os.path.join(home, "blobs")):
        if os.path.basename(d) != "tmp":
            ids += [os.path.basename(d) + f for f in files]
    return ids[:4000]


def ends_well(c, path, what):
    code, _, err = c.cli("artifact", "push", path, "dataset/k")
    out = os.path.join(work, "out")
    shutil.rmtree(out, ignore_errors=True)
    if code == 0:
        code, _, err = c.cli("artifact", "pull", "dataset/k", out)
    return tap.ok(code == 0 and same(path, out), f"{what}: the next push ends well", err)


def kills(who):
    """who: "client", "server", "alone" (a push without a server)."""
    c = Croft(settings={"log.level": "error"}, ready=False)
    cut = bad = lost = checked = 0
    try:
        if who != "alone":
            c.start()
        for i in range(2):  # the first makes the data directory
            top = fill(os.path.join(work, f"{who}-measure{i}"), i)
            begun = time.time()
            start_push(c, top, "dataset/k").wait()
            usual = max(0.05, time.time() - begun)
        for i in range(KILLS):
            top = fill(os.path.join(work, f"{who}{i}"), SEED * 1000 + i)
            p = start_push(c, top, "dataset/k")
            time.sleep(rnd.uniform(0, usual))
            if who == "server":
                c.kill()
                cut += p.wait() != 0
                bad += len(whole(c.home)[1])
                c.start()
            else:
                p.send_signal(signal.SIGKILL)
                cut += p.wait() != 0
                bad += len(whole(c.home)[1])
            p.stderr.close()
            if who != "alone":
                gone, n = has_rows(c, names_of(c, c.home))
                lost, checked = lost + len(gone), checked + n
            if i + 1 < KILLS:
                shutil.rmtree(top)
        tap.same((bad, lost), (0, 0), f"{KILLS} kills of the {who}: no half object, nothing "
                 f"acknowledged is lost (seed {SEED})")
        tap.note(f"{cut} pushes were cut off, {checked} acknowledged chunks looked for")
        ends_well(c, top, who)
    finally:
        c.remove()


def disk(options, what):
    """A data directory on a small file system of its own."""
    home = tempfile.mkdtemp(prefix="croft-disk-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", home],
                             capture_output=True).returncode == 0
    if not mounted:
        os.rmdir(home)
        tap.note(f"{what}: a file system cannot be mounted here, skipped")
        return None, None
    return Croft(settings={"log.level": "error"}, home=home, ready=False), home


def full_disk():
    c, home = disk("size=14m", "full disk")
    if not c:
        return
    top = fill(os.path.join(work, "full"), SEED, big=4)
    try:
        for who in ("server", "alone"):
            if who == "server":
                c.start()
            code, _, err = c.cli("artifact", "push", top, "dataset/k")
            tap.ok(code == 12 and "space" in err.lower(), f"full disk ({who}): an error that says so",
                   f"{code} {err}")
            tap.same(whole(home)[1], [], "and no half object")
            if who == "server":
                tap.same(c.get("/healthz")[0], 200, "the server lives")
                c.stop()
        left = os.listdir(os.path.join(home, "blobs", "tmp"))
        tap.same(left, [], "and nothing is left lying about")
        subprocess.run(["mount", "-o", "remount,size=200m", home], check=True)
        ends_well(c, top, "full disk, enlarged")
    finally:
        c.stop()
        subprocess.run(["umount", "-l", home])
        os.rmdir(home)


def read_only():
    c, home = disk("size=200m", "read-only disk")
    if not c:
        return
    # a mount of its own for the blobs: the database's open files would keep the whole writable
    at = os.path.join(home, "blobs")
    os.makedirs(at)
    subprocess.run(["mount", "--bind", at, at], check=True)
    top = fill(os.path.join(work, "ro"), SEED + 1)
    other = fill(os.path.join(work, "ro2"), SEED + 2)
    try:
        c.start()
        c.cli("artifact", "push", top, "dataset/k")
        subprocess.run(["mount", "-o", "remount,bind,ro", at], check=True)
        code, _, err = c.cli("artifact", "push", other, "dataset/k")
        tap.ok(code not in (0, 139, 134), "read-only disk: a push is refused", f"{code} {err}")
        tap.same(c.get("/healthz")[0], 200, "the server lives")
        subprocess.run(["mount", "-o", "remount,bind,rw", at], check=True)
        tap.same(whole(home)[1], [], "no half object")
        ends_well(c, other, "read-only, then writable")
    finally:
        c.stop()
        subprocess.run(["umount", "-l", at])
        subprocess.run(["umount", "-l", home])
        os.rmdir(home)


def failing_s3():
    server, proxy, c = S3Server(), None, None
    try:
        proxy = FaultProxy(server.port, seed=SEED)
        top = fill(os.path.join(work, "s3"), SEED + 3)
        c = Croft(settings={"log.level": "error", "blobs.url": proxy.url("p")}, ready=False)
        env = c.env
        c.env = lambda: dict(env(), CROFT_S3_RETRY_MS="5")
        c.start()
        ends_well(c, top, "S3 failing one request in five")
        wrong = []
        for path in server.objects("p"):
            with open(path, "rb") as f:
                want = os.path.basename(os.path.dirname(path)) + os.path.basename(path)
                if hashlib.sha256(f.read()).hexdigest() != want:
                    wrong.append(path)
        tap.ok(not wrong and len(server.objects("p")) > 60, "no half object in the bucket", wrong)
        tap.note(f"{proxy.requests} requests, of which failed: {dict(proxy.faults)}")
        # a server that is gone for a while: the push says so, and the next one goes on
        more = fill(os.path.join(work, "s3more"), SEED + 4, big=6)
        p = start_push(c, more, "dataset/k")
        threading.Timer(0.15, server.stop).start()
        p.wait(120)
        err = p.stderr.read().decode()
        p.stderr.close()
        tap.ok("test/secret" not in err and "testkey" not in err, "no secret in what is said", err)
        server.stop()
        server.start()
        ends_well(c, more, "S3 gone in between")
        log = c.logged()
        tap.ok("test/secret" not in log and "test%2Fsecret" not in log, "nor in the log", log)
        status, body = c.get("/api/v1/settings")
        tap.ok(b"test%2Fsecret" not in body and b"test/secret" not in body, "nor in the settings")
        r = c.json("POST", "/api/v1/trees/gc")[1]
        tap.ok(r["blobs"] == 0 and r["kept"] > 60, "a collection over S3 keeps what is needed", r)
    finally:
        if c:
            c.remove()
        if proxy:
            proxy.stop()
        server.remove()


try:
    for who in ("alone", "client", "server"):
        kills(who)
    full_disk()
    read_only()
    failing_s3()
finally:
    shutil.rmtree(work, ignore_errors=True)
tap.done()
