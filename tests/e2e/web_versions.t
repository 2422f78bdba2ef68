#!/bin/sh
exec node "$(dirname "$0")/web_versions.mjs"
