#!/usr/bin/env bash
# scripts/mpirun with launchers of ours in place of Open MPI's: what it adds, and what it makes of what they return.
#   mpirun.sh SCRIPTS_FOLDER
set -u
mpirun=$1/mpirun
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
n_wrong=0

wrong() {
    n_wrong=$((n_wrong + 1))
    echo "WRONG: $1"
    sed 's/^/    | /' out err 2> /dev/null
}

# launcher VERSION_LINE: does what SCRIPT says, after writing down its arguments and what ranks would see.
launcher() {
    {
        echo '#!/usr/bin/env bash'
        echo "[ \"\$1\" = --version ] && { echo '$1'; exit; }"
        echo 'echo "$*" > args; env | grep -E "^(PILOTFISH|OMPI)_" > environment; eval "$SCRIPT"'
    } > launcher
    chmod +x launcher
}

launch() { SCRIPT=$1 PILOTFISH_MPIRUN=./launcher "$mpirun" "${@:2}" > out 2> err < /dev/null; }

# gives CODE N_LINES SCRIPT: exit code, and lines of ours on standard error.
gives() {
    launch "$3" -n 3 ./pilotfish generate
    local rc=$?
    [ "$rc" = "$1" ] || wrong "$3: exit $rc, not $1"
    [ "$(grep -c '^pilotfish: ' err)" = "$2" ] || wrong "$3: not $2 lines of ours"
}

printf '#!/bin/sh\n' > pilotfish
chmod +x pilotfish

# --- exit codes -------------------------------------------------------------------------------------------------------

launcher 'mpirun (Open MPI) 4.1.4'
gives 0 0 'true'
gives 3 1 'echo "pilotfish: no model" >&2; exit 3'
gives 6 1 'echo "pilotfish: differs" >&2; exit 6'
gives 5 1 'exit 137'
gives 5 1 'exit 139'
gives 5 1 'echo "pilotfish: rank 2 is gone" >&2; exit 137'
gives 5 1 'echo "pilotfish: rank 2 is gone" >&2; exit 5'
gives 1 1 'echo "not enough slots" >&2; exit 1'
gives 1 1 'exit 213'
grep -q 'gave up (exit 213)' err || wrong "the launcher's own failure is not told"
gives 5 1 'kill -9 $$'
gives 5 1 'printf "302.0 token/s, " >&2; exit 137'
gives 1 1 'printf "not enough" >&2; exit 1'
edge=$(printf -- '-%.0s' {1..74})
gives 1 1 "printf '[h:1] ORTE_ERROR_LOG: noise\n$edge\nthe cause\n$edge\n[h:2] *** noise\n' >&2; exit 1"
grep -q 'exit 1): the cause$' err || wrong "noise in place of the cause"
gives 0 0 'echo "mpirun: Forwarding signal 18 to job" >&2'
[ -s err ] && wrong "what the launcher does with Ctrl-Z is told"
gives 0 0 'echo "[host1:00004] plm:rsh: Warning: setpgid(9,9) failed in parent with errno=Permission denied(13)" >&2'
[ -s err ] && wrong "that ssh was faster than the launcher is told"
(ulimit -n 40 && launch true -n 3 ./pilotfish)
rc=$?
{ [ $rc = 4 ] && grep -q '^pilotfish: only 40 files' err; } || wrong "40 files: exit $rc, not 4"

# --- standard output and error stay apart, and whole ------------------------------------------------------------------

launch 'echo pilotfish-elsewhere >&2; printf "text without an end"; printf "note" >&2; exit 2' -n 2 ./pilotfish
[ "$(cat out)" = "text without an end" ] || wrong "standard output is not the ranks'"
[ "$(head -c 4 err)" = note ] || wrong "standard error is not the ranks'"

# --- what is added ----------------------------------------------------------------------------------------------------

launch true -n 10000 ./pilotfish generate -n 2
grep -q '^--bind-to none --oversubscribe ' args ||
    wrong "4, more ranks than cores: $(cat args)"
grep -q ' -n 10000 ./pilotfish generate -n 2$' args || wrong "the arguments are not passed on: $(cat args)"
launch true -n 1 ./pilotfish generate -n 10000
grep -q oversubscribe args && wrong "a number behind the program is not the ranks'"
launch true -n 1 ./pilotfish generate : -n 9999 ./pilotfish worker : -n 1 ./pilotfish worker
{ grep -q oversubscribe args && [ "$(grep -o -- '-x PILOTFISH_TTY' args | wc -l)" = 3 ] &&
    grep -q ' generate : .* -n 9999 ./pilotfish worker : .* -n 1 ./pilotfish worker$' args; } ||
    wrong "several programs: $(cat args)"
launch true -n 10000 --map-by slot:NOOVERSUBSCRIBE ./pilotfish
grep -q -- '--oversubscribe' args && wrong "more ranks than slots where the caller wants no more"
launch true --host a,b -n 10000 ./pilotfish
grep -q oversubscribe args && wrong "other hosts' slots are not ours to judge"
NETNS_RUN=/tmp launch true -n 10000 ./pilotfish
grep -q oversubscribe args && wrong "the slots of hosts that netns made are not ours to judge"
grep -q '^PILOTFISH_TTY=0$' environment || wrong "a file is no terminal"
grep -q '^OMPI_MCA_mpi_yield_when_idle=1$' environment || wrong "idle ranks do not yield"
launcher 'mpirun (Open MPI) 5.0.11'
launch true -n 10000 ./pilotfish
grep -q '^--bind-to none --map-by :OVERSUBSCRIBE ' args || wrong "5, more ranks than cores: $(cat args)"

# --- Ctrl-C -----------------------------------------------------------------------------------------------------------

launcher 'mpirun (Open MPI) 4.1.4'
mkfifo ready

# interrupt SIGNAL SCRIPT: a launcher that does SCRIPT gets the signal once it has written to `ready`.
interrupt() {
    set -m # or bash would start it with SIGINT ignored
    SCRIPT=$2 PILOTFISH_MPIRUN=./launcher "$mpirun" -n 2 ./pilotfish > out 2> err < /dev/null &
    local pid=$!
    set +m
    read -r _ < ready
    kill -"$1" "$pid" 2> /dev/null
    wait "$pid"
}

interrupt INT 'trap "echo kept; kill %1; exit 1" INT; echo go > ready; sleep 60 2> err.sleep > out.sleep & wait'
rc=$?
[ "$rc" = 130 ] || wrong "Ctrl-C: exit $rc, not 130"
[ "$(cat out)" = kept ] || wrong "Ctrl-C: the text so far is lost"

interrupt TERM 'trap "" TERM; trap "exit 1" INT; echo go > ready; while :; do sleep 0.1; done'
rc=$?
[ "$rc" = 143 ] || wrong "a launcher that must be told twice: exit $rc, not 143"

interrupt INT 'trap "" INT TERM; sleep 60 & echo $! > rank; echo go > ready; while :; do wait; done'
rc=$?
[ "$rc" = 130 ] || wrong "a launcher that hangs: exit $rc, not 130"
for _ in {1..100}; do
    kill -0 "$(cat rank)" 2> /dev/null || break
    sleep 0.02
done
kill -0 "$(cat rank)" 2> /dev/null && wrong "a launcher that hangs leaves a rank"
[ -s err ] && wrong "a launcher that hangs: something is told of it"

# --- options with values, none of which is the program ----------------------------------------------------------------

# takes PATTERN ARGUMENT...: the launcher gets what the pattern says.
takes() {
    launch true "${@:2}"
    grep -q -- "$1" args || wrong "${*:2}: $(cat args)"
}
mkdir x y && cp pilotfish x && cp pilotfish y
many=--oversubscribe.*
takes "$many --n 10000 ./pilotfish generate$" --n 10000 ./pilotfish generate
takes "$many --np 10000 ./pilotfish$" --np 10000 ./pilotfish
takes "$many -c 6000 x/pilotfish .* -np 6000 y/pilotfish$" -c 6000 x/pilotfish : -np 6000 y/pilotfish
mkdir -p tree/scripts tree/build && cp "$mpirun" tree/scripts && mpirun=tree/scripts/mpirun # nothing is built there yet
PATH=$PWD/y:$PATH takes " -n 2 --wdir x/pilotfish .*y/pilotfish generate$" -n 2 --wdir x/pilotfish pilotfish generate
cp pilotfish tree/build
PATH=$PWD/y:$PATH takes " -n 2 .*tree/build/pilotfish generate$" -n 2 pilotfish generate # and not an installed one
mpirun=$1/mpirun
takes " -H pilotfish -n 2 ./pilotfish$" -H pilotfish -n 2 ./pilotfish
takes " --mca a pilotfish -n 2 ./pilotfish$" --mca a pilotfish -n 2 ./pilotfish
takes " -x pilotfish -n 2 strace -f ./pilotfish -n 10000$" -x pilotfish -n 2 strace -f ./pilotfish -n 10000
grep -q oversubscribe args && wrong "a number behind the program counts"
takes " --app file$" --app file
{ "$mpirun" --help > out && grep -q scripts/mpirun out; } || wrong "--help"

# --- what cannot be launched ------------------------------------------------------------------------------------------

"$mpirun" -n 2 > out 2> err
[ $? = 2 ] || wrong "no program: exit code"
PILOTFISH_MPIRUN=./no_launcher "$mpirun" -n 2 ./pilotfish > out 2> err
[ $? = 2 ] || wrong "no launcher: exit code"

echo "$n_wrong wrong"
[ "$n_wrong" = 0 ]
