#!/usr/bin/env bash
# One machine, each role a rank of its own. (Where one process is enough: pilotfish generate.)
#
#   PILOTFISH_BIG=B.gguf PILOTFISH_LITTLE=L.gguf PILOTFISH_TP=2 deploy/run-local.sh generate "Write a haiku"
#
# The number of ranks follows from PILOTFISH_GROUPS, PILOTFISH_TP, PILOTFISH_PP, PILOTFISH_LITTLE, PILOTFISH_DRAFT and
# PILOTFISH_DRAFTERS, which are the program's own settings. Other options may be arguments. Cores are shared out over
# the shards, unless PILOTFISH_THREADS says how many each takes.
set -u
case ${1:-} in '' | -h | --help) sed -n '2,/^set/{ s/^# \{0,1\}//p }' "$0" && exit ;; esac
here=$(cd "$(dirname "$0")" && pwd)
mpirun=$here/../scripts/mpirun
[ -x "$mpirun" ] || mpirun=pilotfish-mpirun # where this is installed

shards=$((${PILOTFISH_GROUPS:-1} * ${PILOTFISH_TP:-1} * ${PILOTFISH_PP:-1})) drafters=0
case ${PILOTFISH_DRAFT:-${PILOTFISH_LITTLE:+little}} in little) drafters=${PILOTFISH_DRAFTERS:-1} ;; esac
threads=$(($(nproc) / shards))
export PILOTFISH_THREADS=${PILOTFISH_THREADS:-$((threads > 0 ? threads : 1))}
exec "$mpirun" -n $((1 + drafters + shards)) pilotfish "$@"
