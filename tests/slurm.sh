#!/usr/bin/env bash
# Ranks: 3 and 6. deploy/slurm with a real Slurm: munged, slurmctld and two slurmd of this test, on ports of 127.0.0.1,
# are started, run the recipes on toy models, and are stopped. Needs root, and counts as skipped (77) without.
# With --long the heterogeneous job too, which Slurm at times leaves pending for minutes on so busy a machine.
#   slurm.sh PILOTFISH TINY SOURCE [--long]
set -u
pilotfish=$1 tiny=$2 source=$3 n_wrong=0
[ "$(id -u)" = 0 ] || exit 77
folder=$(mktemp -d -p /var/tmp) # each node has /tmp and /dev/shm of its own
host=$(hostname -s)
daemons=()
export OMPI_MCA_btl_tcp_if_include=lo # between the two nodes
export PATH=$folder/bin:$PATH:/usr/sbin SLURM_CONF=$folder/slurm.conf

finish() {
    scancel --full --user=root 2> /dev/null
    { kill -KILL "${daemons[@]}" && wait; } 2> /dev/null # what they would save goes too
    rm -rf "$folder"
}
trap finish EXIT
chmod 755 "$folder"
cd "$folder" || exit 1

wrong() {
    n_wrong=$((n_wrong + 1))
    echo "WRONG: $1"
}

# until_true WHAT COMMAND...: within 20 s.
until_true() {
    for _ in {1..200}; do
        "${@:2}" > /dev/null 2>&1 && return
        sleep 0.1
    done
    echo "$1 does not come up"
    tail -n 20 ./*.log
    exit 1
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# --- a cluster of two nodes, both this machine -----------------------------------------------------------------------

mkdir -m 755 bin no_pmix munge spool spool/small spool/large state tmp tmp/small tmp/large
head -c 1024 /dev/urandom > munge.key && chmod 400 munge.key
cat > slurm.conf << END_OF_CONF
ClusterName=pilotfish
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port)
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_min_interval=1000
ReturnToService=2
MpiDefault=none
NodeName=small NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=16 State=UNKNOWN
NodeName=large NodeHostname=$host NodeAddr=127.0.0.1 Port=$(free_port) CPUs=64 State=UNKNOWN
PartitionName=all Nodes=small,large Default=YES State=UP
END_OF_CONF
touch cgroup.conf
munged -F --force --key-file=munge.key --socket=munge/socket --pid-file=munge/pid --seed-file=munge/seed \
    --log-file=munge/log 2> munged.log &
daemons+=($!)
until_true munged munge -n -S munge/socket
slurmctld -D > slurmctld.log 2>&1 &
daemons+=($!)
for node in small large; do
    unshare --mount --pid --fork --kill-child --mount-proc sh -c "mount --bind tmp/$node /tmp &&
        mount -t tmpfs shm /dev/shm && exec slurmd -D -N $node" > $node.log 2>&1 &
    daemons+=($!)
done
is_idle() { [ "$(sinfo -h -o '%T %D')" = 'idle 2' ]; }
until_true slurm is_idle

# --- the recipes ------------------------------------------------------------------------------------------------------

cp "$pilotfish" "$(dirname "$pilotfish")/installed/pilotfish-mpirun" bin
{ "$tiny" big.gguf && "$tiny" little.gguf --left-out 2; } || exit 1
command=(generate --big big.gguf --little little.gguf --raw -n 24 "Once upon a time")
pilotfish "${command[@]}" > alone 2> err || wrong "alone: $(cat err)"

# job CODE SBATCH_ARGUMENT...: all its parts end with the code within 60 s; what it writes is in `out` and `err`.
job() {
    local id state='' over='JobState=(COMPLETED|FAILED|CANCELLED|TIMEOUT|NODE_FAIL) '
    id=$(sbatch --parsable --output=out --error=err "${@:2}" < /dev/null 2> sbatch.log) ||
        wrong "sbatch: $(cat sbatch.log)"
    for _ in {1..300}; do
        state=$(scontrol --oneliner show job "$id" 2> /dev/null)
        [ -n "$state" ] && ! grep -qvE "$over" <<< "$state" && break
        sleep 0.2
    done
    grep -vE "$over" <<< "$state" && wrong "${*:2}: does not end: $(tail -n 5 ./*.log)"
    grep -v " ExitCode=$1:0 " <<< "$state" && wrong "${*:2}: not exit $1: $(cat err)"
}
# gives_text SBATCH_ARGUMENT...: the text of one process.
gives_text() {
    job 0 "$@"
    cmp -s out alone || wrong "$*: another text: $(cat out err)"
}

recipes=$source/deploy/slurm
gives_text "$recipes/job.sbatch" "${command[@]}" --tp 2 --pp 2
printf '#!/bin/sh\n[ "$1" = --mpi=list ] || exec %s "$@"\necho none\n' "$(command -v srun)" > no_pmix/srun
chmod +x no_pmix/srun
PATH=$folder/no_pmix:$PATH gives_text --nodelist=large "$recipes/job.sbatch" "${command[@]}" --tp 2 --pp 2
hetero() {
    # Each part on the nodes that it is for, as a site would say it.
    sed 's/^#SBATCH --nodes=1$/#SBATCH --nodelist=small/; s/^#SBATCH hetjob$/&\n#SBATCH --nodelist=large/' \
        "$recipes/job-hetero.sbatch" > hetero.sbatch
    [ "$(grep -c nodelist hetero.sbatch)" = 2 ] || wrong "job-hetero.sbatch has no place for nodes"
    until_true "an idle Slurm" is_idle
    gives_text hetero.sbatch "${command[@]}" --tp 2 --pp 2
}
[ "${4:-}" != --long ] || hetero
gives_text --wrap "$(printf '%q ' pilotfish "${command[@]}")" # one process, without srun

# serves: the recipe's second line; a client gets an answer, and scancel ends it.
serves() {
    local port id
    port=$(free_port)
    id=$(sbatch --parsable --ntasks=4 --output=out --error=err "$recipes/job.sbatch" serve --big big.gguf \
        --little little.gguf --tp 2 --port "$port" < /dev/null) || wrong "sbatch serve"
    until_true "serve under Slurm" curl -sf "http://127.0.0.1:$port/health"
    curl -sf "http://127.0.0.1:$port/v1/completions" -d '{"prompt": "Once upon a time", "max_tokens": 24}' > answer
    python3 - << 'END' || wrong "serve: another text: $(cat answer err)"
import json, sys
text = json.load(open("answer"))["choices"][0]["text"]
sys.exit(text.strip() != open("alone", errors="replace").read().strip())
END
    scancel "$id"
    until_true "the end of serve" is_idle
}
serves
job 4 --ntasks=3 "$recipes/job.sbatch" "${command[@]}" --tp 2
grep -q 'takes 4: ' err || wrong "a wrong number of tasks: $(cat err)"
echo "$n_wrong wrong"
[ "$n_wrong" = 0 ]
