#!/usr/bin/env bash
# The two top layers, over token embeddings that start from what the layers below make of each token.
source "$(dirname "$0")/common.sh"
distil --student "$TEACHER" --layers 4,5 --recipe quick --query-share 1 --max-steps 13000 "$@"
