#!/usr/bin/env bash
# Ranks: 1 and 3 to 5. Perplexity, what a lossy setting costs, what drafts save: the same numbers however they are
# computed, the gate, what is refused. Whether the numbers are right: reproduce.py, metrics.py.
#   eval.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun
. "$(dirname "$0")/lib/cli.bash"
"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"

for i in $(seq 60); do echo "Once upon a time there was a little girl, and she had $i friends."; done > text
does 'perplexity' eval perplexity --big big.gguf --window 64 -o jsonl text
cp out expected
same() {
    does 'perplexity' eval perplexity --big big.gguf --window 64 -o jsonl "$@" text
    cmp -s out expected || wrong "$*: another perplexity"
}
same --threads 1
same --parallel 1
same --parallel 5 --tp 2
same --tp 3 --pp 2
over 3 same --tp 2
over 5 same --tp 2 --pp 2
input=text does 'perplexity' eval perplexity --big big.gguf --window 64 -o jsonl -
cmp -s out expected || wrong "standard input: another perplexity"
does '^perplexity [0-9.]* +- [0-9.]* (standard error), ln p a token -[0-9.]*, [0-9]* tokens in [0-9]* windows of 512$' \
    eval perplexity --big big.gguf text

for i in 1 2 3 4 5 6; do echo "{\"id\": \"p$i\", \"prompt\": \"The little friend said $i\"}"; done > prompts
pair=(eval compare --big big.gguf --little little.gguf --prompts prompts --raw --ignore-eos -n 24 -o jsonl)
lossy=("${pair[@]}" --accept bild --fallback 0.1)
does '"bleu": 100.0*[,}]' "${pair[@]}"
[ "$(grep -c '"exact": true' out)" = 6 ] || wrong "an exact text is not exact"
does '"bleu": 100.0*[,}]' "${lossy[@]}" --rollback 0
does '"lp_token": -' "${lossy[@]}" --rollback 4
[ "$(grep -c '"exact": false' out)" -gt 2 ] || wrong "a lossy setting loses nothing"
sed 's/, "tokens_per_s.*//' out > expected
same_texts() {
    does '"lp_token": -' "${lossy[@]}" --rollback 4 "$@"
    sed 's/, "tokens_per_s.*//' out | cmp -s - expected || wrong "$*: other numbers"
}
same_texts --parallel 1
same_texts --threads 1 --tp 2
over 3 same_texts
over 4 same_texts --pp 2
# gated WHAT OPTION LEAST ARGUMENT...: exit 6, with the numbers printed.
gated() {
    run "${@:4}" "--$2" "$3"
    { [ "$rc" = 6 ] && grep -q "^pilotfish: $1: .* under --$2 $3" err && [ -s out ]; } || wrong "--$2: exit $rc"
}
gated BLEU min-bleu 99 "${lossy[@]}" --rollback 4
gated ROUGE-1 min-rouge-1 1 "${lossy[@]}" --rollback 4
gated ROUGE-2 min-rouge-2 1 "${lossy[@]}" --rollback 4
gated ROUGE-L min-rouge 1 "${lossy[@]}" --rollback 4
gated ROUGE-Lsum min-rouge-lsum 1 "${lossy[@]}" --rollback 4
does . "${lossy[@]}" --rollback 0 --min-bleu 99 --min-rouge 1 --min-rouge-1 1 --min-rouge-2 1 --min-rouge-lsum 1 \
    --min-exact 100
# The number that the big model's own answer ends in is right, another one is wrong; a line without a solution is none.
does . generate --big big.gguf --prompts prompts --raw --ignore-eos -n 24 -o jsonl
python3 - out > problems << 'END'
import json, re, sys
for i, line in enumerate(open(sys.argv[1])):
    found = re.findall(r"[0-9]+", json.loads(line)["text"])
    row = {"prompt": f"The little friend said {i + 1}", "reference": "none"}
    if i != 5:
        row["reference"] = ["so\n#### " + (found[-1] if found and i % 2 else "123456")]
    print(json.dumps(row))
END
solved=(eval compare --big big.gguf --little little.gguf --prompts problems --raw --ignore-eos -n 24 -o jsonl)
does '"problems": 5, "right": [1-9], "right_big": [0-9]*}' "${solved[@]}"
right=$(grep '#### [0-9]' problems | grep -vc '123456')
grep -q "\"right\": $right, \"right_big\": $right}" out || wrong "$(tail -1 out): not $right right"
gated "word problems that are right, percent" min-right 100 "${solved[@]}"

# Both ways of a request give the same text; over ranks as well.
timed=(bench pair --big big.gguf --prompts prompts --raw --ignore-eos -n 12)
does '"id": "p6", "plain": .*"drafted": 0, .*"first_seconds": [0-9.]*}, "drafts": {.*"drafted": [1-9]' \
    "${timed[@]}" --little little.gguf --guard off -o jsonl
[ "$(wc -l < out)" = 6 ] || wrong "not a line a prompt"
does '^all  *72 ' "${timed[@]}" --draft suffix
over 3 does '^all  *72 ' "${timed[@]}" --little little.gguf --temp 1 --seed 3
does '^all  *72 ' "${timed[@]}" --little little.gguf --accept bild
refuses 2 "bench pair needs a drafter" "${timed[@]}"
refuses 2 "bench needs a second word: pilotfish bench pair, or pilotfish bench step, or pilotfish bench kernels" bench

steps=(bench step --big big.gguf --rounds 2 --rows 1-3 --contexts 0,8,20)
does '^big  *20  *3  *[0-9.]*  *[0-9.]*  *[0-9.]*  *[0-9]* %' "${steps[@]}"
[ "$(grep -c '^big ' out)" = 9 ] || wrong "not a line for each context and rows"
grep -q '^prompt, tokens 8 to 20: [0-9.]* token/s$' out || wrong "the prompt is not timed"
does '"model": "little", "context": 20, "rows": 1, "ms": ' "${steps[@]}" --little little.gguf --threads 1 -o jsonl
python3 -c 'import json; [json.loads(line) for line in open("out")]' || wrong "bench step: not JSON"
if [ "$(nproc)" -gt 1 ]; then
    does '"model": "little", .*"beside_ms": [0-9]' "${steps[@]}" --little little.gguf --threads 1 -o jsonl
    does '^model .* beside$' "${steps[@]}" --little little.gguf --threads 1
fi
does '^model .* over limit$' "${steps[@]}" --little little.gguf --threads "$(nproc)"
does '"format": "Q6_K", "out": 512, .*"rows": 2, ' bench kernels --rounds 1 --rows 1,2 --threads 1 -o jsonl
does '^reference: .*; medians of 2 rounds' "${steps[@]}" --device reference
does '^big  *20  *3  *[0-9.]*  *[0-9.]*  *[0-9.]*$' "${steps[@]}" --device reference
refuses 2 "they must rise" bench step --big big.gguf --contexts 8,8
refuses 2 "not a list of whole numbers" bench step --big big.gguf --rows 1,x
refuses 2 "must be from 1 to 256, rising" bench step --big big.gguf --rows 4-2
refuses 2 "was trained for" bench step --big big.gguf --contexts 100000
refuses 3 "gone.gguf" bench step --big gone.gguf

for command in "eval perplexity --big big.gguf text" "${lossy[*]}"; do
    n_checks=$((n_checks + 1))
    # shellcheck disable=SC2086
    "$pilotfish" $command > /dev/full 2> err
    rc=$?
    { [ "$rc" = 1 ] && grep -q '^pilotfish: standard output: ' err; } || wrong "$command into a full disk: exit $rc"
done
refuses 2 "the text has 3 tokens, a window 512" eval perplexity --big big.gguf <(printf 'the the')
refuses 2 "gone: " eval perplexity --big big.gguf gone
refuses 2 "needs a text" eval perplexity --big big.gguf
refuses 2 "must be from 2" eval perplexity --big big.gguf --window 1 text
refuses 2 "needs prompts" eval compare --big big.gguf
refuses 2 "eval needs a second word: pilotfish eval compare, or pilotfish eval perplexity" eval
refuses 2 "unknown command eval compar: did you mean eval compare?" eval compar
does "exit 6 if BLEU is lower" help eval compare
verdict
