#!/usr/bin/env bash
# A third of the layers: the lowest and the top one.
source "$(dirname "$0")/common.sh"
distil --student "$TEACHER" --layers 0,5 --recipe quick --max-steps 5000 "$@"
