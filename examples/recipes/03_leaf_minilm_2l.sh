#!/usr/bin/env bash
# The lowest and the top one of a three-layer leaf's layers, which 1,200 steps take nearly as far as 13,000 take the
# teacher's two top layers (examples/LOG.md). SOURCE is the leaf of recipe 04.
source "$(dirname "$0")/common.sh"
distil --student "${SOURCE:?the leaf of recipe 04}" --layers 0,2 --recipe quick --set query_share=1 --max-steps 16000 "$@"
