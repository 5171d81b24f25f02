#!/usr/bin/env bash
# One layer, and two hidden layers above the mean of its tokens. SOURCE is the leaf of recipe 02; then, to train on, the
# leaf that came of it: ours with --max-steps 40000, and again with --set learning_rate=2e-4 --max-steps 18000.
source "$(dirname "$0")/common.sh"
distil --student "${SOURCE:?the leaf of recipe 02}" --layers 0 --head 1536,1536 --recipe quick --set query_share=1 \
    --max-steps 20000 "$@"
