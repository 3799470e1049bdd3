#!/usr/bin/env bash
# Ranks: 1 to 6. The real pair as people launch it: scripts/mpirun gives the ids and log-probabilities of one process,
# bit for bit.
#   real_ranks.sh PILOTFISH SCRIPTS
set -u
pilotfish=$1 mpirun=$2/mpirun models=${PILOTFISH_MODELS:-models}
smollm2=$models/SmolLM2-135M-Instruct.Q4_1.gguf
big=$models/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf little=$models/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
n_launches=0 n_wrong=0

wrong() {
    n_wrong=$((n_wrong + 1))
    echo "WRONG: $1"
    sed 's/^/    | /' "$folder/err" | head -20
}

for model in "$smollm2" "$big" "$little"; do
    [ -r "$model" ] || { echo "$model is not there: run scripts/fetch-model smollm2 qwen2.5-coder"; exit 1; }
done

# Nine digits tell every float apart.
bits() {
    python3 -c 'import json, sys; [print(row["ids"], row["logprobs"]) for row in map(json.loads, sys.stdin)]' < "$1"
}

# alone ARGUMENT...: what the launches that follow must give.
alone() {
    "$pilotfish" generate "$@" -o jsonl > "$folder/out" 2> "$folder/err" || wrong "one process: $*: exit $?"
    bits "$folder/out" > "$folder/want"
    [ -s "$folder/want" ] || wrong "one process: $*: nothing"
}

# programs ARGUMENT...: a whole launch.
programs() {
    n_launches=$((n_launches + 1))
    "$mpirun" "$@" > "$folder/out" 2> "$folder/err" || wrong "$*: exit $?"
    bits "$folder/out" | cmp -s - "$folder/want" || wrong "$*: not the bits of one process"
}

# launch N_RANKS ARGUMENT...: one program over the ranks.
launch() { programs -n "$1" "$pilotfish" generate "${@:2}" -o jsonl; }

story=("-n" 24 "--ignore-eos" "Tell me a story about a fox.")
alone --big "$smollm2" --no-draft --threads 2 "${story[@]}"
launch 4 --big "$smollm2" --draft suffix --tp 3 "${story[@]}"
launch 5 --big "$smollm2" --draft suffix --tp 2 --pp 2 "${story[@]}"
launch 3 --big "$smollm2" --little "$smollm2" --draft-max 8 --guard off "${story[@]}"

merge=("-n" 24 "--guard" off "Write a function that merges two sorted lists")
alone --big "$big" --no-draft --threads 2 "${merge[@]}"
launch 3 --big "$big" --little "$little" "${merge[@]}"
launch 4 --big "$big" --little "$little" --tp 2 --draft-max 8 "${merge[@]}"
launch 6 --big "$big" --little "$little" --tp 2 --pp 2 --threads 1 "${merge[@]}"
# The coordinator has no model's file: vocabulary and chat template come from the workers.
programs -n 1 "$pilotfish" generate --draft little "${merge[@]}" -o jsonl : \
    -n 1 "$pilotfish" worker --role drafter --model "$little" : \
    -n 1 "$pilotfish" worker --role verifier --model "$big"

# The guard lets drafts begin early, also where ranks share cores: in one of three runs at least, for it measures, and
# whatever else this machine does is in its figures.
drafts_early() {
    n_launches=$((n_launches + 1))
    "$mpirun" -n 4 "$pilotfish" generate --big "$big" --little "$little" --tp 2 -n 16 "${merge[@]: -1}" -o jsonl \
        > "$folder/out" 2> "$folder/err" || wrong "--tp 2 with the guard: exit $?"
    grep -q '"origin": [^]]*"draft"' "$folder/out"
}
drafts_early || drafts_early || drafts_early || wrong "--tp 2 with the guard: no draft among the first 16 tokens"

echo "$n_launches launches, $n_wrong wrong"
[ "$n_wrong" = 0 ]
