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
for more in "--tp 2" "--pp 2" "--little little.gguf --check" "--draft suffix" \
    "--little little.gguf --little-quant file --draft-device cuda --draft-vocab 100"; do # shellcheck disable=SC2086 # words
    CUDA_EMULATED_SEED=${#more} does . "${ask[@]}" $more
    cmp -s out text || wrong "$more: the text is another"
done
over 4 does . "${ask[@]}" --little little.gguf --tp 2
cmp -s out text || wrong "over ranks the text is another"

# A long prompt is one wide pass, of more rows than a CPU takes; in passes of 64 rows it has the same text.
long=$(printf 'the fish number %d swims ' {1..16})
ask_long=(generate --big big.gguf --raw --ctx 400 -n 4 --device cuda --trace trace.json "$long")
does . "${ask_long[@]}"
mv out text
rows=$(grep -o '"name": "pass", .*"rows": [0-9]*' trace.json | head -n 1 | grep -o '[0-9]*$')
[ "${rows:-0}" -gt 128 ] || wrong "the first pass of a long prompt has ${rows:-no} rows"
does . "${ask_long[@]}" --max-rows 64
cmp -s out text || wrong "in passes of 64 rows the text is another"

# The CPU's arithmetic: the CPU's own ln p, also in a job beside CPUs.
lps() { grep -o '"logprobs": [^]]*' "$1" | sort; }
printf '{"prompt": "%s"}\n' hello "a fish" > two.jsonl # a group each
ask_lp=(generate --big big.gguf --raw --ctx 128 -n 12 -o jsonl --prompts two.jsonl)
"$pilotfish" "${ask_lp[@]}" > cpu.jsonl 2> err && lps cpu.jsonl > cpu || wrong "no text of the CPU"
for more in "" "--tp 2"; do # shellcheck disable=SC2086 # words
    does logprobs "${ask_lp[@]}" --device cuda --arithmetic cpu $more
    lps out | cmp -s - cpu || wrong "--arithmetic cpu $more: not the CPU's ln p"
done
does logprobs "${ask_lp[@]}" --device cuda
lps out | cmp -s - cpu && wrong "the two arithmetics give the same ln p, so this shows nothing"

# mixed OPTION...: two groups, one on a device with these options, one on a CPU.
mixed() {
    n_checks=$((n_checks + 1))
    timeout 120 "$mpirun" -n 1 "$pilotfish" "${ask_lp[@]}" --groups 2 : \
        -n 1 "$pilotfish" worker --model big.gguf --device cuda "$@" : \
        -n 1 "$pilotfish" worker --model big.gguf > out 2> err
    rc=$?
}
mixed --arithmetic cpu
{ [ "$rc" = 0 ] && lps out | cmp -s - cpu; } || wrong "verifiers on a device and on a CPU give other ln p"
mixed
{ [ "$rc" = 4 ] && grep -q 'compute different bits' err; } || wrong "verifiers of two arithmetics: exit $rc"
PILOTFISH_DEVICE_MODULE=$(dirname "$pilotfish")/pilotfish_cuda_emulated.so refuses 4 \
    'pilotfish_cuda_emulated.so has no arithmetic of the CPU' "${ask[@]}" --arithmetic cpu
refuses 2 '--arithmetic gpu: must be one of device|cpu' "${ask[@]}" --arithmetic gpu
run generate --big big.gguf --raw -n 1 --arithmetic cpu hello
grep -q '^note: --arithmetic has no effect' err || wrong "--arithmetic without a device: no note"

CUDA_EMULATED_LOST=900 run "${ask[@]}"
[ "$rc" = 5 ] && grep -q 'the device cuda: emulated at this CPU is lost' err || wrong "a lost device: exit $rc"
for at in 10 40 120; do # as it is opened, and while it loads
    for arithmetic in device cpu; do
        CUDA_EMULATED_LOST=$at run "${ask[@]}" --arithmetic $arithmetic
        grep -q 'the device cuda.* is lost: its driver' err ||
            wrong "a device that is lost while it loads, --arithmetic $arithmetic, at $at: exit $rc"
    done
done
CUDA_EMULATED_BYTES=1000000 refuses 4 'do not fit into 0 MiB: .*more devices' "${ask[@]}"

# Weights take more of a card than of the host's memory: by the file's bytes these would fit.
"$tiny" wide.gguf --type Q4_0 --vocab 20000
weights() { sed -n 's/.* \([0-9]*\) MiB of weights, 0 MiB of KV.*/\1/p' out; }
does 'MiB of weights' doctor --big wide.gguf --ctx 128
fits=$(($(weights) + 1))
does 'MiB of weights' doctor --big wide.gguf --ctx 128 --device cuda
card=$(weights)
[ "$card" -gt "$fits" ] || wrong "a card takes $card MiB for what the host has in less than $fits, so this shows nothing"
export CUDA_EMULATED_BYTES=$((fits << 20))
refuses 4 "$card MiB of weights and 0 MiB of KV .* do not fit into $fits MiB" generate --big wide.gguf "${ask[@]:3}"
run doctor --big wide.gguf --ctx 128 --device cuda
[ "$rc" = 4 ] && grep -q '^bad   fit .* on a device' out || wrong "doctor: exit $rc"
unset CUDA_EMULATED_BYTES
verdict
