#!/bin/sh
# tools/setup-pgvector.sh: the extension pgvector for the PostgreSQL server that the tests start
# (tests/pg.py). Does nothing when it is there. Where Debian packages it for that version of the
# server (13 and later) the package is installed; on Debian 12 its source is taken from there and
# built, with the server's headers unpacked beside it, because their package would bring LLVM. Apt's
# own lists and sources stay as they are. Tests that need it are skipped, and say so, without it.
set -eu
cd "$(dirname "$0")/.."
mkdir -p build
exec 9>build/.pgvector.lock
flock 9 2>/dev/null || true
say() { printf 'setup-pgvector: %s\n' "$*" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

bin=$(python3 -c 'import sys; sys.path.insert(0, "tests"); import pg; print(pg.bindir() or "")')
[ -n "$bin" ] || { say "PostgreSQL's server is not installed"; exit 1; }
[ ! -e "$("$bin/pg_config" --sharedir)/extension/vector.control" ] || exit 0
version=$("$bin/pg_config" --version | sed 's/^[^0-9]*\([0-9]*\).*/\1/')
command -v apt-get >/dev/null || { say "install pgvector for PostgreSQL $version: this is no Debian"; exit 1; }

if apt-cache show "postgresql-$version-pgvector" >/dev/null 2>&1; then
	as_root apt-get install -y --no-install-recommends "postgresql-$version-pgvector" >/dev/null
	exit 0
fi
uri=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | grep debian | grep -v security | head -1)
[ -n "$uri" ] || uri=$(sed -n 's/^deb  *\(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep debian | grep -v security | head -1)
[ -n "$uri" ] || { say "no Debian mirror found in apt's sources"; exit 1; }
say "building pgvector for PostgreSQL $version from Debian 13's source"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
chmod 755 "$dir"
mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
printf 'Types: deb-src\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' "$uri" >"$dir/trixie.sources"
(
	cd "$dir"
	apt-get download "postgresql-server-dev-$version" >/dev/null 2>&1 ||
		{ as_root apt-get update && apt-get download "postgresql-server-dev-$version"; } >/dev/null
	dpkg -x postgresql-server-dev-*.deb headers
	set -- -o "Dir::Etc::sourcelist=$dir/trixie.sources" -o Dir::Etc::sourceparts=/dev/null \
		-o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" -o APT::Sandbox::User=root
	apt-get "$@" update >/dev/null
	apt-get "$@" --download-only source pgvector >/dev/null
	mkdir source
	tar -xzf pgvector_*.orig.tar.gz --strip-components=1 -C source
	# OPTFLAGS: not only for this machine's processor
	set -- OPTFLAGS= with_llvm=no PG_CONFIG="$bin/pg_config" \
		includedir_server="$dir/headers/usr/include/postgresql/$version/server"
	make -s -C source "$@" >log 2>&1 || { tail -5 log >&2; exit 1; }
	as_root make -s -C source "$@" install >log 2>&1 || { tail -5 log >&2; exit 1; }
)
