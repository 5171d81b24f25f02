#!/usr/bin/env bash
# No layer: token embeddings, their mean, and two hidden layers that see the mean once a text. More queries help it more
# than more passes: more_queries.py.
source "$(dirname "$0")/common.sh"
distil --student "$TEACHER" --layers none --head 1536,1536 --recipe quick --batch-size 256 --learning-rate 1e-3 \
    --query-share 1 --max-steps 6000 "$@"
