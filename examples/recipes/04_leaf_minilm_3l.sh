#!/usr/bin/env bash
# Half the layers: the two lowest and the top one.
source "$(dirname "$0")/common.sh"
distil --student "$TEACHER" --layers 0,1,5 --recipe quick --max-steps 7000 "$@"
