#!/usr/bin/env bash
# Ranks: 1 and 3. Conversations: what a turn feeds, the same bits however they are computed, /reset, Ctrl-C, a full
# context, the forms of a message, a terminal.
#   chat.sh PILOTFISH TINY SCRIPTS
set -u
pilotfish=$1 tiny=$2 mpirun=$3/mpirun typed=$(dirname "$0")/lib/typed.py
big=${PILOTFISH_MODELS:-models}/SmolLM2-135M-Instruct.Q4_1.gguf
case $typed in /*) ;; *) typed=$PWD/$typed ;; esac
case $big in /*) ;; *) big=$PWD/$big ;; esac
. "$(dirname "$0")/lib/cli.bash"
[ -r "$big" ] || { echo "$big is not there: run scripts/fetch-model smollm2"; exit 1; }

# says LINE...: what a person would type.
says() { printf '%s\n' "$@" > said; }
input=said

# holds PYTHON: over the answers, as the list a.
holds() {
    python3 - "$1" << 'END' || wrong "$1"
import json, sys
a = [json.loads(line) for line in open("out")]
def new(t): return a[t]["prompt_tokens"] - (a[t - 1]["prompt_tokens"] + len(a[t - 1]["ids"]) if t else 0)
def rows(t): return a[t]["stats"]["prompt_rows"]
sys.exit(not eval(sys.argv[1]))
END
}

lines=("Name three colours." "" "And three animals, please." "What did I ask first?" /stats)
says "${lines[@]}"
does '"end": ' chat --big "$big" -n 24 -o jsonl
holds 'len(a) == 3 and [x["id"] for x in a] == ["1", "2", "3"]'
holds 'all(0 < rows(t) <= new(t) + 1 for t in range(3)) and rows(0) == a[0]["prompt_tokens"]'
grep -q '^all turns' err || wrong "/stats says nothing"
python3 -c 'for line in open("out"): j = __import__("json").loads(line); print(j["ids"], j["logprobs"])' > plain

# The same ids and log-probabilities with drafts, sampled ones apart, and over ranks.
same() {
    does '"end": ' chat --big "$big" -n 24 -o jsonl "$@"
    python3 -c 'for line in open("out"): j = __import__("json").loads(line); print(j["ids"], j["logprobs"])' |
        cmp -s - plain || wrong "$*: another conversation"
    holds 'all(0 < rows(t) <= new(t) + 1 for t in range(3))'
}
same --draft suffix
same --draft suffix --draft-memory 1 --guard off --draft-max 5
same --little "$big" --guard off
same --little "$big" --draft-ctx 8
over 3 same --tp 2 --draft suffix
over 3 same --little "$big" --guard off

# The first turn is what generate writes; the whole is what it writes after the text of the turns before.
says "${lines[0]}"
does . chat --big "$big" -n 24
cp out first
input=/dev/null does . generate --big "$big" -n 24 "${lines[0]}"
cmp -s out first || wrong "chat and generate differ"
says "Name three colours." "And three animals, please."
does . chat --big "$big" -n 24 --system "" -o jsonl
python3 - << 'END' > whole
import json
first = json.loads(open("out").readline())["text"]
turn = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
print("<|im_start|>system\n<|im_end|>\n" + turn.format("Name three colours.") + first + "<|im_end|>\n"
      + turn.format("And three animals, please."))
END
sed -n 2p out > second
cp out spoken
does . generate --big "$big" -n 24 --raw -f whole -o jsonl
python3 -c 'import json; a, b = (json.load(open(f)) for f in ("out", "second")); exit(a["ids"] != b["ids"])' ||
    wrong "the second turn is another text than its whole prompt gives"
python3 - > messages.jsonl << 'END'
import json
said = ["Name three colours.", json.loads(open("spoken").readline())["text"], "And three animals, please."]
messages = [{"role": role, "content": text} for role, text in zip(("user", "assistant", "user"), said)]
print(json.dumps({"messages": messages}))
END
does . generate --big "$big" -n 24 --system "" --prompts messages.jsonl -o jsonl
python3 -c 'import json; a, b = (json.load(open(f)) for f in ("out", "second")); exit(a["ids"] != b["ids"])' ||
    wrong "the second turn is another text than its messages give"

says "Name three colours." "And three animals." /reset "Name three colours." /nonsense /file
run chat --big "$big" -n 24 -o jsonl
holds 'a[3]["error"] == "no command /nonsense" and a[4]["error"].endswith(": /file takes a path")'
holds 'a[0]["ids"] == a[2]["ids"] != a[1]["ids"] and a[0]["prompt_tokens"] == a[2]["prompt_tokens"]'
[ "$rc" = 2 ] && grep -q '^pilotfish: 2 of 5 messages were not answered' err || wrong "/nonsense is taken: exit $rc"

says "Name three colours." "$(printf 'word %.0s' $(seq 60))" "Why?"
run chat --big "$big" -n 8 --ctx 80 -o jsonl
holds 'len(a) == 3 and a[2]["prompt_tokens"] < 70 and "the context 80: /reset begins anew" in a[1]["error"]'
[ "$rc" = 2 ] && grep -q '^pilotfish: 1 of 3 messages were not answered' err || wrong "a full context: exit $rc"

says "Name three colours." /quit "Not this."
does . chat --big "$big" -n 4 -o jsonl
holds 'len(a) == 1'

says "Name three colours."
does . chat --big "$big" -n 12 --temp 1 --seed 5
grep -q 'sampled: temperature 1' err || wrong "a sampled answer does not say so"
does . chat --big "$big" -n 12 --accept bild --draft suffix
grep -q '^lossy: bild' err || wrong "a lossy answer does not say so"

# Ctrl-C ends the answer, and the conversation goes on from what there is of it.
mkfifo typing
set -m
"$pilotfish" chat --big "$big" -o text < typing > out 2> err &
pid=$!
set +m
exec 3> typing
n_checks=$((n_checks + 1))
echo "Write a very long story about the sea and its animals. Do not stop before a thousand words." >&3
for _ in $(seq 3000); do [ "$(stat -c %s out)" -gt 40 ] && break; sleep 0.01; done
kill -INT -- "-$pid"
for _ in $(seq 3000); do grep -q 'interrupted' err && break; sleep 0.01; done
grep -q 'interrupted' err || wrong "Ctrl-C does not end an answer"
before=$(stat -c %s out)
echo "Name three colours." >&3
echo /quit >&3
exec 3>&-
wait "$pid"
rc=$?
[ "$rc" = 0 ] || wrong "after Ctrl-C: exit $rc"
[ "$(stat -c %s out)" -gt "$before" ] || wrong "after Ctrl-C: no other answer"

# What a message is, and what is none.
"$tiny" toy.gguf

# <|im_end|> is seven tokens of a message, in the first turn and in the next; with --special it is one.
says 'a<|im_end|>b' 'c<|im_end|>d'
does . chat --big toy.gguf -n 2 -o jsonl
cp out text
says 'a<|im_end|>b' 'c<|im_end|>d'
does . chat --big toy.gguf -n 2 -o jsonl --special
[ "$(python3 -c 'import json, sys
a, b = ([json.loads(line)["prompt_tokens"] for line in open(path)] for path in ("text", "out"))
print(a[0] - b[0], a[1] - b[1])')" = "6 12" ] || wrong "marks in messages of a conversation"
says '{"role": "user", "content": "one\ntwo"}' '"three \u00eb"' '" four"' '{"content": "five"}' '"/six"'
does . chat --big toy.gguf -n 4 -o jsonl
cut -d, -f2-10 out > answers
printf 'five' > file
printf '\357\273\277' > said
printf '%s\r\n' '"""one' 'two""" ' '   ' 'three ë' ' four' '/file  file ' '//six' /quit never >> said
does . chat --big toy.gguf -n 4 -o jsonl
cut -d, -f2-10 out | cmp -s - answers || wrong "the same messages in other forms are answered otherwise"
says '"a\u0000b"'
does . chat --big toy.gguf -n 2 -o jsonl
holds 'len(a) == 1 and len(a[0]["ids"]) == 2'
says '{"content": 1}' one '{"content": " "}' '{' '{"role": "system", "content": "x"}' /file /none '/file .' '"""' two
run chat --big toy.gguf -n 4 -o jsonl
holds '[x["id"] for x in a] == list("123456789") and ["error" in x for x in a] == [True, False] + 7 * [True]'
holds 'a[0]["error"].startswith("standard input:1: no message") and "directory" in a[7]["error"]'
[ "$rc" = 2 ] && grep -q '^pilotfish: 8 of 9 messages were not answered' err || wrong "unreadable messages: exit $rc"

n_checks=$((n_checks + 1))
timeout 120 python3 "$typed" "$pilotfish" toy.gguf > out 2> err || wrong "at a terminal"

"$tiny" whole.gguf && LC_ALL=C sed 's/for message in messages/for massage in messages/' whole.gguf > toy.gguf
refuses 3 "no chat template" chat --big toy.gguf
refuses 2 "chat needs a model" chat
refuses 2 "chat has no option --check" chat --big "$big" --check
refuses 2 "chat takes no argument" chat --big "$big" hello
says "Name three colours."
"$pilotfish" chat --big "$big" -n 4 < said > /dev/full 2> err
rc=$?
{ [ "$rc" = 1 ] && grep -q '^pilotfish: standard output' err; } || wrong "a full disk: exit $rc"
verdict
