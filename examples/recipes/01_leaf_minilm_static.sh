#!/usr/bin/env bash
# One vector per token, no transformer at query time. Seconds of training.
# Variables: TEACHER, CORPUS (a directory), EVAL (BEIR sets to keep out), OUT, CACHE. Arguments go to leaf-embed distill.
source "$(dirname "$0")/common.sh"
distil --student static --set max_tokens=128 learning_rate=1e-3 query_share=1 "$@"
