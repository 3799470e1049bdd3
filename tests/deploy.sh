#!/usr/bin/env bash
# Ranks: 3 and 4. deploy/run-local.sh and run-hosts.sh on toy models, and the unit for systemd. The second host is a
# real sshd on a port of 127.0.0.1, with keys of this test and a host name, /tmp and /dev/shm of its own: Open MPI
# reaches it by ssh and TCP, as it would any other. Needs root, and counts as skipped (77) without.
#   deploy.sh PILOTFISH TINY SOURCE
set -u
pilotfish=$1 tiny=$2 source=$3 n_wrong=0
[ "$(id -u)" = 0 ] || exit 77
folder=$(mktemp -d -p /var/tmp)
sshd=''
trap '[ -z "$sshd" ] || { kill -KILL "$sshd" && wait "$sshd"; } 2> /dev/null; rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder" || exit 1

wrong() {
    n_wrong=$((n_wrong + 1))
    echo "WRONG: $1"
}

# unit WORD NEW: what systemd says of the service's file with one word of it changed.
unit() {
    sed "s#/usr/local/bin/pilotfish#$pilotfish#; s/$1/$2/" "$source/deploy/systemd/pilotfish.service" \
        > pilotfish.service
    systemd-analyze verify "$folder/pilotfish.service" 2>&1
}
[ -z "$(unit NoWord NoWord)" ] || wrong "systemd: $(unit NoWord NoWord)"
[ -n "$(unit KillMode=mixed KillMode=mix)" ] || wrong "systemd-analyze finds nothing"

# As it is installed: the recipes, with the program and its script on the PATH.
mkdir bin tmp && cp -r "$source/deploy" . && cp "$pilotfish" "$(dirname "$pilotfish")/installed/pilotfish-mpirun" bin
export PATH=$folder/bin:$PATH PILOTFISH_BIG=$folder/big.gguf PILOTFISH_LITTLE=$folder/little.gguf
{ "$tiny" big.gguf && "$tiny" little.gguf --left-out 2; } || exit 1
prompt=(generate --raw -n 24 "Once upon a time")
pilotfish "${prompt[@]}" > alone 2> err || wrong "alone: $(cat err)"

# gives_text COMMAND...: the text of one process.
gives_text() {
    timeout 120 "$@" "${prompt[@]}" > out 2> err < /dev/null || wrong "$*: exit $?: $(cat err)"
    cmp -s out alone || wrong "$*: another text: $(cat out err)"
}

PILOTFISH_TP=2 gives_text deploy/run-local.sh
PILOTFISH_DRAFT=none PILOTFISH_PP=2 gives_text deploy/run-local.sh
PILOTFISH_GROUPS=2 gives_text deploy/run-local.sh
PILOTFISH_DRAFTERS=2 gives_text deploy/run-local.sh
deploy/run-hosts.sh "${prompt[@]}" 2> err
{ [ $? = 2 ] && grep -q 'hosts: no such hostfile; HOSTS names another' err; } || wrong "no hostfile: $(cat err)"
for script in local hosts; do
    deploy/run-$script.sh --help > out && grep -q "deploy/run-$script.sh generate" out || wrong "run-$script.sh --help"
done

# --- a host behind ssh ------------------------------------------------------------------------------------------------

ssh-keygen -q -t ed25519 -N '' -f key && cp key.pub authorized_keys
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > sshd_config << END_OF_CONFIG
ListenAddress 127.0.0.1
Port $port
HostKey $folder/key
AuthorizedKeysFile $folder/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
END_OF_CONFIG
cat > ssh_config << END_OF_CONFIG
Host node1
    HostName 127.0.0.1
    Port $port
    IdentityFile $folder/key
    IdentitiesOnly yes
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
END_OF_CONFIG
mkdir -p /run/sshd
unshare --uts --mount --pid --fork --kill-child --mount-proc sh -c "hostname node1 && mount --bind tmp /tmp &&
    mount -t tmpfs shm /dev/shm && exec /usr/sbin/sshd -D -e -f $folder/sshd_config" 2> sshd.log &
sshd=$!
for _ in {1..100}; do
    ssh -F ssh_config node1 true 2> /dev/null < /dev/null && break
    sleep 0.1
done

# ssh's own options, and loopback, which Open MPI leaves out where it may choose.
export OMPI_MCA_plm_rsh_args="-F $folder/ssh_config" OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
sed '/^node2/d' deploy/hosts.example > hosts
PILOTFISH_TP=2 gives_text deploy/run-hosts.sh
PILOTFISH_TP=2 timeout 120 deploy/run-hosts.sh doctor > out 2> err < /dev/null
[ "$(grep -c '^ok *rank [23] .*node1' out)" = 2 ] || wrong "doctor does not show two ranks on node1: $(cat out err)"
# Ranks of one host that do not follow one another, as `plan` lists them: the drafter is on the other.
by_seq=(pilotfish-mpirun -n 3 -H localhost,node1,localhost --map-by seq pilotfish)
gives_text "${by_seq[@]}"
timeout 120 "${by_seq[@]}" doctor > out 2> err < /dev/null
[ "$(sed -n 's/^ok *rank \([0-9]*\) .*host node1,.*/\1/p' out)" = 1 ] || wrong "not in order: $(cat out err)"
echo "$n_wrong wrong"
[ "$n_wrong" = 0 ]
