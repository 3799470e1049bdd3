#!/usr/bin/env bash
# Ranks: 1. Each option at the ends of what it takes, with a prompt of many parts: the text is the big model's own
# (--check), or the line says why not.
#   limits.sh PILOTFISH TINY
set -u
pilotfish=$1 tiny=$2
. "$(dirname "$0")/lib/cli.bash"
"$tiny" big.gguf --ctx 4096 && "$tiny" little.gguf --left-out 2 --ctx 4096 || wrong "no toy models"
python3 -c "print('it was the best of times, it was the worst of times; ' * 6)" > long # two parts
pair=(generate --big big.gguf --little little.gguf --guard off --raw -n 24 -f long --check)
greedy=$("$pilotfish" "${pair[@]}" 2> /dev/null)
[ -n "$greedy" ] || wrong "no text"

# own TEXT OPTION...: the text is this one ('' for any), and big's own.
own() {
    local text=$1
    shift
    run "${pair[@]}" "$@"
    [ "$rc" = 0 ] || wrong "$*: exit $rc"
    grep -q "^check: [0-9]* tokens are " err || wrong "$*: not checked"
    [ -z "$text" ] || [ "$(cat out)" = "$text" ] || wrong "$*: another text"
}

while read -r options; do
    # shellcheck disable=SC2086
    own "$greedy" $options
done << 'END'
--temp 1e-45
--temp 1e-38 --top-p 0.5
--temp 9e-7 --seed 2147483647
--temp 1e-6 --top-k 2147483647
--temp 100 --top-k 1 --seed 0
--temp 1 --top-p 1e-45
--temp 1 --min-p 1
--draft-max 1
--draft-max 64 --draft-ctx 1
--draft-ctx 1048576
--draft-vocab 1
--draft-vocab 2147483647
--fallback 1e-45
--fallback 2147483647
--threads 64
--ctx 1048576
--net-delay 1e-6,drafter=1e-6 --net-rate 1000000
--net-delay 0,drafter=0 --net-jitter 3 --net-rate 1
END
pair=(generate --big big.gguf --guard off --raw -n 24 -f long --check)
own "$greedy" --draft suffix --draft-max 64
pair+=(--little little.gguf)
while read -r options; do
    # shellcheck disable=SC2086
    own "" $options
done << 'END'
--temp 100 --seed 2147483647
--temp 100 --top-k 2147483647 --top-p 1e-3
--temp 1 --min-p 1e-45 --top-p 0.999999
--draft-max 64 --logprobs 20 -o jsonl
--temp 100 --draft-max 64 --logprobs 20 -o jsonl
END

python3 -c "for i in range(300): print('{\"prompt\": \"it was %d\"}' % i)" > many.jsonl
does . generate --big big.gguf --little little.gguf --guard off --raw -n 3 --ctx 32 --parallel 256 \
    --prompts many.jsonl --check
[ "$(wc -l < out)" -ge 300 ] || wrong "not a line a prompt"

refuses 2 "top-p 0 leaves no id" generate --big big.gguf --temp 1 --top-p 0 --raw hi
refuses 2 "ctx" generate --big big.gguf --ctx 2 --raw "it was the best of times"
for over in "temp 101" "temp 1e39" "temp nan" "top-p 1.0001" "min-p -1e-45" "draft-max 65" "draft-max 0" \
    "logprobs 21" "ctx 1048577" "parallel 257" "seed 2147483648" "top-k 2147483648" "threads 1025"; do
    # shellcheck disable=SC2086
    refuses 2 "${over%% *}" generate --big big.gguf --raw --${over} hi
done

verdict
