#!/bin/sh
# tools/setup.sh GROUP...: installs what tools/packages.txt lists for the groups and is missing,
# through apt-get, as root or by sudo. Says what and why first. Does nothing when all is there.
set -eu
cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }

as_root() {
	if [ "$(id -u)" = 0 ]; then
		env DEBIAN_FRONTEND=noninteractive "$@"
	elif command -v sudo >/dev/null; then
		sudo env DEBIAN_FRONTEND=noninteractive "$@"
	else
		say "setup: packages are missing and neither root nor sudo is there to install them."
		say "       As root:  apt-get install -y$missing"
		exit 1
	fi
}

installed() { dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q '^install ok installed'; }

missing='' why=''
for group; do
	while read -r g package reason; do
		[ "$g" = "$group" ] || continue
		# what is on the PATH already, from wherever, is good enough
		case $package in
		gcc | make | meson | ccache | python3 | perl | curl | git | clang | clang-format)
			command -v "$package" >/dev/null && continue ;;
		maven) command -v mvn >/dev/null && continue ;;
		ninja-build) command -v ninja >/dev/null && continue ;;
		python3-pip) python3 -m pip --version >/dev/null 2>&1 && continue ;;
		python3-venv) python3 -c 'import ensurepip' 2>/dev/null && continue ;;
		esac
		installed "$package" && continue
		missing="$missing $package"
		why="$why
  $package: $reason"
	done <tools/packages.txt
done

node_major() { node --version 2>/dev/null | sed 's/^v\([0-9]*\).*/\1/'; }
case " $* " in
*" run "*)
	major=$(node_major)
	if [ "${major:-0}" -lt 18 ] || ! command -v npm >/dev/null; then
		missing="$missing nodejs npm"
		why="$why
  nodejs, npm: building the web page"
	fi ;;
esac

if [ -n "$missing" ]; then
	if ! command -v apt-get >/dev/null; then
		say "setup: missing:$missing"
		say "       This is no Debian: install what corresponds to them, then try again."
		exit 1
	fi
	say "Croft needs some system packages:$why"
	say "They are installed now with apt-get$([ "$(id -u)" = 0 ] || echo ' (through sudo)')."
	log=$(mktemp)
	# shellcheck disable=SC2086
	if ! { as_root apt-get update && as_root apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
		tail -20 "$log" >&2
		say "setup: apt-get failed; the whole log is in $log"
		exit 1
	fi
	rm -f "$log"
fi

# yyjson is packaged from Debian 13 on. Its package needs nothing newer than glibc 2.14, so on
# Debian 12 it is taken from there, by itself: apt's own lists and sources stay as they are.
if ! pkg-config --exists yyjson 2>/dev/null; then
	missing=' libyyjson-dev'
	if apt-cache show libyyjson-dev >/dev/null 2>&1; then
		as_root apt-get install -y --no-install-recommends libyyjson-dev >/dev/null
	else
		say "Croft needs yyjson (JSON); it is taken from Debian 13's package."
		dir=$(mktemp -d)
		trap 'rm -rf "$dir"' EXIT
		chmod 755 "$dir"
		mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
		uri=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | grep -v security | head -1)
		[ -n "$uri" ] || uri=$(sed -n 's/^deb  *\(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.list 2>/dev/null | grep -v security | head -1)
		[ -n "$uri" ] || { say "setup: no Debian mirror found in apt's sources"; exit 1; }
		printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' "$uri" >"$dir/trixie.sources"
		(
			cd "$dir"
			set -- -o "Dir::Etc::sourcelist=$dir/trixie.sources" -o Dir::Etc::sourceparts=/dev/null \
				-o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" -o APT::Sandbox::User=root
			apt-get "$@" update >/dev/null
			apt-get "$@" download libyyjson0 libyyjson-dev >/dev/null
		)
		as_root dpkg -i "$dir"/libyyjson*.deb >/dev/null
	fi
fi
