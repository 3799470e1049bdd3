#!/usr/bin/env bash
# scripts/make-model: files without weights, which the program makes as it loads them; the same model however it is
# split and whatever computes it; wrong values and files are refused.
#   make_model.sh PILOTFISH SCRIPTS
set -u
pilotfish=$1 make=$2/make-model mpirun=$2/mpirun
. "$(dirname "$0")/lib/cli.bash"

# Every format, as the file says it.
for format in f32 f16 bf16 q4_0 q4_1 q5_0 q5_1 q8_0 q2_k q3_k q4_k q5_k q6_k; do
    "$make" --like toy --format $format $format.gguf > made || wrong "make-model $format: exit $?"
    does "${format^^}" inspect $format.gguf
    does . generate --big $format.gguf --raw -n 4 hello
done
"$make" --like smollm2-135m --format q4_k --blocks 1 fallback.gguf > made # 576 is no multiple of 256
does 'Q5_0' inspect fallback.gguf

# One model.
ask=(generate --raw -n 24 --ignore-eos hello --big)
does . "${ask[@]}" q4_k.gguf
mv out text
for more in "--threads 1" "--tp 2" "--pp 2" "--device reference" "--little q8_0.gguf --check"; do
    does . "${ask[@]}" q4_k.gguf $more # shellcheck disable=SC2086 # words
    cmp -s out text || wrong "$more: the text is another"
done
over 3 does . "${ask[@]}" q4_k.gguf --tp 2
cmp -s out text || wrong "over ranks the text is another"
PILOTFISH_CUDA=emulated does . generate --raw -n 4 hello --big q4_k.gguf --device cuda
"$make" --like toy --format q4_k --seed 2 other.gguf > made
does . "${ask[@]}" other.gguf
! cmp -s out text || wrong "another seed writes the same text"

# Large ones are as small on disk, and are looked at without being made.
for like in llama-3-8b qwen2.5-1.5b qwen2.5-0.5b smollm2-135m llama-3-70b; do
    "$make" --like $like --format bf16 large.gguf > made || wrong "make-model $like: exit $?"
    [ "$(stat -c %s large.gguf)" -lt 5000000 ] || wrong "$like takes $(stat -c %s large.gguf) bytes"
    does 'BF16' inspect large.gguf
done
grep -q '141.* GB of weights' made || wrong "make-model does not say the size: $(cat made)"
if [ "$(awk '/MemTotal/ { print $2 }' /proc/meminfo)" -lt 100000000 ]; then
    refuses 4 'do not fit into' generate --big large.gguf --raw hello
fi

# Wrong.
made() { # CODE PATTERN ARGUMENT...
    n_checks=$((n_checks + 1))
    "$make" "${@:3}" > out 2> err
    local rc=$?
    { [ $rc = "$1" ] && [ ! -s out ] && grep -q -- "$2" err; } || wrong "make-model ${*:3}: exit $rc"
    [ ! -e wrong.gguf ] && [ ! -e wrong.gguf.part ] || wrong "make-model ${*:3}: leaves a file"
}
made 2 "invalid choice: 'gpt-2'" --like gpt-2 --format q4_k wrong.gguf
made 2 "invalid choice: 'q9'" --like toy --format q9 wrong.gguf
made 2 "0 is no whole number from 1" --like toy --format q4_k --blocks 0 wrong.gguf
made 2 "x is no whole number" --like toy --format q4_k --seed x wrong.gguf
made 2 "required: --format" --like toy wrong.gguf
made 1 "No such file or directory" --like toy --format q4_k none/wrong.gguf
head -c 3000 q4_k.gguf > cut.gguf
refuses 3 'cut off' generate --big cut.gguf --raw hello
{ cat q4_k.gguf && head -c 4096 /dev/zero; } > both.gguf
refuses 3 'it has weights, and pilotfish.random_seed too' generate --big both.gguf --raw hello
verdict
