# For tests in sh: TAP, and a croft of their own.
#
#	. "$(dirname "$0")/lib.sh"
#	with_croft "$@"            # runs this script again beside a server: $CROFT_BASE, $CROFT_HOME
#	ok "is alive" curl -sf "$CROFT_BASE/healthz"
#	done_testing
here=$(cd "$(dirname "$0")" && pwd)
tap_n=0 tap_failed=0

# Restarts the calling script under croft_server.py, unless it already runs so.
with_croft() {
	[ -n "${CROFT_BASE:-}" ] || exec python3 "$here/croft_server.py" ${CROFT_E2E_OPTIONS:-} "$0" "$@"
	croft=$CROFT_BINARY
}

# ok NAME COMMAND...: the command succeeds
ok() {
	tap_name=$1
	shift
	tap_n=$((tap_n + 1))
	if tap_out=$("$@" 2>&1); then
		echo "ok $tap_n - $tap_name"
	else
		echo "not ok $tap_n - $tap_name"
		printf '%s\n' "$tap_out" | sed 's/^/# /'
		tap_failed=$((tap_failed + 1))
	fi
}

done_testing() {
	echo "1..$tap_n"
	[ "$tap_failed" = 0 ]
	exit
}
