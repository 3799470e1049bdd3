#!/usr/bin/env bash
# Ranks: 1, 3 and 4. Over an emulated network the text is the same, bit for bit, and every output says that there was
# one.
#   network.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun
. "$(dirname "$0")/lib/cli.bash"
"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"
pair=(--big big.gguf --little little.gguf)
far=(--net-delay "2.5,drafter=0.5" --net-jitter 2 --net-rate 50)
mark="^emulated network: 2.5 ms each way, 0.5 ms to the drafter, jitter 2 ms, 50 Mbit/s\$"
printf '{"prompt": "%s"}\n' "Once upon" "a time" "there was" > prompts.jsonl
seq 400 > text

# --- the same text ----------------------------------------------------------------------------------------------------

does . generate "${pair[@]}" --raw --guard off -n 40 hello
cp out plain

same() {
    does . generate "${pair[@]}" --raw --guard off -n 40 --check "$@" hello
    cmp -s out plain || wrong "$*: not the text without a network"
    grep -q "$mark" err || wrong "$*: the closing lines do not say it"
    grep -q "^check: 40 tokens are the big model's own" err || wrong "$*: not checked"
}
same "${far[@]}"
same "${far[@]}" --pp 2
over 3 same "${far[@]}"
over 4 same "${far[@]}" --tp 2

# A wait is the network's: drafts of one take eight rounds at least, 5 ms for each.
does '"network_s": 0\.\(0[3-9]\|[1-9]\)\|"network_s": [1-9]' generate "${pair[@]}" --raw --guard off --draft-max 1 \
    -n 16 -o jsonl --net-delay 2.5 hello

# --- what is wrong reaches the command line over a far link -----------------------------------------------------------

over 3 refuses 2 "must be from 0 to 10000" generate "${pair[@]}" --net-delay 10001 hello
over 4 refuses 4 "4 ranks, but" generate "${pair[@]}" --net-delay 10000 hello
printf 'big = big.gguf\nnet-delay = 3\nnet-rate = 8\n' > far.ini
does . generate --config far.ini --raw -n 4 hello
grep -q "^emulated network: 3 ms each way, 8 Mbit/s\$" err || wrong "the file's network is not the line's"

# --- every output says it ---------------------------------------------------------------------------------------------

# marks NUMBER COMMAND...: so many times in the text, in the lines of JSON; without a network never.
marks() {
    local in_text=$1 in_json=$2
    shift 2
    does . "$@" "${far[@]}"
    cat out err > both
    [ "$(grep -c "$mark" both)" = "$in_text" ] || wrong "$*: not marked $in_text times"
    does . "$@" "${far[@]}" -o jsonl
    [ "$(grep -o '"network": {"delay_ms": 2.5, "jitter_ms": 2.0, "mbit_per_s": 50.0, "drafter_delay_ms": 0.5}' out |
        wc -l)" = "$in_json" ] || wrong "$*: not marked $in_json times in JSON"
    for format in text jsonl; do
        does . "$@" -o "$format"
        ! grep -q 'emulated\|"network"' out err || wrong "$*: marked without a network"
    done
}
marks 1 3 generate "${pair[@]}" --raw -n 8 --prompts prompts.jsonl
marks 1 3 generate "${pair[@]}" --raw -n 8 --prompts prompts.jsonl --stats
marks 1 6 bench pair "${pair[@]}" --raw -n 8 --prompts prompts.jsonl
marks 1 1 eval compare "${pair[@]}" --raw -n 8 --prompts prompts.jsonl
marks 1 1 eval perplexity --big big.gguf --window 64 text
printf 'skip:1\n' > plans
marks 1 2 eval pareto --big big.gguf --plans plans --window 64 text
marks 1 2 plan search --big big.gguf --remove 1 --window 64 text
does '^bytes,' eval pareto --big big.gguf --plans plans --window 64 "${far[@]}" -o csv text
grep -q "$mark" err || wrong "eval pareto -o csv: not marked"
printf 'one\ntwo\n' > said
input=said marks 2 2 chat "${pair[@]}" --template chatml -n 4

verdict
