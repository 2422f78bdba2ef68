#!/usr/bin/env python3
"""A full disk, a read-only disk, a clock that steps backwards. What cannot be stored is refused with
the right status, reading goes on, writing comes back by itself, and nothing acknowledged is lost.

The disks are small memory file systems in a mount namespace of their own (unshare); the clock is
moved by a library that is loaded before libc."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import croft_server
from croft_server import BINARY, Croft, Tap

tap = Tap()
tmp = tempfile.mkdtemp(prefix="croft-faults-")

CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long long offset_s(void)
{
	char b[32] = {0};
	int fd = open(getenv("CLOCK_OFFSET_FILE"), O_RDONLY);
	if (fd < 0)
		return 0;
	ssize_t n = read(fd, b, sizeof b - 1);
	close(fd);
	return n > 0 ? atoll(b) : 0;
}
int clock_gettime(clockid_t id, struct timespec *t)
{
	static int (*real)(clockid_t, struct timespec *);
	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int rc = real(id, t);
	if (!rc && id == CLOCK_REALTIME)
		t->tv_sec += offset_s();
	return rc;
}
time_t time(time_t *out)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}
int gettimeofday(struct timeval *v, void *zone)
{
	struct timespec t;
	clock_gettime(CLOCK_REALTIME, &t);
	v->tv_sec = t.tv_sec;
	v->tv_usec = t.tv_nsec / 1000;
	return 0;
}
"""


class Wrapped(Croft):
    """croft up started by a command that prepares its world."""
    wrap, more = [], {}

    def env(self):
        return dict(super().env(), **self.more)

    def start(self, timeout=30):
        real = croft_server.BINARY
        croft_server.BINARY = self.script
        try:
            return super().start(timeout)
        finally:
            croft_server.BINARY = real


def version(c, n, pad=0):
    """(status, body) of a version with `pad` bytes of metadata."""
    return c.json("POST", "/api/v1/artifacts/dataset/d/versions",
                  {"digest": f"{n:064x}", "metadata": {"pad": "x" * pad}})


def newest(c):
    status, body = c.json("GET", "/api/v1/artifacts/dataset/d/versions?limit=1")
    return body["versions"][0]["digest"] if status == 200 and body["versions"] else None


def script(text):
    path = os.path.join(tmp, f"s{len(os.listdir(tmp))}.sh")
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + text + "\n")
    os.chmod(path, 0o755)
    return path


def may_mount():
    p = subprocess.run(["unshare", "-rm", "sh", "-c", f"mount -t tmpfs none {tmp}"],
                       capture_output=True, text=True)
    return None if p.returncode == 0 else (p.stderr.strip() or "unshare failed")


def full_disk():
    c = Wrapped()
    # the note for us (server.json) lies outside: the data directory is a disk of 24 MB
    c.script = script(f"""exec unshare -rm sh -c '
        mount -t tmpfs -o size=24m none "$CROFT_HOME/data" || exit 1
        export CROFT_HOME="$CROFT_HOME/data" CROFT_CONFIG=/dev/null
        while kill -0 $$ 2>/dev/null; do
            cp "$CROFT_HOME/server.json" "$CROFT_HOME/../server.json" 2>/dev/null
            if [ -e "$CROFT_HOME/../fill" ]; then
                [ -e "$CROFT_HOME/ballast" ] || cat /dev/zero >"$CROFT_HOME/ballast" 2>/dev/null
            else
                rm -f "$CROFT_HOME/ballast"
            fi
            sleep 0.02
        done &
        exec {BINARY} up'""")
    os.mkdir(os.path.join(c.home, "data"))
    fill = os.path.join(c.home, "fill")
    os.environ.pop("CROFT_CONFIG", None)
    with c:
        acked, n = [], 0
        for _ in range(20):
            n += 1
            if version(c, n, 1000)[0] == 201:
                acked.append(n)
        tap.same(len(acked), 20, "writes on a disk with room")
        open(fill, "w").close()
        codes = set()
        end = time.time() + 15
        while time.time() < end and 507 not in codes:
            n += 1
            status, body = version(c, n, 200000)
            codes.add(status)
            if status == 201:
                acked.append(n)
        tap.ok(507 in codes and codes <= {201, 507}, "a full disk: 507, and no other refusal", codes)
        tap.ok(all(version(c, n + 1 + i, 200000)[0] == 507 for i in range(3)), "for as long as it is full")
        status, body = c.json("GET", "/api/v1/artifacts/dataset/d/versions?limit=1000")
        tap.same(body.get("count"), len(acked), "reading goes on, and what was refused is not there")
        tap.ok(c.get("/healthz")[0] == 200, "the process is alive")
        os.unlink(fill)
        n += 10
        end = time.time() + 10
        status = 0
        while time.time() < end and status != 201:
            time.sleep(0.1)
            status, body = version(c, n, 1000)
        tap.same(status, 201, "with room again it writes by itself")
        acked.append(n)
        status, body = c.json("GET", "/api/v1/artifacts/dataset/d/versions?limit=1000")
        digests = {v["digest"] for v in body["versions"]}
        tap.ok(all(f"{i:064x}" in digests for i in acked) and len(digests) == len(acked),
               "nothing acknowledged is lost, nothing else is there", len(digests) - len(acked))


def read_only():
    home = os.path.join(tmp, "ro")
    os.mkdir(home)
    open(os.path.join(home, "croft.yaml"), "w").close()
    env = croft_server.environment(home)
    first = subprocess.run([BINARY, "status"], env=env, capture_output=True, text=True)
    tap.same(first.returncode, 0, "a data directory was made")
    p = subprocess.run(["unshare", "-rm", "sh", "-c",
                        f"mount --bind {home} {home} && mount -o remount,bind,ro {home} && exec {BINARY} up"],
                       env=env, capture_output=True, text=True, timeout=20)
    tap.ok(p.returncode not in (0, -6, -11, 134, 139) and "ead-only" in p.stderr and home in p.stderr,
           "on a read-only disk it says so and ends", (p.returncode, p.stderr[-300:]))
    again = subprocess.run([BINARY, "status"], env=env, capture_output=True, text=True)
    tap.same(again.returncode, 0, "and nothing was harmed")


def clock():
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        tap.note("no compiler: the clock is not moved")
        return
    source, shim, offset = (os.path.join(tmp, n) for n in ("clock.c", "clock.so", "offset"))
    with open(source, "w") as f:
        f.write(CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)

    def move(seconds):
        with open(offset + ".new", "w") as f:
            f.write(str(seconds))
        os.replace(offset + ".new", offset)

    move(0)
    c = Wrapped()
    c.more = {"LD_PRELOAD": shim, "CLOCK_OFFSET_FILE": offset}
    c.script = BINARY
    steps = (0, -3600, 7200, -86400, 0, -(time.time() - 86400), 0)
    n = 0
    with c:
        for step in steps:
            move(int(step))
            for _ in range(3):
                n += 1
                status, body = version(c, n)
                if status != 201:
                    tap.ok(False, f"a write with the clock {step} s off", (status, body))
                    continue
                c.json("PUT", "/api/v1/artifacts/dataset/d/aliases/prod", {"version": n})
                if newest(c) != f"{n:064x}":
                    tap.ok(False, f"the newest version is the last one ({step} s)", newest(c))
        _, v = c.json("GET", "/api/v1/artifacts/dataset/d/versions?limit=100")
        tap.same([x["version"] for x in v["versions"]], list(range(n, 0, -1)),
                 "versions keep the order in which they were made")
        _, prod = c.json("GET", "/api/v1/artifacts/dataset/d/versions/prod")
        tap.same(prod.get("version"), n, "the alias is where it was moved last")
        _, h = c.json("GET", "/api/v1/artifacts/dataset/d/history?what=alias&limit=1000")
        moved = [int(f["value"]) for f in h["facts"]] if "facts" in h else h
        tap.same(moved, list(range(n, 0, -1)), "every move is in the history, in order")
        rc, out, err = c.cli("audit", "verify")
        tap.ok(rc == 0, "the audit log is intact", out + err)
        c.kill()
        move(-7200)
        c.start()
        tap.ok(version(c, n + 1)[0] == 201 and newest(c) == f"{n + 1:064x}",
               "also after a start with the clock two hours back")


why = may_mount()
if why:
    tap.note(f"no mount namespaces here ({why}): the disks are not tried")
elif croft_server.on_postgres():
    tap.note("the database is elsewhere: its disk is not tried")
else:
    full_disk()
    read_only()
clock()
shutil.rmtree(tmp, ignore_errors=True)
tap.done()
