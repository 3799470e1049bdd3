# Jobs over ranks that are caught in the middle: for tests that source lib/cli.bash, with $pilotfish, $tiny and $mpirun.

# The program as each rank starts it: it leaves its process id, and may be lost at once.
mkdir ranks
cat > ranks/pilotfish << END
#!/usr/bin/env bash
rank=\${OMPI_COMM_WORLD_RANK:-\${PMIX_RANK:-0}}
echo \$\$ > pid.\$rank
[ "\${LOSE:-}" = "\$rank" ] && kill -9 \$\$
exec "$pilotfish" "\$@"
END
chmod +x ranks/pilotfish

"$tiny" big.gguf --ctx 1048576 && "$tiny" little.gguf --left-out 2 --ctx 1048576 || wrong "no toy models"
endless=(generate --big big.gguf --raw --ignore-eos --ctx 1048576 hello)
with_little=(generate --big big.gguf --little little.gguf --guard off --raw --ignore-eos --ctx 1048576 hello)
"$pilotfish" "${endless[@]}" -n 2000 > text 2> err
shared=(ranks big.gguf little.gguf text)

# start N_RANKS ARGUMENT...: in the background, in a process group of its own as a shell gives it; 0 ranks: no launcher.
# Standard input is the file $input, or nothing.
start() {
    local launch=()
    [ "$1" = 0 ] || launch=("$mpirun" -n "$1")
    n_checks=$((n_checks + 1))
    rm -f pid.*
    set -m # or it would be started with SIGINT ignored
    "${launch[@]}" ranks/pilotfish "${@:2}" > out 2> err < "${input:-/dev/null}" &
    pid=$!
    set +m
}

# The process of a rank; pid.0 is the one that stands in for rank 0 (proto/launcher.h).
process_of() {
    local child
    [ "$1" != 0 ] || for child in $(cat "/proc/$pid/task/$pid/children"); do
        [ "$(cat "/proc/$child/comm")" != pilotfish ] || echo "$child"
    done
    [ "$1" = 0 ] || cat "pid.$1"
}

# within SECONDS WHAT COMMAND...: waits until it holds.
within() {
    local file
    for _ in $(seq $(($1 * 100))); do
        "${@:3}" 2> /dev/null && return
        sleep 0.01
    done
    wrong "$2: did not come"
    for file in pid.*; do
        sed -n "s/^State:/    | $file:/p" "/proc/$(cat "$file")/status" 2> /dev/null
    done
    return 1
}

soon() { within 60 "$@"; } # launchers can be slow

is_started() { [ -s "pid.$1" ]; }
text_is_there() { [ "$(stat -c %s out)" -gt 20 ]; }
is_loading() { [ -s "pid.$1" ] && grep -q '\.gguf$' "/proc/$(cat "pid.$1")/maps"; }
is_gone() { ! kill -0 "$1"; }
none_is_left() {
    local file
    for file in pid.*; do
        [ ! -e "/proc/$(cat "$file")" ] || return 1
    done
}

# ends CODE WHAT: what was started does so, without a wait that only a defect can cause, says it in one line (or none
# when people end it), and leaves no process.
ends() {
    within "$patience_s" "$2: the end" is_gone "$pid" || kill -KILL -- -"$pid"
    wait "$pid"
    rc=$?
    [ "$rc" = "$1" ] || wrong "$2: exit $rc, not $1"
    n_lines=$(grep -c '^pilotfish: ' err)
    [ "$n_lines" = 1 ] || { [ "$n_lines" = 0 ] && { [ "$1" = 0 ] || [ "$1" -gt 128 ]; }; } ||
        wrong "$2: $n_lines lines of ours"
    within "$patience_s" "$2: the ranks' end" none_is_left
    [ "$(tail -c 1 out)" != "" ] || truncate -s -1 out # the line's end after a text that was cut short
    cmp -s <(head -c 2000 out) <(head -c "$(stat -c %s out)" text | head -c 2000) || wrong "$2: not the text so far"
}
