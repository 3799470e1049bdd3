#!/usr/bin/env bash
# Several machines over ssh, listed in a hostfile: ./hosts, or the file that HOSTS names (hosts.example is one).
#
#   PILOTFISH_BIG=B.gguf PILOTFISH_LITTLE=L.gguf PILOTFISH_TP=2 PILOTFISH_PP=2 deploy/run-hosts.sh generate "Hello"
#
# Every machine needs the same program and models at the same paths, its MPI of the same version, and ssh without a
# password from the first. The number of ranks follows from PILOTFISH_GROUPS, PILOTFISH_TP, PILOTFISH_PP,
# PILOTFISH_LITTLE, PILOTFISH_DRAFT and PILOTFISH_DRAFTERS; other options may be arguments. Each shard uses the cores of
# its machine: with several on one, PILOTFISH_THREADS says how many each takes. `deploy/run-hosts.sh doctor` shows every
# rank and how it is reached.
set -u
case ${1:-} in '' | -h | --help) sed -n '2,/^set/{ s/^# \{0,1\}//p }' "$0" && exit ;; esac
here=$(cd "$(dirname "$0")" && pwd)
mpirun=$here/../scripts/mpirun
[ -x "$mpirun" ] || mpirun=pilotfish-mpirun # where this is installed
hosts=${HOSTS:-hosts}
if [ ! -r "$hosts" ]; then
    echo "run-hosts.sh: $hosts: no such hostfile; HOSTS names another, and $here/hosts.example shows one" >&2
    exit 2
fi

shards=$((${PILOTFISH_GROUPS:-1} * ${PILOTFISH_TP:-1} * ${PILOTFISH_PP:-1})) drafters=0
case ${PILOTFISH_DRAFT:-${PILOTFISH_LITTLE:+little}} in little) drafters=${PILOTFISH_DRAFTERS:-1} ;; esac
exec "$mpirun" -n $((1 + drafters + shards)) --hostfile "$hosts" pilotfish "$@"
