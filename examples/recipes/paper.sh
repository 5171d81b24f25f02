# What the paper's two recipes share (arXiv 2509.12539): batch 32, AdamW, 3 cycles of 10 epochs, 1e-4 to 1e-5, all six
# layers of MiniLM-L6 with mean pooling, the teacher's prompts in the targets. The published mixture was not released;
# these are the sets it names that the hub has. Its generated definitions of English words are left out.
set -euo pipefail
STUDENT=${STUDENT:-sentence-transformers/all-MiniLM-L6-v2}
if [[ -z ${CORPUS:-} ]]; then
    CORPUS="hub:HuggingFaceFW/fineweb?config=sample-10BT&limit=3000000
hub:vblagoje/cc_news?limit=900000
hub:microsoft/ms_marco?config=v2.1&text=query&kind=query&limit=502000
hub:sentence-transformers/amazon-qa?text=query&kind=query&limit=979000
hub:mandarjoshi/trivia_qa?config=rc.nocontext&text=question&kind=query
hub:qiaojin/PubMedQA?config=pqa_artificial&text=question&kind=query"
fi

distil() {
    local options=()
    while IFS= read -r address; do options+=(--corpus "$address"); done <<<"$CORPUS"
    leaf-embed distill --teacher "$TEACHER" --student "$STUDENT" "${options[@]}" --recipe paper \
        --cache "${CACHE:-cache}" --output "$OUT" "$@"
}
