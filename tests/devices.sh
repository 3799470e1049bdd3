#!/usr/bin/env bash
# Ranks: 1 to 4. --device as a person meets it: no module, no driver, no card, one that is too small or gets lost, ranks
# whose devices differ. One line and the documented exit code; and where it works the CPU's text. The devices are those
# of tests/lib/fake_device.c.
#   devices.sh PILOTFISH TINY MODULE SCRIPTS
set -u
pilotfish=$1 tiny=$2 module=$3 mpirun=$4/mpirun
. "$(dirname "$0")/lib/cli.bash"
unset PILOTFISH_DEVICE_MODULE PILOTFISH_CUDA FAKE_DEVICE

"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"
ask=(generate --big big.gguf --raw --ctx 512 -n 16 hello)
"$pilotfish" "${ask[@]}" > text 2> /dev/null

# --- no device --------------------------------------------------------------------------------------------------------

cp "$pilotfish" alone && pilotfish=./alone # no module is beside it
refuses 4 'no module pilotfish_cuda.so .*--device cpu' "${ask[@]}" --device cuda
does "$(head -c 9 text)" "${ask[@]}" --device auto
grep -q '^note: --device auto: the big model computes by \(ref\|avx\|amx\)' err ||
    wrong "auto does not say that it is the CPU"
export PILOTFISH_CUDA=emulated
refuses 4 'no module pilotfish_cuda_emulated.so' "${ask[@]}" --device cuda
PILOTFISH_CUDA=emulate refuses 2 'PILOTFISH_CUDA=emulate: ' "${ask[@]}" --device cuda
cp "$module" pilotfish_cuda_emulated.so # found beside the program
does "$(head -c 9 text)" "${ask[@]}" --device cuda
unset PILOTFISH_CUDA
pilotfish=$1
echo nothing > empty.so
PILOTFISH_DEVICE_MODULE=gone.so refuses 4 'does not open: gone.so: .*No such file' "${ask[@]}" --device cuda
PILOTFISH_DEVICE_MODULE=./empty.so refuses 4 'does not open: ./empty.so' "${ask[@]}" --device cuda
# It is installed badly.
PILOTFISH_DEVICE_MODULE=./empty.so refuses 4 'does not open: ./empty.so' "${ask[@]}" --device auto
export PILOTFISH_DEVICE_MODULE=$module
FAKE_DEVICE=version refuses 4 'does not have version .* of the device table' "${ask[@]}" --device cuda
FAKE_DEVICE=driver refuses 4 'CUDA driver version is insufficient' "${ask[@]}" --device cuda
FAKE_DEVICE=driver over 3 refuses 4 'host .*CUDA driver version is insufficient' "${ask[@]}" --device cuda --tp 2
FAKE_DEVICE=count=0 refuses 4 'no device answers to fake: there is none' "${ask[@]}" --device cuda
FAKE_DEVICE=driver does "$(head -c 9 text)" "${ask[@]}" --device auto
refuses 4 '--device-number 2: there are 2 fake devices, counted from 0' "${ask[@]}" --device cuda --device-number 2
FAKE_DEVICE=mib=1 refuses 4 'host .*, device fake: toy at 0: .* do not fit into 1 MiB: .*more devices' \
    "${ask[@]}" --device cuda

# --- a device ---------------------------------------------------------------------------------------------------------

for layout in "" "--tp 2" "--pp 2" "--device-number 1"; do # shellcheck disable=SC2086 # two words
    does "$(head -c 9 text)" "${ask[@]}" --device cuda --stats $layout
    cmp -s out text || wrong "$layout: the text of a device is another"
done
grep -q 'verifier on host .*, fake: toy at 1; rank 0' err || wrong "--device-number 1 is not in the list of workers"
over 4 does "$(head -c 9 text)" "${ask[@]}" --device cuda --tp 3 --stats
cmp -s out text || wrong "the text of three ranks is another"
[ "$(grep -c 'fake: toy at 0; rank [13]\|fake: toy at 1; rank 2' err)" = 3 ] ||
    wrong "ranks do not take devices in turn"
grep -q '^note: host .*: several verifiers share the device fake: toy at 0' err ||
    wrong "that two share one is not told"
does "$(head -c 9 text)" "${ask[@]}" --device auto
grep -q '^note: --device auto: the big model computes by fake: toy at 0' err || wrong "auto does not name the device"
FAKE_DEVICE=arithmetic=2 does "$(head -c 9 text)" "${ask[@]}" --device cuda --little little.gguf
grep -q '^note: the drafter on host .*(.*) and the verifier on host .*(fake: toy at 0) differ in arithmetic' err ||
    wrong "that the drafter computes otherwise is not told"
does "$(head -c 9 text)" "${ask[@]}" --little little.gguf --little-quant file --draft-device cuda --stats
grep -q 'drafter on host .*, fake: toy at 0; rank 0' err || wrong "the drafter does not take the device"
worker=(worker --role verifier --model big.gguf)
n_checks=$((n_checks + 1))
FAKE_DEVICE=arithmetic=2 timeout 120 "$mpirun" -n 1 "$pilotfish" "${ask[@]}" --pp 2 : \
    -n 1 "$pilotfish" "${worker[@]}" : -n 1 "$pilotfish" "${worker[@]}" --device cuda > out 2> err
[ $? = 4 ] && [ "$(grep -c '^pilotfish: hosts .* (.*) and .* (fake: toy at [01]) compute different bits' err)" = 1 ] ||
    wrong "stages of two arithmetics"
does '^ok *device *1, fake: toy at 1: 1.0 GiB available' doctor --big big.gguf --ctx 512 --device cuda
grep -q '^ok *fit *0.00 GiB on a device for' out || wrong "doctor does not weigh what the device holds"
FAKE_DEVICE=mib=1 run doctor --big big.gguf --ctx 512 --device cuda
[ "$rc" = 4 ] && grep -q '^bad *fit .*on a device' out || wrong "doctor: a device that is too small"
FAKE_DEVICE=driver run doctor --device cuda
[ "$rc" = 4 ] && grep -q '^bad *device .*CUDA driver version' out || wrong "doctor: no driver"

# --- a lost one -------------------------------------------------------------------------------------------------------

# is_lost WHERE: the one line, which names host and device.
is_lost() {
    [ "$rc" = 5 ] && [ "$(grep -c '^pilotfish: host .*: the device fake: toy at [01] is lost' err)" = 1 ] &&
        [ "$(grep -c '^pilotfish: ' err)" = 1 ] || wrong "a lost device $1: exit $rc"
}
export FAKE_DEVICE=lost=9
run "${ask[@]}" --device cuda
is_lost "of one process"
[ -s out ] || wrong "the text so far is lost with the device"
FAKE_DEVICE=late=9 run "${ask[@]}" --device cuda
is_lost "when a pass was done"
case $(cat text) in "$(cat out)"?*) ;; *) wrong "what a lost device gave is in the text" ;; esac
FAKE_DEVICE=breaks=3 run "${ask[@]}" --device cuda
is_lost "while it loads"
for layout in "--tp 2" "--pp 2"; do # shellcheck disable=SC2086 # two words
    run "${ask[@]}" --device cuda $layout
    is_lost "of one process, $layout"
done
over 3 run "${ask[@]}" --device cuda --tp 2
is_lost "of a rank"
FAKE_DEVICE=lost=1 over 3 does "$(head -c 9 text)" "${ask[@]}" --little little.gguf --little-quant file --guard off \
    --draft-device cuda
cmp -s out text || wrong "a drafter's lost device: another text"
[ "$(grep -c '^note: the drafter failed: host .*: the device fake: toy at [01] is lost' err)" = 1 ] &&
    ! grep -q '^pilotfish: ' err || wrong "a drafter's lost device: not one note"
verdict
