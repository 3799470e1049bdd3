#!/usr/bin/env bash
# Ranks: 3 and 4. A rank is stopped (SIGSTOP) for a second, which is no loss, and for ever, which is one: named within
# seconds, with the documented exit code, the text so far kept, and soon not one process left.
#   stopped_ranks.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun
. "$(dirname "$0")/lib/cli.bash"
. "$(dirname "$0")/lib/ranks.bash"

grows() {
    local before
    before=$(stat -c %s out)
    within 20 "$1: the text" text_is_longer_than "$before"
}
text_is_longer_than() { [ "$(stat -c %s out)" -gt "$1" ]; }
says() { grep -q -- "$1" err; }

# Nobody is left to say it but the workers, after a minute.
coordinator_is_stopped() {
    start 3 "${endless[@]}" --tp 2
    soon "text" text_is_there
    kill -STOP "$(process_of 0)"
    sleep 50
    [ -e "/proc/$(cat pid.1)" ] || wrong "workers do not wait for a minute"
    within 40 "the workers' end after a minute" is_gone "$pid"
    ends 5 "the coordinator is stopped"
}

# stop_for_a_second PROCESS CHECK...: whether the check holds then. Where it does not, and a busy machine made it
# longer than a second, nothing follows: the caller begins anew.
stopped_us=0
stop_for_a_second() {
    local from=${EPOCHREALTIME//[.,]/}
    kill -STOP "$1"
    sleep 1
    kill -CONT "$1"
    stopped_us=$((${EPOCHREALTIME//[.,]/} - from))
    "${@:2}"
}
may_begin_anew() {
    n_tries=$((n_tries + 1))
    [ $stopped_us -gt 1400000 ] && [ $n_tries -lt 20 ] || return 1
    kill -KILL -- -"$pid"
    wait "$pid"
    true
}

text_grows_and_none_is_lost() {
    local before
    sleep 2
    before=$(stat -c %s out)
    for _ in $(seq 2000); do
        ! is_gone "$pid" 2> /dev/null || return
        ! text_is_longer_than "$before" || break
        sleep 0.01
    done
    text_is_longer_than "$before" && ! says "does not answer"
}

a_second_is_no_loss() {
    local n_tries=0
    while start 4 "${with_little[@]}" --tp 2; do
        soon "text" text_is_there
        stop_for_a_second "$(process_of "$1")" text_grows_and_none_is_lost && break
        may_begin_anew || { wrong "rank $1 was stopped for $stopped_us us: the text does not go on"; break; }
    done
    kill -INT -- -"$pid"
    ends 130 "rank $1 was stopped for a second"
}

# Nor is any time that all are stopped, whoever goes on first.
all_are_stopped() {
    start 4 "${with_little[@]}" --tp 2
    soon "text" text_is_there
    processes=$(for rank in 0 1 2 3; do process_of $rank; done)
    kill -STOP $processes # shellcheck disable=SC2086 # several words
    sleep 7
    for process in $processes; do
        kill -CONT "$process"
        sleep 0.05
    done
    sleep 4
    grows "all go on"
    kill -INT -- -"$pid"
    ends 130 "all were stopped"
}

a_verifier_is_stopped() {
    start 4 "${with_little[@]}" --tp 2
    soon "text" text_is_there
    kill -STOP "$(cat "pid.$1")"
    ends 5 "rank $1 is stopped"
    says "verifier on host .* (rank $1, .*) does not answer: last heard" || wrong "rank $1 is not named"
    [ -s out ] || wrong "rank $1 is stopped: the text so far is lost"
}

# OPTION...: of a network, or none.
the_drafter_is_stopped() {
    start 4 "${with_little[@]}" --tp 2 "$@"
    soon "text" text_is_there
    kill -STOP "$(cat pid.1)"
    within "$patience_s" "a stopped drafter" says "note: the drafter on host .* does not answer.*go on without drafts"
    grows "without drafts"
    kill -CONT "$(cat pid.1)" # too late: it counts no more
    sleep 1
    grows "without drafts"
    kill -INT -- -"$pid"
    ends 130 "the drafter was stopped"
}

the_drafter_is_stopped_until_the_end() {
    start 4 "${with_little[@]}" --tp 2 -n 3000
    soon "text" text_is_there
    kill -STOP "$(cat pid.1)"
    within 300 "the whole text" text_is_longer_than 8300 # of 8393
    ends 0 "the drafter is stopped until the end"
}

is_there_for_long() { sleep 4; ! is_gone "$pid" 2> /dev/null; }

idle_prompt() {
    rm -f keys
    mkfifo keys
    exec 7<> keys
    input=keys start 3 chat --big big.gguf --guard off --ctx 1048576 -n 20 "$@"
    soon "the prompt" test -s pid.2
    echo hello >&7
    soon "an answer" text_is_there
    sleep 1
}

# RANK LAYOUT...: at an idle prompt nobody waits for an answer. A second is no loss there either.
a_verifier_is_stopped_at_an_idle_prompt() {
    local rank=$1 layout="${*:2}" n_tries=0
    while idle_prompt "${@:2}"; do
        stop_for_a_second "$(cat "pid.$rank")" is_there_for_long && break
        may_begin_anew || { wrong "$layout, idle, rank $rank was stopped for $stopped_us us: the end"; break; }
    done
    kill -STOP "$(cat "pid.$rank")"
    within "$patience_s" "$layout, idle, rank $rank is stopped: the end" is_gone "$pid" || kill -KILL -- -"$pid"
    wait "$pid"
    rc=$?
    [ "$rc" = 5 ] || wrong "$layout, idle, rank $rank is stopped: exit $rc, not 5"
    says "verifier on host .* (rank $rank, .*) does not answer: last heard" || wrong "idle: rank $rank is not named"
    within "$patience_s" "$layout, idle, rank $rank is stopped: the ranks' end" none_is_left
}

a_verifier_of_an_idle_server_is_stopped() {
    start 3 serve --big big.gguf --port 0 --tp 2
    soon "the server" says "http://"
    sleep 1
    kill -STOP "$(cat pid.2)"
    ends 5 "a rank of an idle server is stopped"
    says "verifier on host .* (rank 2, .*) does not answer: last heard" || wrong "serve: rank 2 is not named"
}

beside 3 coordinator_is_stopped all_are_stopped the_drafter_is_stopped_until_the_end \
    "the_drafter_is_stopped" "the_drafter_is_stopped --net-delay 40" \
    "a_verifier_is_stopped_at_an_idle_prompt 1 --tp 2" "a_verifier_is_stopped_at_an_idle_prompt 2 --pp 2" \
    a_verifier_of_an_idle_server_is_stopped "a_verifier_is_stopped 2" "a_verifier_is_stopped 3" \
    "a_second_is_no_loss 0" "a_second_is_no_loss 1" "a_second_is_no_loss 2" "a_second_is_no_loss 3"
verdict
