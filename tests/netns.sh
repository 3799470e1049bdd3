#!/usr/bin/env bash
# Ranks: 3 and 4. Several hosts of one machine, made by scripts/netns: packets take their time, a job over the hosts
# writes the text of one process, and nothing is left however a run ends. Needs root and a kernel that lets it; where
# there is neither, it looks at refusals only, and counts as skipped (77).
#   netns.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 netns=$3/netns mpirun=$3/mpirun
. "$(dirname "$0")/lib/cli.bash"

# --- who may ----------------------------------------------------------------------------------------------------------

# ends CODE PATTERN COMMAND...: in time, with the pattern on standard output and error.
ends() {
    n_checks=$((n_checks + 1))
    timeout 100 "${@:3}" > out 2> err
    local code=$?
    [ "$code" = "$1" ] || wrong "${*:3}: exit $code, not $1"
    cat out err | grep -aq -- "$2" || wrong "${*:3}: does not say '$2'"
}

nobody=()
if [ "$(id -u)" = 0 ]; then
    cp "$netns" as-nobody && chmod 755 . as-nobody
    nobody=(setpriv --reuid=65534 --clear-groups /usr/bin/python3)
    ends 125 "^netns: .*only root" "${nobody[@]}" "$folder/as-nobody" 2 -- true
else
    ends 125 "^netns: .*only root" "$netns" 2 -- true
fi
[ "$(cat out err | wc -l)" = 1 ] || wrong "a refusal is not one line"
ends 2 "N must be" "$netns" 1 -- true
ends 2 "no command" "$netns" 2

if [ "$(id -u)" != 0 ] || ! "$netns" 2 -- true 2> err; then
    echo "skipped, but for $n_checks calls: there can be no hosts here: $(cat err)"
    exit $((n_wrong ? 1 : 77))
fi

# --- what a command sees ----------------------------------------------------------------------------------------------

ends 7 "^host1\$" "$netns" 2 -- sh -c 'hostname; exit 7'
ends 0 "^host3\$" "$netns" 3 -- sh -c '$NETNS_RUN/on host3 hostname'
ends 143 "^mine\$" "$netns" 2 -- sh -c 'echo mine; kill -TERM $$'
ends 127 "^netns: nothing-of-this-name: no such command" "$netns" 2 -- nothing-of-this-name
ends 126 "^netns: ./err: Permission denied" "$netns" 2 -- ./err

# A connection to a closed port is refused after one round trip: the least of some. A busy machine only adds to it.
cat > round_trip.py << 'END'
import socket, sys, time

def round_trip():
    began = time.monotonic()
    with socket.socket() as s:
        refused = s.connect_ex(("host2", 9))
    assert refused, "a port that nobody has is open"
    return time.monotonic() - began

least_ms = min(round_trip() for _ in range(10)) * 1000
print(f"{least_ms:.2f} ms")
sys.exit(not float(sys.argv[1]) <= least_ms <= float(sys.argv[2]))
END
ends 0 ms "$netns" 2 -d 20000 -- python3 round_trip.py 40 1000
ends 0 ms "$netns" 2 -- python3 round_trip.py 0 40

# What host2 gets comes at the rate: 100 kB of 1 Mbit/s take 800 ms at least.
cat > rate.py << 'END'
import os, socket, subprocess, sys, time

if sys.argv[1:]:
    with socket.create_server(("", 5000)) as listener:
        print("listening", flush=True)
        peer = listener.accept()[0]
        while peer.recv(1 << 16):
            pass
    sys.exit()
far = subprocess.Popen([os.environ["NETNS_RUN"] + "/on", "host2", "python3 rate.py far"], stdout=subprocess.PIPE)
far.stdout.readline()
with socket.create_connection(("host2", 5000)) as s:
    began = time.monotonic()
    s.sendall(bytes(100000))
far.wait()
taken = time.monotonic() - began
print(f"{taken:.2f} s")
sys.exit(not 0.8 <= taken <= 30)
END
ends 0 s "$netns" 2 -r 1000 -- python3 rate.py

# --- a job ------------------------------------------------------------------------------------------------------------

"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"
generate=("$pilotfish" generate --big big.gguf --raw --guard off --ignore-eos --threads 1)
ends 0 . "${generate[@]}" -n 12 hello
cp out alone

# writes WORKERS RANKS ARGUMENT...: over three hosts, the text of one process; worker by worker, who is where.
writes() {
    ends 0 "first token after" "$netns" 3 -d 500 -- "$mpirun" -n "$2" "${generate[@]}" -n 12 --stats "${@:3}" hello
    cmp -s out alone || wrong "${*:3}: another text than one process"
    local where
    where=$(sed -nE 's/^(drafter|verifier) on host (host.): .*/\1:\2/p' err | paste -sd ,)
    [ "$where" = "$1" ] || wrong "${*:3}: the workers are: $where"
    ! grep -q '^\[' err || wrong "${*:3}: Open MPI complains"
}

# What doctor says of a link.
doctor_says() {
    ends 0 "rank 2  *host host3, .* cores, 1 thread; to rank 0: TCP, round trip" \
        "$netns" 3 -d 20000 -- "$mpirun" -n 3 "$pilotfish" doctor --threads 1
    local n_late
    n_late=$(sed -nE 's/.* round trip ([0-9]+)\..* ms.*/\1/p' out | awk '$1 >= 40' | wc -l)
    [ "$n_late" = 2 ] || wrong "doctor: $n_late of 2 links take 40 ms there and back"
}

# Little and big on hosts of their own: the way is long for a token of big's, which writes on while drafts are on theirs
# (spec.h, running ahead). The text is that of big alone.
runs_ahead() {
    ends 0 "first token after" "$netns" 3 -d 20000 -- "$mpirun" -n 3 "${generate[@]}" -n 12 --draft-ahead 32 --stats \
        --little little.gguf hello
    cmp -s out alone || wrong "a drafter far away: another text than big alone"
}

# --- a link is cut ----------------------------------------------------------------------------------------------------

# Cuts $hosts off, or one from another, while $! runs; its exit code is $code. `took`: ms until that is said. `left`:
# what still runs on any host 5 s after the end. On a host that is cut off nobody can end a rank: it does so itself
# after a minute (stopped_ranks.sh).
cat > cut_off.sh << 'END'
echo "cut $hosts" > "$NETNS_RUN/switch"
cut_at=$(date +%s%3N)
until grep -q '^pilotfish: ' err || ! kill -0 $!; do sleep 0.05; done
echo $(($(date +%s%3N) - cut_at)) > took
wait $!
code=$?
: > left
case $hosts in *" "*)
    for k in 1 2 3 4 5 6 7 8 9 10; do
        grep -l '^pilotfish$' /proc/[0-9]*/comm > left 2> no || break
        sleep 0.5
    done
    ;;
esac
END

# Writes on until it ends.
cat > writing.sh << 'END'
hosts=$1
shift
: > text
"$@" > text &
until [ -s text ]; do sleep 0.05; done
. ./cut_off.sh
cat text
exit $code
END

# At an idle prompt, at which nothing more is typed.
cat > idle.sh << 'END'
hosts=$1
shift
mkfifo keys && exec 7<> keys
: > text
"$@" < keys > text &
echo hello >&7
until [ -s text ]; do sleep 0.05; done
sleep 1
. ./cut_off.sh
exit $code
END

# is_cut WHEN HOSTS OPTION...: writing or idle; a host, or two, one from the other. Said in one line, and soon: within
# 5 s on a quiet machine and of the right one at once, as the long form asks (test_heartbeat and test_links have the
# exact times). On one that is too busy a rank beside the link may be silent for too long.
tries=(1 2 3)
[ -z "${PATIENCE_S:-}" ] || tries=(1)
link="hears nothing from the verifier on host host. (rank ., .*: the link between them is lost"
is_cut() {
    local what="$1, $2 is cut, ${*:3}" hosts=${2/,/ } says lost command try
    lost="the verifier on host host. (rank ., .* does not answer: last heard"
    case $2 in
    *,*) says="the verifier on host host. (rank ., .*) $link" ;;
    *) says="the verifier on host $2 (rank $((${2#host} - 1)), .* does not answer: last heard" ;;
    esac
    command=(chat --big big.gguf --guard off -n 8 --threads 1 "${@:3}")
    [ "$1" = idle ] || command=(generate --big long.gguf --raw --ignore-eos --ctx 1048576 --threads 1 "${@:3}" hello)
    for try in "${tries[@]}"; do
        echo 99999 > took
        rm -f keys
        n_checks=$((n_checks + 1))
        timeout 100 "$netns" 3 -- sh "$1.sh" "$hosts" "$mpirun" -n 3 "$pilotfish" "${command[@]}" > out 2> err
        code=$?
        grep -q "$says" err || ! grep -q "$lost" err || continue
        break
    done
    [ "$code" = 5 ] || wrong "$what: exit $code, not 5"
    grep -q "$says" err || wrong "$what: does not say '$says'"
    [ "$(cat took)" -le "${patience_s}000" ] || wrong "$what: said after $(cat took) ms"
    [ "$(grep -c '^pilotfish: ' err)" = 1 ] || wrong "$what: not one line"
    [ ! -s left ] || wrong "$what: still running: $(cat left)"
    [ "$1" != idle ] || return
    local n_bytes
    n_bytes=$(($(stat -c %s out) - 1)) # its last line is ended
    [ "$n_bytes" -lt 300 ] || n_bytes=300
    cmp -s -n "$n_bytes" out long || wrong "$what: not the text so far"
}
"$tiny" long.gguf --ctx 1048576 || wrong "no toy model"
"$pilotfish" generate --big long.gguf --raw --ignore-eos --ctx 1048576 -n 300 hello > long 2> err

shared=(big.gguf little.gguf long.gguf alone long cut_off.sh writing.sh idle.sh)
beside 3 "is_cut writing host2 --tp 2" "is_cut writing host3 --pp 2" "is_cut writing host2,host3 --tp 2" \
    "is_cut writing host2,host3 --pp 2" \
    "is_cut idle host3 --tp 2" "is_cut idle host2,host3 --tp 2" "is_cut idle host2,host3 --pp 2" \
    "writes verifier:host2,verifier:host3 3 --tp 2" \
    "writes drafter:host2,verifier:host3,verifier:host2 4 --little little.gguf --pp 2" doctor_says runs_ahead

# --- nothing is left --------------------------------------------------------------------------------------------------

# gone HOW: the hosts of the command that wrote the file `host`, and all that ran on them.
gone() {
    local space run k
    read -r space run < host
    for ((k = 0; k < 100; k++)); do
        [ "$(readlink /proc/[0-9]*/ns/net | grep -cF "$space")" = 0 ] && break
        sleep 0.05
    done
    [ "$k" -lt 100 ] || wrong "$1: processes are left on the hosts"
    [ "$2" = left ] || [ ! -e "$run" ] || wrong "$1: $run is left"
    [ "$2" = left ] && rm -rf "$run"
    [ "$(ls /sys/class/net)" = "$links" ] || wrong "$1: a network interface is left"
}

# once_there COMMAND...: when the hosts are.
once_there() {
    until [ -s host ]; do sleep 0.05; done
    "$@"
}

links=$(ls /sys/class/net)
stays='sleep 1000 & setsid $NETNS_RUN/on host2 "sleep 1000" & echo $(readlink /proc/self/ns/net) $NETNS_RUN > now
    mv now host; wait'
printf '%s\n' "$stays" > stays

rm -f host
once_there printf '\003' | timeout 120 script -qec "$netns 2 -- sh stays" /dev/null > out 2> err
rc=$?
[ "$rc" = 130 ] || wrong "Ctrl-C: exit $rc"
gone Ctrl-C ''

for signal in TERM:143: HUP:129: KILL:137:left; do
    IFS=: read -r name code left <<< "$signal"
    rm -f host
    "$netns" 2 -- sh stays > out 2> err &
    once_there kill -s "$name" $!
    { wait $!; rc=$?; } 2> /dev/null # bash says what was killed
    [ "$rc" = "$code" ] || wrong "$name: exit $rc, not $code"
    gone "$name" "$left"
done
n_checks=$((n_checks + 4))
ends 0 "^host1\$" "$netns" 2 -- hostname

verdict
