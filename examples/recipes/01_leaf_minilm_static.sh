#!/usr/bin/env bash
# One vector a token, no transformer at query time. Seconds of training.
# Variables: TEACHER, CORPUS (a directory), EVAL (BEIR sets to keep out), OUT, CACHE. Arguments go to leaf-embed distill.
source "$(dirname "$0")/common.sh"
distil --student static --max-tokens 128 --learning-rate 1e-3 --query-share 1 "$@"
