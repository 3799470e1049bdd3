#!/usr/bin/env bash
# Ranks: 1 and 4. The program on the emulated device: one text over layouts, drafters and ranks, and its faults.
#   cuda_program.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun
. "$(dirname "$0")/../../lib/cli.bash"
unset PILOTFISH_DEVICE_MODULE CUDA_EMULATED_BYTES CUDA_EMULATED_LOST

"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"
ask=(generate --big big.gguf --raw --ctx 128 -n 12 --device cuda hello)

if [ -e "$(dirname "$pilotfish")/pilotfish_cuda.so" ] && [ ! -e /dev/nvidiactl ]; then
    refuses 4 'no device answers to cuda: .*--device cpu computes without one' "${ask[@]}"
fi

export PILOTFISH_CUDA=emulated
does . "${ask[@]}"
mv out text
for more in "--tp 2" "--pp 2" "--little little.gguf --check" "--draft suffix"; do # shellcheck disable=SC2086 # words
    CUDA_EMULATED_SEED=${#more} does . "${ask[@]}" $more
    cmp -s out text || wrong "$more: the text is another"
done
over 4 does . "${ask[@]}" --little little.gguf --tp 2
cmp -s out text || wrong "over ranks the text is another"

CUDA_EMULATED_LOST=900 run "${ask[@]}"
[ "$rc" = 5 ] && grep -q 'the device cuda: emulated at this CPU is lost' err || wrong "a lost device: exit $rc"
CUDA_EMULATED_BYTES=1000000 refuses 4 'do not fit into 0 MiB: .*more devices' "${ask[@]}"
verdict
