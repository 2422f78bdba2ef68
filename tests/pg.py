#!/usr/bin/env python3
"""A PostgreSQL server of one's own, in a temporary folder, gone at the end.

    tests/pg.py COMMAND...      runs COMMAND with CROFT_TEST_PG_URL and CROFT_TEST_PG_DIR (of the
                                socket) set, e.g. tests/pg.py build/tests/test_store_db
    from pg import Pg           for tests that stop and start it:
    with Pg() as pg: pg.url("schema"); pg.restart("immediate"); pg.sql("SELECT 1")

It listens on a socket in its folder only. A superuser's server runs as the user postgres or nobody,
because PostgreSQL refuses root. Without PostgreSQL, `missing()` says so, and COMMAND runs without
the variable: what needs it skips and says why.
"""
import glob
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse


def bindir():
    found = shutil.which("initdb")
    found = found and os.path.dirname(os.path.realpath(found))
    if found and all(os.path.exists(os.path.join(found, p)) for p in ("pg_ctl", "psql")):
        return found
    # newest first, by number
    folders = glob.glob("/usr/lib/postgresql/*/bin") + glob.glob("/usr/local/pgsql/bin")
    folders = [f for f in folders if os.path.exists(os.path.join(f, "initdb"))]
    folders.sort(key=lambda f: [int(x) for x in f.split("/") if x.isdigit()], reverse=True)
    return folders[0] if folders else None


def missing():
    return None if bindir() else "PostgreSQL's server is not installed (Debian: postgresql)"


def run_as():
    """Arguments that make a command run as somebody who may run PostgreSQL."""
    if os.geteuid() != 0:
        return [], None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}",
                "--clear-groups"], user
    raise RuntimeError("neither the user postgres nor the user nobody exists")


class Pg:
    def __init__(self, settings=None):
        self.settings = dict(fsync="off", full_page_writes="off", shared_buffers="64MB",
                             max_connections="200", listen_addresses="''",
                             log_min_messages="error", autovacuum_naptime="1h")
        self.settings.update(settings or {})
        self.prefix, self.user = run_as()
        self.dir = None

    def _run(self, program, *args, check=True):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_", "LANG"))}
        env.update(HOME=self.dir, LC_ALL="C.UTF-8")
        p = subprocess.run([*self.prefix, os.path.join(bindir(), program), *args], env=env,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, cwd="/")
        if check and p.returncode:
            raise RuntimeError(f"{program}: {p.stdout}")
        return p.stdout

    def start(self):
        if not self.dir:
            self.dir = tempfile.mkdtemp(prefix="croft-pg-")
            if self.user:
                os.chown(self.dir, self.user.pw_uid, self.user.pw_gid)
            os.chmod(self.dir, 0o755)
            self.data = os.path.join(self.dir, "data")
            self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                      "--locale=C.UTF-8", "--no-sync")
            with open(os.path.join(self.data, "postgresql.conf"), "a") as f:
                f.write(f"unix_socket_directories = '{self.dir}'\n")
                for name, value in self.settings.items():
                    f.write(f"{name} = {value}\n")
        # pg_ctl's child would keep our pipe open: it logs to its own file
        self._run("pg_ctl", "-D", self.data, "-l", os.path.join(self.dir, "log"), "-w", "-t", "60",
                  "-s", "start")
        return self

    def stop(self, mode="fast"):
        self._run("pg_ctl", "-D", self.data, "-m", mode, "-w", "-s", "stop")

    def restart(self, mode="fast", away_s=0):
        """immediate: as if it had been killed; it recovers from its log."""
        self.stop(mode)
        time.sleep(away_s)
        self.start()

    def remove(self):
        if self.dir:
            self._run("pg_ctl", "-D", self.data, "-m", "immediate", "-s", "stop", check=False)
            shutil.rmtree(self.dir, ignore_errors=True)
            self.dir = None

    def url(self, schema=None):
        """Croft makes the schema when it is not there."""
        query = {"host": self.dir, "user": "postgres"}
        if schema:
            query["options"] = "-csearch_path=" + schema
        return "postgres:///postgres?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote)

    def sql(self, text, schema=None):
        """Rows as lines, columns separated by |."""
        return self._run("psql", "-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-h", self.dir,
                         "-U", "postgres", "-c", (f"SET search_path = {schema};" if schema else "") +
                         text).strip()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def __exit__(self, *_):
        self.remove()


def main():
    command = sys.argv[1:]
    if not command:
        sys.exit(__doc__)
    if missing():
        print("# " + missing(), file=sys.stderr)
        sys.exit(subprocess.run(command).returncode)
    # for measurements: CROFT_TEST_PG_SETTINGS="fsync=on,shared_buffers=1GB"
    more = os.environ.get("CROFT_TEST_PG_SETTINGS", "")
    with Pg(dict(s.split("=", 1) for s in more.split(",") if s)) as pg:
        env = dict(os.environ, CROFT_TEST_PG_URL=pg.url(), CROFT_TEST_PG_DIR=pg.dir)
        if os.environ.get("CROFT_TEST_DB") == "postgres":
            env["CROFT_TEST_DB_URL"] = pg.url()
        sys.exit(subprocess.run(command, env=env).returncode)


if __name__ == "__main__":
    main()
