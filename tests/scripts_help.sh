#!/usr/bin/env bash
# Each script asked for help prints it and does nothing else.
#   scripts_help.sh SCRIPTS
set -u
scripts=$1 n_wrong=0
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cp -r "$scripts" "$folder/scripts" && cd "$folder" || exit 1

wrong() {
    echo "WRONG: $1"
    n_wrong=$((n_wrong + 1))
}

for script in scripts/* scripts/train/*; do
    [ -f "$script" ] && [ -x "$script" ] || continue
    PILOTFISH_MODELS=$folder/models PILOTFISH_DATA=$folder/data timeout 20 "$script" --help > out 2> err < /dev/null ||
        wrong "$script --help: exit $?"
    [ ! -s err ] || wrong "$script --help writes to standard error: $(head -n 1 err)"
    grep -q "$script\|^usage: ${script##*/}" out || wrong "$script --help does not say how it is called"
done
rm -f out err
[ "$(ls)" = scripts ] || wrong "left behind: $(ls)"

# What scripts/test does not know it refuses before it installs or builds anything: refused SAYS ARGUMENT...
refused() {
    timeout 20 scripts/test "${@:2}" > out 2> err < /dev/null
    local rc=$?
    [ "$rc" = 2 ] || wrong "scripts/test ${*:2}: exit $rc, not 2"
    [ "$(wc -l < err)" = 1 ] && grep -q -- "$1" err || wrong "scripts/test ${*:2}: does not say '$1' in one line"
    [ ! -s out ] || wrong "scripts/test ${*:2}: goes on"
}
refused "no option --lnog: --help" --lnog
refused "no option --verbos" -j 2 --verbos
refused "takes a value" -R
refused "netns is no option: -R netns runs .*, --long NAME one of soak_asan" netns
refused "no long form is called nets: soak_asan" --long netns nets
refused "no option --lnog" --long --lnog
refused "long forms by name take no options" --long netns -j 2
refused "comes first" -j2 --long
rm -f out err
[ "$(ls)" = scripts ] || wrong "scripts/test left behind: $(ls)"

# What takes long passes on what it prints and how it ended; what is quiet prints only where it fails.
. scripts/lib/setup.sh
patiently "a step" false && wrong "a failure of a long step is lost"
[ "$(patiently "a step" echo done 2>&1)" = done ] || wrong "what a long step prints is lost"
[ "$(quietly "a step" echo done 2>&1)" = '' ] || wrong "a quiet step prints"
[ "$(quietly "a step" sh -c 'echo cause; exit 3' 2>&1)" = cause ] || wrong "a quiet step that fails does not say why"
echo "$n_wrong wrong"
[ "$n_wrong" = 0 ]
