#!/bin/sh
# tools/lint.sh: formatting and include directions. The second part is a test as well.
set -eu
cd "$(dirname "$0")/.."
git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
prove -e '' tests/lint/*.t
