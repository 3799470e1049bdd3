#!/usr/bin/env bash
# Ranks: 4. Those of a job that has nothing to do take less than 3 % of a core each, rank 0 too: MPI has nothing that
# could wake them, so they look for messages again and again, and less often after a while (backoff.h).
#   idle_ranks.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun
. "$(dirname "$0")/lib/cli.bash"
. "$(dirname "$0")/lib/ranks.bash"

SECONDS_IDLE=5 PERCENT=3

ticks() { # of the CPU, that a process has taken
    local of
    read -ra of < "/proc/$1/stat"
    echo $((of[13] + of[14]))
}

# is_idle WHAT
is_idle() {
    local rank process taken before=() most=$((SECONDS_IDLE * $(getconf CLK_TCK) * PERCENT / 100)) processes=()
    sleep 3 # a second of silence, and the end of what the start has left
    for rank in 0 1 2 3; do processes+=("$(process_of $rank)"); done
    for process in "${processes[@]}"; do before+=("$(ticks "$process")"); done
    sleep "$SECONDS_IDLE"
    for rank in 0 1 2 3; do
        n_checks=$((n_checks + 1))
        is_gone "${processes[rank]}" 2> gone && wrong "$1: rank $rank is not there"
        taken=$(($(ticks "${processes[rank]}") - before[rank]))
        [ "$taken" -lt "$most" ] || wrong "$1: rank $rank takes $taken ticks in $SECONDS_IDLE s, not under $most"
    done
}

start 4 serve --big big.gguf --little little.gguf --port 0 --tp 2
soon "the server" grep -q "http://" err
is_idle "a server that nobody asks"
kill -TERM "$pid"
wait "$pid"

mkfifo keys
exec 7<> keys
input=keys start 4 chat --big big.gguf --little little.gguf --pp 2 -n 20
soon "the prompt" test -s pid.3
echo hello >&7
soon "an answer" text_is_there
is_idle "a chat that waits for its user"
kill -INT -- -"$pid"
exec 7>&-
wait "$pid"
verdict
