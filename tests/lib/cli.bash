# What tests of the program as people call it share (sourced; set `pilotfish` and `mpirun` before). Works in a folder of
# its own that goes when the test ends; the last call's output stays in the files out and err.
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder" || exit 1
exec < /dev/null # what is piped in would be a part of the prompt
n_checks=0 n_wrong=0 ranks=()
# No end takes longer: 5 s on a quiet machine, which the long forms of netns and stopped hold it to.
patience_s=${PATIENCE_S:-20}

wrong() {
    n_wrong=$((n_wrong + 1))
    echo "WRONG: $1"
    cut -c1-200 out err 2> /dev/null | sed 's/^/    | /' | head -20
}

# The program in one process, or over the ranks that `over` asked for.
run() {
    n_checks=$((n_checks + 1))
    timeout 120 "${ranks[@]}" "$pilotfish" "$@" > out 2> err < "${input:-/dev/null}"
    rc=$?
}

# over N CHECK...: the same check, launched over N ranks.
over() {
    ranks=("$mpirun" -n "$1")
    "${@:2}"
    ranks=()
}

# refuses CODE PATTERN ARGUMENT...: nothing on standard output, one line of ours that has the pattern on standard error.
refuses() {
    local code=$1 pattern=$2
    shift 2
    run "$@"
    [ "$rc" = "$code" ] || wrong "$*: exit $rc, not $code"
    [ -s out ] && wrong "$*: wrote to standard output"
    [ "$(grep -c '^pilotfish: ' err)" = 1 ] || wrong "$*: not one line"
    [ ${#ranks[@]} != 0 ] || [ "$(wc -l < err)" = 1 ] || wrong "$*: more than the one line"
    grep -q -- "^pilotfish: .*$pattern" err || wrong "$*: does not say '$pattern'"
}

# does PATTERN ARGUMENT...: exit 0 and the pattern on standard output.
does() {
    local pattern=$1
    shift
    run "$@"
    [ "$rc" = 0 ] || wrong "$*: exit $rc"
    grep -q -- "$pattern" out || wrong "$*: does not print '$pattern'"
}

# beside N CASE...: each case, a function and its arguments in one string, N at a time and each in a folder of its own,
# which has links to the files `shared` of this one.
shared=()
beside() {
    local n=$1 case n_started=0 i checks_there wrong_there
    for case in "${@:2}"; do
        [ "$n_started" -lt "$n" ] || wait -n
        n_started=$((n_started + 1))
        # shellcheck disable=SC2086 # several words
        in_folder "case-$n_started" $case &
    done
    wait
    for i in $(seq "$n_started"); do
        checks_there=0 wrong_there=0
        read -r checks_there wrong_there < "case-$i/counts" || wrong "${*:i + 1:1}: did not end"
        n_checks=$((n_checks + checks_there)) n_wrong=$((n_wrong + wrong_there))
    done
    rm -rf case-*
}
in_folder() {
    local file
    mkdir "$1" && cd "$1" || exit
    for file in "${shared[@]}"; do ln -s "../$file" .; done
    n_checks=0 n_wrong=0
    "${@:2}"
    echo "$n_checks $n_wrong" > counts
}

# The test's last line.
verdict() {
    echo "$n_checks calls, $n_wrong wrong"
    [ "$n_wrong" = 0 ]
}
