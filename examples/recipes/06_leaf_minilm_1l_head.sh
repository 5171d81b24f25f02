#!/usr/bin/env bash
# One layer, and two hidden layers above the mean of its tokens. SOURCE is the leaf of recipe 02.
source "$(dirname "$0")/common.sh"
distil --student "${SOURCE:?the leaf of recipe 02}" --layers 0 --head 1536,1536 --recipe quick --query-share 1 \
    --max-steps 20000 "$@"
