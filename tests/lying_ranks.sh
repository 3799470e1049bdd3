#!/usr/bin/env bash
# Ranks: 2. A rank lies to the program as people launch it: one line, the documented exit code, and nobody waits for a
# minute. test_liars has every field, in one process.
#   lying_ranks.sh PILOTFISH TINY LIAR SCRIPTS
set -u
pilotfish=$1 tiny=$2 liar=$3 mpirun=$4/mpirun
. "$(dirname "$0")/lib/cli.bash"
"$tiny" big.gguf || wrong "no toy model"
mkdir liars && ln -s "$liar" liars/pilotfish # the launcher's script knows programs by this name

# lies CODE PATTERN MESSAGE FIELD VALUE
lies() {
    n_checks=$((n_checks + 1))
    local seconds=$SECONDS
    timeout 120 "$mpirun" -n 1 "$pilotfish" generate --big big.gguf --raw -n 8 hello : \
        -n 1 liars/pilotfish "${@:3}" big.gguf > out 2> err < /dev/null
    local rc=$?
    [ $rc = "$1" ] || wrong "$*: exit $rc"
    [ "$(grep -c "^pilotfish: .*$2" err)" = 1 ] && [ "$(grep -c '^pilotfish: ' err)" = 1 ] || wrong "$*: not one line"
    [ $((SECONDS - seconds)) -le 30 ] || wrong "$*: took $((SECONDS - seconds)) s"
}

lies 5 "a Hello whose max_rows is 2147483648" Hello max_rows 2
lies 5 "a verdict for slot 0 with an id outside the vocabulary of 700" Verdict next 2
lies 5 "a Verdict whose lp_next is nan" Verdict lp_next 3
lies 5 'a\\nb\\x1b\[31m\\npilotfish: c' Fail code 0

verdict
