#!/bin/sh
exec node "$(dirname "$0")/web_curate.mjs"
