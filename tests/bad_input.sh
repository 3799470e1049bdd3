#!/usr/bin/env bash
# Ranks: 1 to 11. Models, options, prompts and files that are not what they should be: one clear line, the documented
# exit code, nothing lost; in one process, and over ranks where it is told another way there. cli.sh has the simplest of
# each.
#   bad_input.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 scripts=$3 mpirun=$3/mpirun
. "$(dirname "$0")/lib/cli.bash"
hostile=$scripts/../tests/lib/hostile_gguf.py

"$tiny" big.gguf && "$tiny" little.gguf --left-out 2 || wrong "no toy models"

# --- model files that lie ---------------------------------------------------------------------------------------------

python3 "$hostile" big.gguf . > cases || wrong "no hostile files"
while IFS=$'\t' read -r name said; do
    refuses 3 "$said" generate --big "$name.gguf" --raw hello
done < cases
"$pilotfish" generate --big big.gguf --raw -n 20 hello > whole 2> /dev/null
does "$(head -c 40 whole)" generate --big whole-00001-of-00003.gguf --raw -n 20 hello
cmp -s out whole || wrong "a model in three files writes another text"
does "in 3 files" inspect whole-00001-of-00003.gguf
over 3 refuses 3 "architecture mamba" generate --big architecture.gguf --little little.gguf --raw hello
over 3 refuses 3 "blk.0.ffn_down.weight" generate --big big.gguf --little tensor_gone.gguf --raw hello
over 3 refuses 3 "gone.gguf: cannot be opened" generate --big big.gguf --little gone.gguf --raw hello

# --- names that a terminal would obey: in the file, and of the file ---------------------------------------------------

named=$'of\e[31m\nit.gguf'
python3 - "$named" << 'END' || wrong "no model with such names"
import sys
model = open("big.gguf", "rb").read()
for name, other in (b"<|im_end|>", b"<|\x1b[2J\nx|>"), (b"tiny", b"\x1b[2J"):
    length = len(name).to_bytes(8, "little")
    model = model.replace(length + name, length + other)
open(sys.argv[1], "wb").write(model)
END
does '^of\\x1b\[31m\\nit.gguf$' inspect "$named"
[ "$(grep -c '^  name  *\\x1b\[2J$\|^  end ids .* 514 <|\\x1b\[2J\\nx|>$' out)" = 2 ] ||
    wrong "inspect says other names"
[ "$(wc -l < out)" = 16 ] && ! grep -q $'\e' out || wrong "inspect: not its lines, or an escape in them"
run doctor --big "$named.gone"
grep -q '^bad  *big  *of\\x1b\[31m\\nit.gguf.gone: cannot' out && ! grep -q $'\e' out ||
    wrong "doctor prints a name as it is"
refuses 3 'of\\x1b\[31m\\nit.gguf.gone: cannot be opened' generate --big "$named.gone" --raw hello
printf '{"id": "\\u001b[31m\\n%d", "prompt": "hi"}\n' 1 2 > named.jsonl
run generate --big big.gguf --raw -n 4 --stats --prompts named.jsonl
[ "$(grep -c '^\(== \)\?\\x1b\[31m\\n[12]\( \|$\)' err)" = 4 ] || wrong "prompts have other names"
! grep -q $'\e' out err || wrong "a prompt's name is printed as it is"

# A file that becomes shorter when it has been opened, before its weights are read: the prompt comes late.
"$tiny" shorter.gguf && mkfifo prompt
n_checks=$((n_checks + 1))
timeout 120 "$pilotfish" generate --big shorter.gguf --raw -f prompt > out 2> err &
exec 7> prompt && truncate -s 100000 shorter.gguf && echo hello >&7
exec 7>&-
wait $!
[ $? = 3 ] && [ "$(wc -l < err)" = 1 ] && grep -q "^pilotfish: shorter.gguf: .*cut off" err ||
    wrong "a model cut off while it is open"

# --- vocabularies that differ, and those that differ in what is no text -----------------------------------------------

differ='the vocabularies differ: id 512 is "<|endoftext|>" in the big model, "<|EndOfText|>" in the little one'
refuses 3 "$differ" generate --big big.gguf --little other_word.gguf --raw hello
over 3 refuses 3 "$differ" generate --big big.gguf --little other_word.gguf --raw hello
run doctor --big big.gguf --little other_word.gguf
[ "$rc" = 3 ] && grep -qF "bad   pair       --little: $differ" out || wrong "doctor takes vocabularies that differ"
does "^ok    pair  " doctor --big big.gguf --little little.gguf
LC_ALL=C sed 's/<|endoftext|>/<|EndOfText|>/' little.gguf > renamed.gguf
does . generate --big big.gguf --little renamed.gguf --guard off --check --raw -n 24 hello
"$tiny" padded_big.gguf --vocab 764
"$tiny" padded_little.gguf --vocab 764 --left-out 2
does . generate --big big.gguf --little padded_little.gguf --guard off --check --raw -n 24 hello
does . generate --big padded_big.gguf --little little.gguf --guard off --check --raw -n 24 hello
over 3 does . generate --big padded_big.gguf --little little.gguf --guard off --check --raw -n 24 hello

# --- options that cannot be, or not together: test_options has them all, these go the whole way -----------------------

for typed in "--temp -1" "--top-p 1.5" "--top-k -3" "--min-p 2" "--fallback -1" "--accept foo" "--stop=" \
    "--ctx 1000000000"; do
    # shellcheck disable=SC2086
    refuses 2 "${typed%%[ =]*}" generate --big big.gguf --raw $typed hello
done
refuses 2 "no chat template is called nope; there are chatml" generate --big big.gguf --template nope hello
refuses 2 "template (mistral) has no place for --system" generate --big big.gguf --template mistral --system hi hello
refuses 2 "template and --raw" generate --big big.gguf --template chatml --raw hello
does . generate --big big.gguf --template chatml -n 4 hello
over 3 refuses 2 "did you mean --little?" generate --big big.gguf --littel little.gguf --raw hello
over 3 refuses 2 "rollback: it needs --accept bild" generate --big big.gguf --little little.gguf --rollback 3 hello

# --- layouts: what does not fit is refused with what does -------------------------------------------------------------

refuses 4 "9 heads: use --tp 9 or less" generate --big big.gguf --tp 10 --raw hello
refuses 4 "4 blocks: use --pp 4 or less" generate --big big.gguf --pp 5 --raw hello
refuses 4 "tp x pp at most" generate --big big.gguf --tp 100 --pp 100 --raw hello
over 11 refuses 4 "9 heads: use --tp 9 or less" generate --big big.gguf --tp 10 --raw hello
over 2 refuses 4 "2 ranks, but --groups 3 --tp 1 --pp 1 takes 4: scripts/mpirun -n 4 pilotfish" \
    generate --big big.gguf --no-draft --groups 3 --parallel 3 --raw hello
over 2 refuses 4 "--little takes 4: scripts/mpirun -n 4 pilotfish" \
    generate --big big.gguf --little little.gguf --tp 2 --raw -n 8 "it's so"
ln -s "$scripts" scripts
PATH=$(dirname "$pilotfish"):$PATH bash -c "$(sed -n 's/^pilotfish: .*: \(scripts.*\)/\1/p' err)" > out 2> err ||
    wrong "the corrected command does not work"
[ -s out ] || wrong "the corrected command gives no text"

# --- memory -----------------------------------------------------------------------------------------------------------

"$tiny" long.gguf --ctx 1048576
for _ in {1..256}; do echo '{"turns": ["hi"]}'; done > rows.jsonl
too_much=(generate --big long.gguf --ctx 1048576 --parallel 256 --raw --prompts rows.jsonl)
refuses 4 "98304 MiB of KV .* do not fit into .*: use a smaller --ctx or --parallel" "${too_much[@]}"
over 2 refuses 4 "98304 MiB of KV .* do not fit into .*: use a smaller --ctx or --parallel" "${too_much[@]}"

# --- prompts ----------------------------------------------------------------------------------------------------------

words="more words than eight tokens can hold, surely, surely"
over 2 refuses 2 "the prompt is empty" generate --big big.gguf --raw ""
over 2 refuses 2 "nowhere: No such file" generate --big big.gguf --raw -f nowhere
over 2 refuses 2 "has 26 tokens, the context 8.*: shorten it, or try --ctx 27" \
    generate --big big.gguf --ctx 8 --raw "$words"
does . generate --big big.gguf --ctx 27 --raw "$words" # what the line says is so

# What is piped in goes behind a prompt, and is what Windows makes of it.
printf 'the sea\r\na ship\r\n' > piped
does . generate --big big.gguf --raw -n 12 $'hello\n\nthe sea\na ship'
cp out whole
for piped in "input=piped" "input=piped over 2"; do
    # shellcheck disable=SC2086
    eval "$piped" does . generate --big big.gguf --raw -n 12 hello
    cmp -s whole out || wrong "what is piped in is not behind the prompt ($piped)"
    grep -q "^note: 14 bytes of standard input go behind the prompt" err || wrong "no note of what was piped in"
done

# One bad request does not end the others: each has its line in the order of the input.
cat > mixed.jsonl << END
{"id": "a", "prompt": "hello"}
not JSON
{"id": "c", "turns": 7}
{"id": "d", "prompt": "$words", "seed": 1}
{"prompt": "the sea"}
END
mixed=(generate --big big.gguf --ctx 24 --raw -n 8 --prompts mixed.jsonl)
for ranks in "" "$mpirun -n 2"; do
    n_checks=$((n_checks + 1))
    # shellcheck disable=SC2206
    ranks=($ranks)
    run "${mixed[@]}" -o jsonl
    [ "$rc" = 2 ] || wrong "a bad line of --prompts: exit $rc"
    python3 - << 'END' || wrong "a bad line of --prompts: other lines"
import json
rows = [json.loads(line) for line in open("out")]
assert [row["id"] for row in rows] == ["a", "1", "c", "d", "4"], rows
assert ["error" in row for row in rows] == [False, True, True, True, False]
for i, says in (1, ":2: not a JSON object"), (2, ":3: no prompt"), (3, ":4: the prompt has 26 tokens, the context 24"):
    assert rows[i]["error"].startswith("mixed.jsonl" + says) and len(rows[i]) == 2, rows[i]
assert len(rows[0]["ids"]) == len(rows[4]["ids"]) == 8
END
    grep -q "^pilotfish: 3 of 5 prompts not answered, the first: mixed.jsonl:2: not a JSON object" err ||
        wrong "no cause"
done
ranks=()
"$pilotfish" generate --big big.gguf --ctx 24 --raw -n 8 hello > shown 2> /dev/null
"$pilotfish" generate --big big.gguf --ctx 24 --raw -n 8 "the sea" >> shown 2> /dev/null
run "${mixed[@]}"
[ "$rc" = 2 ] && cmp -s shown out || wrong "a bad line of --prompts: exit $rc, another text"
[ "$(grep -c '^mixed.jsonl:[234]: ' err)" = 3 ] || wrong "a bad line of --prompts: not a line each"
"$pilotfish" "${mixed[@]}" > both 2>&1
[ "$(grep -c '^== ' both)" = 5 ] || wrong "a name stands behind the text before it, where both go to one file"
run "${mixed[@]}" --draft suffix --check
[ "$rc" = 2 ] && grep -q "^check: 16 tokens" err || wrong "a bad line of --prompts: --check does not check the others"
run eval compare --big big.gguf --little little.gguf --ctx 24 --raw -n 8 --prompts mixed.jsonl
[ "$rc" = 2 ] && grep -q "^2 of 2 texts" out || wrong "a bad line of --prompts: exit $rc of eval compare"
run bench pair --big big.gguf --little little.gguf --ctx 24 --raw -n 8 --prompts mixed.jsonl -o jsonl
[ "$rc" = 2 ] && [ "$(grep -c '"error"' out)$(grep -c '"plain"' out)" = 32 ] ||
    wrong "a bad line of --prompts: exit $rc of bench pair"

# What was answered is not kept.
for _ in {1..300}; do echo '{"prompt": "the sea"}'; done > rows.jsonl
n_checks=$((n_checks + 1))
python3 - "$pilotfish" << 'END' || wrong "300 answers take more memory than 6"
import resource, subprocess, sys
peak = []
for n in 6, 300:
    rows = "".join(open("rows.jsonl").readlines()[:n]).encode()
    command = [sys.argv[1], "generate", "--big", "long.gguf", "--ctx", "65536", "--raw", "-n", "0", "--stop", "e",
               "--prompts", "-"]
    subprocess.run(command, input=rows, capture_output=True, check=True)
    peak.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
assert peak[1] < peak[0] + (8 << 10), peak # KiB
END
printf 'a\0b \377\376 \303' > bytes
input=bytes does . generate --big big.gguf --draft suffix --check --raw -n 16 -f -
does . generate --big big.gguf --raw -n 0 --ignore-eos --ctx 64 --draft suffix --check hello # the context is filled
does '"ids": \[[0-9]*\(, [0-9]*\)\{60\}\].*"end": "context"' \
    generate --big big.gguf --raw --ignore-eos --ctx 64 -o jsonl hello

# --- files that cannot be written -------------------------------------------------------------------------------------

# writes CODE PATTERN ARGUMENT...: into what the variable `into` names.
writes() {
    local code=$1 pattern=$2
    shift 2
    n_checks=$((n_checks + 1))
    if [ "$into" = closed ]; then
        timeout 120 "$pilotfish" "$@" >&- 2> err
    else
        timeout 120 "$pilotfish" "$@" > "$into" 2> err
    fi
    [ $? = "$code" ] || wrong "$* into $into: not exit $code"
    [ "$(grep -c "^pilotfish: .*$pattern" err)" = 1 ] || wrong "$* into $into: does not say '$pattern' once"
}

for command in "generate --big big.gguf --raw -n 8 hello" "inspect big.gguf" "tokenize --model big.gguf bytes" \
    "generate --big big.gguf --raw -n 4 --prompts mixed.jsonl -o jsonl" \
    "inspect big.gguf -o json" "tokenize --model big.gguf -o jsonl bytes" \
    "eval compare --big big.gguf --little little.gguf --raw -n 4 --prompts mixed.jsonl -o jsonl" \
    "bench pair --big big.gguf --little little.gguf --raw -n 4 --prompts mixed.jsonl" help version doctor; do
    # shellcheck disable=SC2086
    into=/dev/full writes 1 "standard output: No space left" $command
    # shellcheck disable=SC2086
    into=closed writes 1 "standard output: Bad file" $command
done
n_checks=$((n_checks + 1))
"$pilotfish" generate --big big.gguf --raw -n 8 hello > out 2>&- < /dev/null || wrong "standard error closed: exit $?"
# A reader who has seen enough ends it at once, as any filter is ended.
n_checks=$((n_checks + 1))
timeout 120 "$pilotfish" generate --big long.gguf --ignore-eos -n 0 --ctx 1048576 --raw hello 2> err | head -c 5 > out
[ "${PIPESTATUS[0]}" = 141 ] || wrong "the reader has gone: exit not SIGPIPE's"

verdict
