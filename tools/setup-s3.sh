#!/bin/sh
# tools/setup-s3.sh: a real S3 server for the tests, build/versitygw (Versity's gateway over a folder;
# it checks signatures), built by Go at a pinned version. Does nothing when it is there. Tests that
# need it are skipped, and say so, where Go (1.23 or later; bookworm-backports has it) is absent.
set -eu
cd "$(dirname "$0")/.."
version=v1.0.14
mkdir -p build
exec 9>build/.s3.lock
flock 9 2>/dev/null || true
stamp=build/versitygw-$version.stamp
[ -e "$stamp" ] && [ -x build/versitygw ] && exit 0
go=$(command -v go || true)
for path in /usr/local/go/bin/go /usr/lib/go-1.24/bin/go /usr/lib/go-1.23/bin/go; do
	[ -n "$go" ] || [ ! -x "$path" ] || go=$path
done
[ -n "$go" ] || { echo "setup-s3: Go is not installed" >&2; exit 1; }
minor=$("$go" env GOVERSION | sed -n 's/^go1\.\([0-9]*\).*/\1/p')
[ "${minor:-0}" -ge 23 ] || { echo "setup-s3: Go 1.23 or later is needed, this is $("$go" env GOVERSION)" >&2; exit 1; }
GOBIN=$PWD/build GOTOOLCHAIN=local GOFLAGS=-buildvcs=false "$go" install \
	"github.com/versity/versitygw/cmd/versitygw@$version" >&2
touch "$stamp"
