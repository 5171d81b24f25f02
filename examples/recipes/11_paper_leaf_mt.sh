#!/usr/bin/env bash
# The paper's multi-task pair: mxbai-embed-large-v1 into MiniLM-L6; its vectors have no unit norm.
TEACHER=${TEACHER:-mixedbread-ai/mxbai-embed-large-v1}
OUT=${OUT:-leaf-mt}
source "$(dirname "$0")/paper.sh"
distil "$@"
