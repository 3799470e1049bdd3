#!/usr/bin/env bash
# Ranks: 1. One allocation fails, or no file can be opened any more: soon the program says so in one line with the code
# of memory (4) or of a failure, or it did not matter and all of the text is there.
#   allocations.sh PILOTFISH TINY LIBRARY [all]      without all: a sample of them
set -u
patience=20 # seconds: nothing here waits, but a busy machine is slow
pilotfish=$1 tiny=$2 library=$3 all=${4:-}
. "$(dirname "$0")/lib/cli.bash"
"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"

# A line of JSON without its times. What is known of a template may be said in another way where it was not recognized.
without_times() { sed 's/"stats": .*//; /^  template /d' "$1"; }

# try WHAT COMMAND...: it ends as it should.
try() {
    local what=$1
    shift
    n_checks=$((n_checks + 1))
    timeout -s KILL "$patience" "$@" > out 2> err < /dev/null
    local rc=$?
    case $rc in
    0) [ "$(without_times out)" = "$right" ] || wrong "$what: exit 0 and another text" ;;
    1 | 2 | 3 | 4) [ "$(grep -c '^pilotfish: ' err)" = 1 ] || wrong "$what: exit $rc, not one line" ;;
    127) grep -q "loading shared libraries" err || wrong "$what: exit $rc" ;; # the system's own loader
    *) wrong "$what: exit $rc" ;;
    esac
}

# sweep STEP ARGUMENT...: every STEP-th allocation fails, or each.
sweep() {
    local step=$1 n i
    shift
    [ "$all" = all ] && step=1
    FAIL_ALLOC=0 FAIL_ALLOC_COUNT=count LD_PRELOAD=$library "$pilotfish" "$@" > out 2> err || wrong "$*: exit $?"
    right=$(without_times out)
    n=$(cat count)
    [ "$n" -gt 50 ] || wrong "$*: $n allocations"
    for ((i = 1 + RANDOM % step; i <= n; i += step)); do
        try "$*, allocation $i" env FAIL_ALLOC="$i" LD_PRELOAD="$library" "$pilotfish" "$@"
    done
}

RANDOM=7
sweep 47 generate --big big.gguf --little little.gguf --guard off --raw -n 6 hello
sweep 43 generate --big big.gguf --raw -n 6 -o jsonl --logprobs 2 hello
sweep 61 inspect big.gguf
sweep 13 tokenize --model big.gguf big.gguf

right=$("$pilotfish" generate --big big.gguf --raw -n 6 hello 2> err)
for n in 4 5 6 8 10 12 16 24; do
    try "$n files at most" bash -c "ulimit -n $n; exec '$pilotfish' generate --big big.gguf --raw -n 6 hello"
done

verdict
