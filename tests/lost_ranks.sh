#!/usr/bin/env bash
# Ranks: 1 to 4. A rank is lost before it starts, while it loads, in the middle of the text; Ctrl-C and SIGTERM at the
# same moments. One line, the documented exit code, the text so far kept, and soon not one process left.
#   lost_ranks.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun
big=${PILOTFISH_MODELS:-models}/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf
case $big in /*) ;; *) big=$PWD/$big ;; esac
. "$(dirname "$0")/lib/cli.bash"
. "$(dirname "$0")/lib/ranks.bash"
[ -r "$big" ] || { echo "$big is not there: run scripts/fetch-model qwen2.5-coder"; exit 1; }

# --- a rank is lost ---------------------------------------------------------------------------------------------------

before_it_starts() {
    LOSE=$1 start 3 "${with_little[@]}"
    soon "rank $1" is_started "$1"
    ends 5 "rank $1 is lost before it starts"
}

while_it_loads() { # the 1.5B takes long enough to be caught loading
    start 3 generate --big "$big" --little "$big" -n 8 --raw hello
    soon "rank $1 loads" is_loading "$1"
    kill -9 "$(cat "pid.$1")"
    ends 5 "rank $1 is lost while it loads"
}

# A worker, by its role and host.
is_named() {
    [ "$1" = 0 ] || grep -q "^pilotfish: the \(verifier\|drafter\) on host .* (rank $1[,)]" err ||
        wrong "rank $1 is lost ${*:2}: it is not named"
}

# in_the_middle RANK N_RANKS OPTION...
in_the_middle() {
    start "$2" "${with_little[@]}" "${@:3}"
    soon "text" text_is_there
    kill -9 "$(cat "pid.$1")"
    ends 5 "rank $1 is lost in the middle, ${*:3}"
    [ -s out ] || wrong "rank $1, ${*:3}: the text so far is lost"
    is_named "$1" "in the middle, ${*:3}"
}

while_the_leader_writes_by_itself() {
    start 3 "${endless[@]}" "${@:2}"
    soon "text" text_is_there
    kill -9 "$(cat "pid.$1")"
    ends 5 "rank $1 is lost while the leader writes by itself, ${*:2}"
    is_named "$1" "while the leader writes by itself, ${*:2}"
}

it_crashes() {
    start 3 "${endless[@]}" --pp 2
    soon "text" text_is_there
    kill -SEGV "$(cat pid.2)"
    ends 5 "rank 2 of two stages crashes"
}

# --- people end it ----------------------------------------------------------------------------------------------------

# signalled SIGNAL WHAT MOMENT...: what was started gets the signal at that moment.
signalled() {
    local signal=$1
    soon "${@:2}"
    kill -"$signal" -- -"$pid"
    case $signal in INT) ends 130 "$signal, $2" ;; TERM) ends 143 "$signal, $2" ;; esac
}

# people_end SIGNAL N_RANKS OPTION...: 0 ranks are one process.
people_end() {
    start "$2" "${with_little[@]}" "${@:3}"
    signalled "$1" "text, $2 ranks, ${*:3}" text_is_there
    [ -s out ] || wrong "$1, $2 ranks: the text so far is lost"
}

people_end_loading() {
    start "$2" generate --big "$big" -n 8 --raw hello
    signalled "$1" "loading, $2 ranks" is_loading "$3"
}

cases=(it_crashes "while_it_loads 1" "while_it_loads 2")
for rank in 0 1 2; do
    cases+=("before_it_starts $rank" "in_the_middle $rank 3 --net-delay 50,drafter=5")
    for layout in "--tp 2" "--pp 2"; do cases+=("while_the_leader_writes_by_itself $rank $layout"); done
done
for rank in 0 1 2 3; do # of two groups the text is on rank 2
    cases+=("in_the_middle $rank 4 --tp 2" "in_the_middle $rank 4 --groups 2")
done
for signal in INT TERM; do
    cases+=("people_end $signal 0" "people_end $signal 0 --net-delay 100" "people_end $signal 4 --tp 2"
        "people_end_loading $signal 0 0" "people_end_loading $signal 2 1")
done
beside 2 "${cases[@]}"
verdict
