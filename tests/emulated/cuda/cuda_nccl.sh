#!/usr/bin/env bash
# Ranks: 3 to 5. Devices that exchange rows by themselves, over a fake NCCL (nccl.cc): the text is that of one device
# and of rows that go by way of the hosts; without NCCL, or where it refuses, they do, said in one line; its errors end
# the job with exit 5 and a host.
#   cuda_nccl.sh PILOTFISH TINY SCRIPTS FOLDER_OF_THE_FAKE
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun nccl=$4
. "$(dirname "$0")/../../lib/cli.bash"
unset PILOTFISH_DEVICE_MODULE CUDA_EMULATED_BYTES CUDA_EMULATED_LOST CUDA_VISIBLE_DEVICES FAKE_NCCL

"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"
ask=(generate --big big.gguf --raw --ctx 128 -n 12 --device cuda hello)
export PILOTFISH_CUDA=emulated
does . "${ask[@]}"
mv out text
export CUDA_EMULATED_DEVICES=4 FAKE_NCCL_FOLDER=$PWD FAKE_NCCL_COUNTS=$PWD/counts
with_nccl="${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$nccl"

# same N ARGUMENT...: over N ranks the text is the one.
same() {
    rm -f counts
    over "$1" does . "${ask[@]}" "${@:2}"
    cmp -s out text || wrong "$*: the text is another"
}

# by_nccl N_MEMBERS PATTERN: so many communicators' members ended, each with such counts; nothing was said.
by_nccl() {
    [ "$(grep -c "$2" counts)" = "$1" ] && [ "$(wc -l < counts)" = "$1" ] || wrong "NCCL's counts: $(cat counts)"
    grep -q '^note: host' err && wrong "something is said"
}

# by_host PATTERN: one line says why.
by_host() {
    [ "$(grep -c "^note: host .* exchange rows by way of their hosts, which is slower: $1" err)" = 1 ] ||
        wrong "it is not said why rows go by way of the hosts"
}

# --- the library is there, or not -------------------------------------------------------------------------------------

same 3 --tp 2
by_host "NCCL's library libnccl.so.2 is not found"
[ -e counts ] && wrong "there is a communicator without NCCL"
export LD_LIBRARY_PATH=$with_nccl
same 3 --tp 2
by_nccl 2 'of 2: gathers [1-9][0-9]* broadcasts [1-9]'
CUDA_EMULATED_DEVICES=1 same 3 --tp 2 # NCCL takes no device twice
[ -e counts ] && wrong "there is a communicator of one device"
FAKE_NCCL=refuse@1 same 3 --tp 2
by_host 'invalid usage'
FAKE_NCCL=absent@0 same 3 --tp 2
by_host 'not all members came in time'

# --- layouts ----------------------------------------------------------------------------------------------------------

same 3 --pp 2
by_nccl 2 'of 2: gathers 0 broadcasts 0 sends [0-9]* receives '
grep -q 'member 0 of 2: .* sends [1-9]' counts && grep -q 'member 1 of 2: .* receives [1-9]' counts ||
    wrong "stages do not send by NCCL"
same 5 --tp 2 --pp 2
by_nccl 8 'member'
same 5 --tp 4 --shard-share 3,1,2,1
by_nccl 4 'of 4: gathers [1-9][0-9]* broadcasts [1-9]'
same 4 --tp 2 --little little.gguf
by_nccl 2 'of 2'

# --- errors -----------------------------------------------------------------------------------------------------------

# ends ARGUMENT...: exit 5, one line with a host.
ends() {
    over 3 run "${ask[@]}" --tp 2
    [ "$rc" = 5 ] && [ "$(grep -c '^pilotfish: ' err)" = 1 ] && grep -q "^pilotfish: .*$1" err || wrong "exit $rc: $1"
}
FAKE_NCCL=error=40@1 ends 'host .*: the device cuda: emulated at this CPU, 1 has lost the others .*: remote process'
FAKE_NCCL=stop=40@0 ends 'host .*: peer [12] has waited for peer [12], a shard of the same stage, for 1[0-9] s'
verdict
