"""Lines of --prompts that have settings of their own: each answer is the one that the line has alone, with the same
settings on the command line. And one that fails, which does not end the others.
   lines.py PILOTFISH TINY
"""
import json
import os
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from gguf_file import Toy  # noqa: E402

pilotfish, tiny = (os.path.abspath(path) for path in sys.argv[1:])
PROMPT = "Once upon a time there was"
PAIR = ["--big", "big.gguf", "--little", "little.gguf", "--guard", "off", "--raw", "--ignore-eos"]
KEPT = ("ids", "logprobs", "text", "end", "seed")
n_checks = n_wrong = 0


def check(what, good, *shown):
    global n_checks, n_wrong
    n_checks += 1
    if not good:
        n_wrong += 1
        print("WRONG:", what, *shown)


def run(*arguments, typed="", code=0):
    done = subprocess.run([pilotfish, *arguments], input=typed, capture_output=True, text=True, errors="replace")
    check(f"exit {done.returncode}, not {code}: {arguments}", done.returncode == code, done.stderr)
    return done


def answers(*arguments, lines=None, **how):
    more = []
    if lines is not None:
        with open("lines.jsonl", "w", encoding="utf-8") as f:
            f.writelines(json.dumps(line) + "\n" for line in lines)
        more = ["--prompts", "lines.jsonl"]
    done = run(*arguments, *more, "-o", "jsonl", **how)
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def of(answer):
    return {key: answer[key] for key in KEPT if key in answer}


def on_the_command_line(line):
    words = []
    for key, value in line.items():
        for one in value if isinstance(value, list) else [value]:
            words += ["--" + key.replace("_", "-"), str(one)]
    return words


def lines_with_settings():
    whole = answers("generate", *PAIR, PROMPT)[0][0]["text"]
    return [
        {},
        {"temperature": 1.5, "seed": 5},
        {"accept": "bild", "fallback": 0.1, "rollback": 4},
        {"stop": [whole[9:12]]},
        {"n_predict": 7},
        {"max_tokens": 12, "accept": "bild", "fallback": 0.2, "draft_max": 3, "rollback_rule": "repo"},
        {"accept": "sample", "top_k": 9, "top_p": 0.9, "min_p": 0.01, "seed": 6, "draft_max": 2},
        {"temp": 0.8, "seed": 5, "stop": ["q", "e"]},
    ]


def each_line_is_what_it_is_alone(lines):
    prompts = [{"id": str(i), "prompt": PROMPT, **line} for i, line in enumerate(lines)]
    base = ["generate", *PAIR]
    alone = [of(answers(*base, *on_the_command_line(line), PROMPT)[0][0]) for line in lines]
    check("the lines have the same texts", len({str(one["ids"]) for one in alone}) > 6, alone)
    check("no line ends at a stop", [one["end"] for one in alone].count("stop") > 1, alone)
    for more in ([], ["--parallel", "1"], ["--tp", "2"], ["--groups", "2", "--max-rows", "11"], ["--check"]):
        together, notes = answers(*base, *more, lines=prompts)
        check(f"{more}: other answers than alone", [of(one) for one in together] == alone, together, alone)
        check(f"{more}: no line says how the texts were chosen",
              "\nsampled (3 of 8 prompts): with settings of their own\n" in notes
              and "\nlossy: bild (2 of 8 prompts), with settings of their own; " in notes, notes)
        if more == ["--check"]:
            check("the check does not say what it left out",
                  "bit for bit; 2 lossy texts are not compared\n" in notes, notes)
    # A run's settings are the defaults of its lines: what is greedy there says so.
    sampled = [dict(line, temp=0) if not {"temp", "temperature", "accept"} & line.keys() else line for line in prompts]
    together, _ = answers(*base, "--temp", "2", "--top-k", "3", lines=sampled[:1] + sampled[2:6])
    check("--temp 2: other answers than alone", [of(one) for one in together] == alone[:1] + alone[2:6], together)


def compare_and_bench_take_them(lines):
    prompts = [{"id": str(i), "prompt": PROMPT, **line} for i, line in enumerate(lines)]
    rows, _ = answers("eval", "compare", *PAIR, lines=prompts)
    exact = [row["exact"] for row in rows[:-1]]
    check("eval compare: not the lines' own settings",
          exact[0] and exact[3] and exact[4] and not (exact[1] or exact[6]), rows)
    rows, _ = answers("bench", "pair", *PAIR, lines=prompts)
    n_tokens = [row["drafts"]["tokens"] for row in rows]
    for row in rows:
        read = [row[way]["prompt_rows"] for way in ("plain", "drafts")]
        whole = read == [row["plain"]["prompt_tokens"]] * 2
        check("bench pair: a way begins with what the other has read", whole, row)
    check("bench pair: not the lines' own settings", n_tokens[4:6] == [7, 12] and len(rows) == len(lines), n_tokens)


def trap(source, target, trap_id):
    """No number is finite after this id: one dimension that only it has meets a weight that is more than KV holds."""
    toy, dim = Toy(source), 5
    data = bytearray(toy.data)
    (n_embd, n_vocab), _, at = toy.tensors["token_embd.weight"]
    for i in range(n_vocab):
        struct.pack_into("<f", data, at + 4 * (n_embd * i + dim), 1e3 if i == trap_id else 0)
    struct.pack_into("<f", data, toy.tensors["blk.0.attn_v.weight"][2] + 4 * dim, 5e5)
    toy.data = bytes(data)
    toy.write(target)


def a_request_that_fails_does_not_end_the_others():
    """The little model cannot read ~, so a lossy text with it cannot be written; an exact one can."""
    why = "the drafter came to a number that is not finite, and without it the text would be another"
    (trap_id,) = run("tokenize", "--model", "little.gguf", typed="~").stdout.split()
    trap("little.gguf", "sick.gguf", int(trap_id))
    pair = ["--big", "big.gguf", "--little", "sick.gguf", "-n", "6"]
    lossy = {"accept": "bild"}
    lines = [{"prompt": "Once"}, {"prompt": "~ Once", **lossy}, {"prompt": "Once", **lossy}, {"prompt": "~ Once"}]
    fails = [False, True, False, False]
    for command in (["generate"], ["eval", "compare"], ["bench", "pair"]):
        rows, notes = answers(*command, *pair, "--raw", lines=lines, code=3)
        check(f"{command}: not the one that fails", [why in row.get("error", "") for row in rows[:4]] == fails, rows)
        check(f"{command}: not said at the end", "pilotfish: 1 of 4 prompts failed, the first" in notes, notes)
        text = run(*command, *pair, "--raw", "--prompts", "lines.jsonl", code=3)
        check(f"{command}: not said in its place", f"== 1\n{why}" in text.stderr, text.stderr)
    alone = run("generate", *pair, "--raw", "--accept", "bild", "~ Once", code=3)
    check("the only one: not said once", alone.stderr.count(why) == 1, alone.stderr)
    messages = "hello\nhi ~ hi\nhello\n"
    rows, notes = answers("chat", *pair, "--accept", "bild", typed=messages, code=2)
    check("chat: not the one that fails", [why in row.get("error", "") for row in rows] == [False, True, False], rows)
    check("chat: it is a part of the conversation", rows[2]["prompt_tokens"] < rows[1]["prompt_tokens"], rows)
    check("chat: not said at the end", "1 of 3 messages were not answered" in notes, notes)


def a_text_that_big_cannot_read_does_not_end_the_others():
    """Neither in the same pass nor over shards and stages; the others are what they are alone."""
    why = "a number that is not finite in block 0 at position"
    (trap_id,) = run("tokenize", "--model", "big.gguf", typed="~").stdout.split()
    trap("big.gguf", "sickbig.gguf", int(trap_id))
    lines = [{"prompt": "Once"}, {"prompt": "~ Once"}, {"prompt": "upon a time"}]
    for layout in ([], ["--tp", "2"], ["--pp", "2"], ["--draft", "suffix"], ["--parallel", "1"]):
        rows, notes = answers("generate", "--big", "sickbig.gguf", "-n", "6", "--raw", *layout, lines=lines, code=3)
        errors = [why in row.get("error", "") for row in rows]
        check(f"{layout}: not the one that fails", errors == [False, True, False], rows)
        check(f"{layout}: not said at the end",
              "pilotfish: 1 of 3 prompts failed, the first (number 1, from 0)" in notes, notes)
        for row, line in zip(rows, lines):
            alone = run("generate", "--big", "sickbig.gguf", "-n", "6", "--raw", "-o", "jsonl", line["prompt"],
                        code=3 if "~" in line["prompt"] else 0)
            check(f"{layout}: another text than alone", json.loads(alone.stdout)["ids"] == row["ids"], row)


def main():
    os.environ["PILOTFISH_N_PREDICT"] = "40"  # less than the command line, as it is less than a line
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        subprocess.run([tiny, "big.gguf"], check=True)
        subprocess.run([tiny, "little.gguf", "--left-out", "2"], check=True)
        lines = lines_with_settings()
        each_line_is_what_it_is_alone(lines)
        compare_and_bench_take_them(lines)
        a_request_that_fails_does_not_end_the_others()
        a_text_that_big_cannot_read_does_not_end_the_others()
    print(f"{n_checks} checks, {n_wrong} wrong")
    return n_wrong > 0


sys.exit(main())
