#!/usr/bin/env bash
# No layer: token embeddings, their mean, and two hidden layers that see the mean once per text. More queries help it more
# than more passes: more_queries.py.
source "$(dirname "$0")/common.sh"
distil --student "$TEACHER" --layers none --head 1536,1536 --recipe quick --max-steps 6000 \
    --set batch_size=256 learning_rate=1e-3 query_share=1 "$@"
