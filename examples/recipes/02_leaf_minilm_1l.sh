#!/usr/bin/env bash
# The top one of a two-layer leaf's layers, over token embeddings that start from what the layer below makes of each
# token. SOURCE is the leaf of recipe 03.
source "$(dirname "$0")/common.sh"
distil --student "${SOURCE:?the leaf of recipe 03}" --layers 1 --recipe quick --set query_share=1 --max-steps 20000 "$@"
