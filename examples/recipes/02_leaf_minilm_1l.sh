#!/usr/bin/env bash
# The top layer alone, over token embeddings that start from what the layers below make of each token.
source "$(dirname "$0")/common.sh"
distil --student "$TEACHER" --layers 5 --recipe quick --query-share 1 --max-steps 16000 "$@"
