#!/usr/bin/env bash
# The lowest and the top one of a three-layer leaf's layers. SOURCE is the leaf of recipe 04, which learned from the same
# texts: after 1,200 steps it keeps as much as 13,000 from the teacher's own layers do (examples/LOG.md).
source "$(dirname "$0")/common.sh"
distil --student "${SOURCE:?the leaf of recipe 04}" --layers 0,2 --recipe quick --query-share 1 --max-steps 16000 "$@"
