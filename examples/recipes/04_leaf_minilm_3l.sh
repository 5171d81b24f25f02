#!/usr/bin/env bash
# Half the layers: the two lowest and the top one. Then, to train on, the leaf that came of it: ours with --student LEAF
# --layers 0,1,2 --set query_share=0.85 learning_rate=2e-4 --max-steps 13000.
source "$(dirname "$0")/common.sh"
distil --student "$TEACHER" --layers 0,1,5 --recipe quick --max-steps 7000 "$@"
