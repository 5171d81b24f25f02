#!/usr/bin/env bash
# The paper's retrieval pair: snowflake-arctic-embed-m-v1.5 into MiniLM-L6. About 100 hours on one A100, by the paper.
TEACHER=${TEACHER:-Snowflake/snowflake-arctic-embed-m-v1.5}
OUT=${OUT:-leaf-ir}
source "$(dirname "$0")/paper.sh"
distil "$@"
