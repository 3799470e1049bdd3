#!/usr/bin/env bash
# The built program as people call it: help, typos, bad input. Exit codes and one line each.
#   cli.sh PILOTFISH TINY
set -u
pilotfish=$1 tiny=$2
. "$(dirname "$0")/lib/cli.bash"

# --- help needs no MPI: a launcher that is not there would make its start-up fail -------------------------------------

export OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0 PMIX_RANK=0 PMIX_NAMESPACE=nowhere PMIX_SERVER_URI2=nowhere
for topic in help version generate tokenize inspect doctor worker; do
    does "^pilotfish $topic" help "$topic"
    [ "$(awk 'length > 100' out | wc -l)" = 0 ] || wrong "help $topic: wider than 100 columns"
    does "^pilotfish $topic" "$topic" -h
    does "^pilotfish $topic" "$topic" --help
done
does "pilotfish generate" --help
does "pilotfish generate"
does "[0-9]\.[0-9]" version
does "[0-9]\.[0-9]" --version
unset OMPI_COMM_WORLD_SIZE OMPI_COMM_WORLD_RANK PMIX_RANK PMIX_NAMESPACE PMIX_SERVER_URI2

# --- what is mistyped -------------------------------------------------------------------------------------------------

refuses 2 "did you mean generate?" generte
refuses 2 "did you mean --prompt?" generate --prmpt x
refuses 2 "write --prompt" generate -prompt x
refuses 2 "threads N" generate -m x -ngl 99 y
refuses 2 "generate needs a model" generate x
refuses 2 "must be from 1 to 8" generate -m x --groups 9 y
refuses 2 "a pass has at least 2 rows" generate -m x --max-rows 1 y
refuses 2 "must be from 1 to 64" generate -m x --draft-max 65 y

# --- models that are none ---------------------------------------------------------------------------------------------

"$tiny" toy.gguf || wrong "no toy model"
n_bytes=$(stat -c %s toy.gguf)
: > empty.gguf
head -c 4096 /dev/urandom > random.gguf
head -c 1000 toy.gguf > cut_head.gguf
head -c $((n_bytes / 2)) toy.gguf > cut_data.gguf
{ printf 'GGUF\4\0\0\0'; tail -c +9 toy.gguf; } > too_new.gguf
{ head -c 8 toy.gguf; printf '\377\377\377\377\377\377\377\177'; tail -c +17 toy.gguf; } > many_tensors.gguf
for file in missing empty random cut_head cut_data too_new many_tensors; do
    refuses 3 "$file.gguf" inspect $file.gguf
    refuses 3 "$file.gguf" tokenize --model $file.gguf
    refuses 3 "$file.gguf" generate --big $file.gguf --raw hello
    refuses 3 "$file.gguf" generate --big toy.gguf --little $file.gguf --raw hello
done
refuses 3 "" generate --big . --raw hello

# --- prompts that cannot be -------------------------------------------------------------------------------------------

refuses 2 "prompt is empty" generate --big toy.gguf ""
refuses 2 "standard input: the prompt is empty" generate --big toy.gguf
refuses 2 "nowhere: No such file" generate --big toy.gguf -f nowhere
refuses 2 "context" generate --big toy.gguf --ctx 8 --raw "more words than eight tokens can hold, surely, surely"
echo '{"turns": 7}' > rows.jsonl
refuses 2 "rows.jsonl:1" generate --big toy.gguf --prompts rows.jsonl

# --- and what goes well -----------------------------------------------------------------------------------------------

does "runs here     yes" inspect toy.gguf
does '^  "runs": true' inspect toy.gguf -o json
does '^{"file".*"runs": true' inspect toy.gguf -o jsonl
does '^{"file".*"runs": true' inspect --model toy.gguf -o jsonl
printf 'the <|im_end|>' > text
input=text does "^[0-9 ]*$" tokenize --model toy.gguf
cp out ids
input=ids does "^the <|im_end|>$" tokenize --model toy.gguf --detokenize
does "cores" doctor
does . generate --big toy.gguf --raw -n 8 "Once upon a time"
[ "$(wc -l < err)" -ge 1 ] || wrong "generate: no closing line"

# --- texts at which an answer ends: a person sees what a program reads, whoever drafts, and in a conversation too -----

for topic in "the sea" "a ship" "the night"; do echo "{\"prompt\": \"Once upon a time, $topic\"}"; done > stories.jsonl
n_checks=$((n_checks + 1))
python3 - "$pilotfish" << 'END' || wrong "--stop: what is shown is not the answer, or has the stop"
import json, re, subprocess, sys

def run(*arguments, typed=b""):
    command = [sys.argv[1], *arguments]
    return subprocess.run(command, input=typed, capture_output=True, check=True).stdout.decode("ascii", "ignore")

def plain(text): # bytes that are no character stand otherwise in JSON
    return text.encode("ascii", "ignore").decode()

many = ["generate", "--big", "toy.gguf", "--raw", "-n", "40", "--ignore-eos", "--prompts", "stories.jsonl"]
drafts = ["--little", "toy.gguf", "--guard", "off"]
whole = [json.loads(line)["text"] for line in run(*many, "-o", "jsonl").splitlines()]
for stop in (re.search("[ -~]{%d}" % n, text[20:])[0] for n, text in zip((4, 1, 7), whole)):
    answers = [json.loads(line) for line in run(*many, "--stop", stop, "-o", "jsonl").splitlines()]
    assert [a["text"] for a in answers] == [text.split(stop)[0] for text in whole], (stop, answers, whole)
    assert "stop" in [a["end"] for a in answers]
    shown = "".join(plain(a["text"]) + "\n" for a in answers)
    for more in ([], drafts, ["--parallel", "1"], [*drafts, "--parallel", "2"]):
        assert run(*many, *more, "--stop", stop) == shown, (stop, more)
chat = ["chat", "--big", "toy.gguf", "-n", "30"]
said = run(*chat, typed=b"hello\n")
stop = re.search("[ -~]{3}", said[10:])[0]
assert run(*chat, "--stop", stop, typed=b"hello\n") == said.split(stop)[0] + "\n"
END

# A sample is its prompt's and its seed's: of a line's own, or of the run's and the line's place.
cat > seeds.jsonl << END
{"prompt": "Once upon a time", "seed": 5}
{"prompt": "Once upon a time"}
{"prompt": "Once upon a time", "seed": 5}
{"prompt": "Once upon a time", "seed": 6}
END
does '"seed": 5' generate --big toy.gguf --raw -n 16 --temp 1 --seed 9 --prompts seeds.jsonl -o jsonl
cp out sampled
does . generate --big toy.gguf --raw -n 16 --temp 1 --seed 5 -o jsonl "Once upon a time"
python3 - << 'END' || wrong "a seed in a line of --prompts does not fix its text"
import json
rows = [json.loads(line) for line in open("sampled")]
texts = [row["ids"] for row in rows]
assert texts[0] == texts[2] == json.load(open("out"))["ids"] and len({str(t) for t in texts}) == 3, texts
assert [row["seed"] for row in rows] == [5, 9, 5, 6]
END

# Little proposes nothing that is right: what stands earlier in the text is looked up.
looks_up=(generate --big toy.gguf --little toy.gguf --draft-ctx 1 --draft-vocab 1 --guard off --check --raw
    --ignore-eos -n 400 --ctx 500)
does '"accepted": [1-9]' "${looks_up[@]}" -o jsonl "the the the the the"
does '"drafted": 0,' "${looks_up[@]}" --fallback 2 -o jsonl "the the the the the"

does '"origin"' generate --big toy.gguf --draft suffix --check --raw -n 16 -o jsonl "the the the the the"

# What stands earlier is drafted where the big model's workers go on by themselves; a lossy text asks for its own.
suffix=(generate --big toy.gguf --draft suffix --guard off --raw --ignore-eos -n 400 --ctx 500 -o jsonl "the the the")
does '"drafted": [1-9]' "${suffix[@]}"
grep -q "^note: --self-max" err && wrong "a note about --self-max"
does '"drafted": 0,' "${suffix[@]}" --self-max 1
grep -q "^note: --self-max 1: exact and sampled texts have no drafts" err || wrong "no note about --self-max"
does '"drafted": [1-9]' "${suffix[@]}" --self-max 0 --accept bild

# With a memory the second of two equal texts, which repeat nothing of themselves, comes many tokens a pass.
printf '{"prompt": "once", "temp": 3, "seed": 7}\n%.0s' 1 2 > twice.jsonl
twice=(generate --big toy.gguf --draft suffix --guard off --raw --ignore-eos --prompts twice.jsonl --parallel 1
    -n 60 -o jsonl)
does . "${twice[@]}"
cp out without
does . "${twice[@]}" --draft-memory 1
python3 - << 'END' || wrong "--draft-memory"
import json
without, out = ([json.loads(line) for line in open(name)] for name in ("without", "out"))
assert [r["ids"] for r in out] == [r["ids"] for r in without]
first, second = (r["stats"] for r in out)
assert first["tokens_per_verify"] < 2 and second["tokens_per_verify"] > 3, (first, second)
END

# The drafter reads every id, and proposes those below --draft-vocab and those of the text.
printf hello > text
input=text does . tokenize --model toy.gguf
cp out hello
does '"origin"' generate --big toy.gguf --little toy.gguf --draft-vocab 256 --guard off --check --raw -n 64 -o jsonl \
    hello
python3 - << 'END' || wrong "--draft-vocab 256: other ids are drafted, or none after one that was not"
import json
row = json.load(open("out"))
ids, start = row["ids"], [int(i) for i in open("hello").read().split()]
drafted = [origin == "draft" for origin in row["origin"]]
assert all(i < 256 or i in start + ids[:k] for k, (i, d) in enumerate(zip(ids, drafted)) if d)
assert True in drafted[[i >= 256 for i in row["ids"]].index(True):]
END


# --- what was given and does nothing is noted, once -------------------------------------------------------------------

# notes N PATTERN ARGUMENT...: exit 0, and so many lines of notes, one of which has the pattern (N 0: none).
notes() {
    local n=$1 pattern=$2
    shift 2
    does . "$@"
    [ "$(grep -c '^note: ' err)" = "$n" ] || wrong "$*: not $n notes"
    [ "$n" = 0 ] || grep -q -- "^note: .*$pattern" err || wrong "$*: no note '$pattern'"
}
short=(generate --big toy.gguf --raw -n 2)
notes 0 "" "${short[@]}" hello # the default --ctx is more than the toy has
notes 1 "--ctx 513 is more than the big model was trained for: its context is 512 tokens" "${short[@]}" --ctx 513 hello
notes 0 "" "${short[@]}" --ctx 512 hello
"$tiny" larger.gguf --blocks 9 || wrong "no larger toy"
notes 1 "the little model is larger than the big one" "${short[@]}" --little larger.gguf hello
notes 0 "" generate --big larger.gguf --little toy.gguf --raw -n 2 hello
notes 1 "--threads 999 is more than the" doctor --threads 999
notes 0 "" "${short[@]}" --threads 1 hello
notes 2 "--fallback has no effect: the little model does not draft here" "${short[@]}" --fallback 0.5 --logprobs 2 hello
verdict
