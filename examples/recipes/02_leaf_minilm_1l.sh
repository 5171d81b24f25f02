#!/usr/bin/env bash
# The teacher's lowest layer on top of a trained static table.
source "$(dirname "$0")/common.sh"
distil --student shallow --recipe quick --max-steps 3000 "$@"
