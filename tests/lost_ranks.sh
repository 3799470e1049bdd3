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

for rank in 0 1 2; do
    LOSE=$rank start 3 "${with_little[@]}"
    soon "rank $rank" is_started $rank
    ends 5 "rank $rank is lost before it starts"
done
for rank in 1 2; do # the 1.5B takes long enough to be caught loading
    start 3 generate --big "$big" --little "$big" -n 8 --raw hello
    soon "rank $rank loads" is_loading $rank
    kill -9 "$(cat pid.$rank)"
    ends 5 "rank $rank is lost while it loads"
done
for rank in 0 1 2 3; do
    start 4 "${with_little[@]}" --tp 2
    soon "text" text_is_there
    kill -9 "$(cat pid.$rank)"
    ends 5 "rank $rank is lost in the middle"
    [ -s out ] || wrong "rank $rank: the text so far is lost"
done
for layout in "--tp 2" "--pp 2"; do
    for rank in 0 1 2; do # shellcheck disable=SC2086 # two words
        start 3 "${endless[@]}" $layout
        soon "text" text_is_there
        kill -9 "$(cat pid.$rank)"
        ends 5 "rank $rank is lost while the leader writes by itself, $layout"
    done
done
for rank in 0 1 2; do
    start 3 "${with_little[@]}" --net-delay 50,drafter=5
    soon "text" text_is_there
    kill -9 "$(cat pid.$rank)"
    ends 5 "rank $rank is lost over an emulated network"
done
for rank in 0 1 2 3; do # the text is of group 1, on rank 2
    start 4 "${with_little[@]}" --groups 2
    soon "text" text_is_there
    kill -9 "$(cat pid.$rank)"
    ends 5 "rank $rank of two groups is lost"
done
start 3 "${endless[@]}" --pp 2
soon "text" text_is_there
kill -SEGV "$(cat pid.2)"
ends 5 "rank 2 of two stages crashes"

# --- people end it ----------------------------------------------------------------------------------------------------

# signalled WHAT MOMENT...: what was started gets the signal at that moment.
signalled() {
    soon "$@"
    kill -"$signal" -- -"$pid"
    ends "$code" "$signal, $1"
}

for signal in INT:130 TERM:143; do
    code=${signal#*:} signal=${signal%:*}
    start 0 "${with_little[@]}"
    signalled "text of one process" text_is_there
    [ -s out ] || wrong "$signal: the text so far is lost"
    start 0 "${with_little[@]}" --net-delay 100
    signalled "text over an emulated network" text_is_there
    start 0 generate --big "$big" -n 8 --raw hello
    signalled "loading in one process" is_loading 0
    start 4 "${with_little[@]}" --tp 2
    signalled "text of four ranks" text_is_there
    [ -s out ] || wrong "$signal: the text so far is lost"
    start 2 generate --big "$big" -n 8 --raw hello
    signalled "loading on rank 1" is_loading 1
done

verdict
