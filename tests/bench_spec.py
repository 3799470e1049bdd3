"""pilotfish simulate and bench spec as people call them: their rows are what the schema says, in every form; what is
wrong costs one line.
   bench_spec.py PILOTFISH TINY SOURCE SCRIPTS
"""
import csv
import io
import json
import os
import signal
import subprocess
import sys
import tempfile

import jsonschema

pilotfish, tiny, source, scripts = sys.argv[1:]
PAIR = ["--synthetic", "tD=1,tT=4:4:5,slope=10"]
schema = json.load(open(os.path.join(source, "docs/bench-spec.schema.json"), encoding="utf-8"))


def call(*words, before=()):
    return subprocess.run([*before, pilotfish, *words], capture_output=True, text=True, timeout=100)


def rows_of(*words, before=()):
    done = call(*words, "-o", "jsonl", before=before)
    assert done.returncode == 0, (words, done.returncode, done.stderr)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    for row in rows:
        jsonschema.validate(row, schema)
    return rows


def check_forms():
    words = ["simulate", *PAIR, "--accept-rate", "0.5,0.9", "--net-delay", "0,10", "--net-jitter", "2", "-n", "64"]
    rows = rows_of(*words)
    assert [row["mode"] for row in rows] == ["plain", "sequential", "pilotfish"] * 4
    assert [row["rtt_ms"] for row in rows] == [0.0] * 3 + [20.0] * 3 + [0.0] * 3 + [20.0] * 3
    assert [row["right"] for row in rows] == ["0.5"] * 6 + ["0.9"] * 6
    assert all(row["emulated"] and row["source"] == "simulated" for row in rows)
    columns = list(csv.DictReader(io.StringIO(call(*words, "-o", "csv").stdout)))
    assert len(columns) == len(rows) and list(columns[0]) == list(rows[0]) == list(schema["properties"])
    for row, column in zip(rows, columns):
        for name, value in row.items():
            text = column[name]
            same = text == "" if value is None else text == value if isinstance(value, str) else \
                text == str(value).lower() if isinstance(value, bool) else abs(float(text) - value) < 1e-6 * abs(value)
            assert same or value == 0.0 and float(text) == 0, (name, value, text)
    table = call(*words).stdout.splitlines()
    assert len(table) == 1 + len(rows) and all(line.startswith("simulated ") for line in table[1:]), table
    assert call(*words).stdout.splitlines() == table  # the same each time
    curve = rows_of("simulate", *PAIR, "--accept-curve", "0.9,0.8,0.7", "--texts", "1", "--baseline", "0")
    assert [row["mode"] for row in curve] == ["plain", "pilotfish"] and curve[0]["over_sequential"] is None


TIMED = ["bench", "spec", *PAIR, "--accept-rate", "0.8", "-n", "24", "--texts", "2", "--warmup", "0", "--repeat", "1",
         "--baseline", "4"]


def check_timed():
    """Nothing here depends on how fast it is. The texts are checked by the command itself."""
    modes = ["plain", "sequential", "pilotfish"]
    for ranks, more in (0, []), (3, []), (6, ["--tp", "2", "--pp", "2"]):
        before = [os.path.join(scripts, "mpirun"), "-n", str(ranks)] if ranks else []
        rows = rows_of(*TIMED, "--net-delay", "0,3", *more, before=before)
        assert [row["mode"] for row in rows] == modes * 2 and [row["rtt_ms"] for row in rows] == [0.0] * 3 + [6.0] * 3
        assert all(row["emulated"] and row["source"] == "timed" for row in rows)
        assert all(row["rtt_measured_ms"] >= row["rtt_ms"] for row in rows), rows
        assert rows[0]["drafted_per_token"] == 0 < rows[1]["drafted_per_token"], rows
    head, *table = (line.split() for line in call(*TIMED, "--net-delay", "3").stdout.splitlines())
    assert head[2:4] == ["RTT", "ms"] and head[4] == "seen" and len(table) == 3, head
    assert all(row[2] == "6" and float(row[3]) >= 6 for row in table), table
    lines = call(*TIMED[:-2], "--tp", "2", before=[os.path.join(scripts, "mpirun"), "-n", "3"]).stderr.splitlines()
    assert any("scripts/mpirun -n 4 pilotfish bench spec" in line for line in lines), lines


def check_pair(folder):
    """A toy pair: all ways write the same text, over a network too; a lossy rule may be swept."""
    big, little, prompts = (os.path.join(folder, name) for name in ("big.gguf", "little.gguf", "prompts.jsonl"))
    for path, options in ((big, []), (little, ["--left-out", "2"])):
        subprocess.run([tiny, path, *options], check=True)
    with open(prompts, "w", encoding="utf-8") as out:
        for name in "The little friend", "She said":
            print(json.dumps({"prompt": name}), file=out)
    words = ["bench", "spec", "--big", big, "--little", little, "--prompts", prompts, "--raw", "--ignore-eos",
             "-n", "16", "--baseline", "2,4", "--repeat", "1"]
    for ranks in 0, 3:
        before = [os.path.join(scripts, "mpirun"), "-n", str(ranks)] if ranks else []
        rows = rows_of(*words, "--net-delay", "0,2", before=before)
        assert [row["mode"] for row in rows] == ["plain", "sequential", "pilotfish"] * 2
        assert [row["emulated"] for row in rows] == [False] * 3 + [True] * 3
        assert all(row["source"] == "measured" and row["big"] == big and row["synthetic"] is None for row in rows), rows
    rows = rows_of(*words, "--accept", "bild", "--fallback", "0.1,0.2", "--rollback", "1-3")
    assert [(row["fallback"], row["rollback"]) for row in rows[::3]] == [(f, r) for f in (0.1, 0.2) for r in (1, 2, 3)]
    with open(prompts, "a", encoding="utf-8") as out:
        print("{}", file=out)
    for more, says in (([], "1 of 3 prompts"), (["--texts", "2"], "--texts has no use with models"),
                       (["--no-draft"], "needs a little model")):
        done = call(*words, *more)
        assert done.returncode == 2 and not done.stdout and says in done.stderr.splitlines()[-1], done


def check_trace(path, command, exact):
    """Every way has a text of its own, in which what begins ends, and no worker does two things at once."""
    row = rows_of(*command, "--accept-rate", "0.8", "--net-delay", "4", "-n", "32", "--texts", "1", "--baseline", "2",
                  "--trace", path)
    events = json.load(open(path, encoding="utf-8"))["traceEvents"]
    texts = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert [name.split(",")[0] for name in texts.values()] == [r["mode"] for r in row], texts
    for text, name in texts.items():
        mine = [event for event in events if event["pid"] == text]
        ways = {kind: sorted((e["name"], e["id"]) for e in mine if e["ph"] == kind) for kind in "be"}
        open_ends = [way for way in ways["b"] if way not in ways["e"]]  # the text was done before they came
        assert ways["b"] and len(ways["b"]) == len(ways["e"]) + len(open_ends), (name, ways)
        assert len(open_ends) <= (0 if exact else 16), (name, open_ends)
        for worker in 2, 3:
            spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in mine if e["ph"] == "X" and e["tid"] == worker)
            late = [b for a, b in zip(spans, spans[1:]) if b[0] < a[1] - 1]
            assert not exact or not late, (name, worker, late)
            assert bool(spans) == (worker == 3 or "plain" not in name), (name, worker)
        refuted = [e["args"] for e in mine if e["name"] == "rollback"]
        assert bool(refuted) == ("plain" not in name), (name, refuted)
        assert all(args["right"] < args["drafted"] for args in refuted), (name, refuted)


def check_trace_of_groups(path):
    """Texts take turns with the groups, of which each has a row with a name."""
    rows_of("bench", "spec", *PAIR, "--accept-rate", "0.8", "-n", "16", "--texts", "1", "--groups", "2", "--trace", path)
    events = json.load(open(path, encoding="utf-8"))["traceEvents"]
    named, computing = ({(e["pid"], e["tid"]) for e in events if e[key] == value}
                        for key, value in (("name", "thread_name"), ("ph", "X")))
    assert computing <= named and any(row == 4 for _, row in computing), (named, computing)


def check_interrupted(folder):
    """What Ctrl-C leaves is kept, and not run again."""
    kept = os.path.join(folder, "rows.jsonl")
    words = [pilotfish, *TIMED, "--net-delay", "0,1,2", "--keep", kept, "-o", "jsonl"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for _ in range(3):
        running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=100)
    assert running.returncode == 130 and errors.splitlines()[-1] == "pilotfish: interrupted", (running, errors)
    before = open(kept, encoding="utf-8").read()
    assert before.count("\n") in (3, 6), before
    again = call(*words[1:])
    assert again.returncode == 2 and "--resume" in again.stderr, again
    done = call(*words[1:], "--resume")
    assert done.returncode == 0, done
    text = open(kept, encoding="utf-8").read()
    rows = [json.loads(line) for line in text.splitlines()]
    assert text.startswith(before) and [row["net_delay_ms"] for row in rows] == [0.0] * 3 + [1.0] * 3 + [2.0] * 3
    assert text == before + done.stdout


WRONG = [
    (["simulate"], 2, "simulate needs a pair: --synthetic"),
    (["simulate", "--synthetic", "tD=8"], 2, "it needs both"),
    (["simulate", "--synthetic", "tD=8,tT=30:x", "--accept-rate", "1"], 2, "not as in tD=8,tT=30"),
    (["simulate", "--synthetic", "tD=0,tT=30", "--accept-rate", "1"], 2, "it needs both"),
    (["simulate", "--synthetic", "tD=8,tT=30,beside=x", "--accept-rate", "1"], 2, "beside=1.4"),
    (["bench", "spec", "--synthetic", "tD=8,tT=30,beside=2", "--accept-rate", "1"], 2, "only simulate has it"),
    (["plan", "--hosts", "F", "--synthetic", "tD=8,tT=30,beside=2"], 2, "only simulate has it"),
    (["simulate", "--synthetic", "tD=1,tT=1e9", "--accept-rate", "1"], 2, "at most 10000"),
    (["simulate", *PAIR], 2, "--accept-rate A, --accept-curve S1,S2,... or --accept-trace FILE"),
    (["bench", "spec", *PAIR], 2, "--accept-rate A or --accept-curve"),
    (["bench", "spec", *PAIR, "--accept-trace", "F"], 2, "--accept-trace"),
    (["simulate", *PAIR, "--accept-rate", ".5", "--accept-trace", "F"], 2, "only one of"),
    (["simulate", *PAIR, "--accept-trace", "/no/such"], 2, "--accept-trace /no/such: No such file"),
    (["simulate", *PAIR, "--accept-trace", "/"], 2, "--accept-trace /: Is a directory"),
    (["simulate", *PAIR, "--accept-rate", ".1,.2,.3,.4,.5,.6,.7,.8,.9"], 2, "at most 8 values"),
    (["simulate", *PAIR, "--accept-curve", ".5,.6"], 2, "must fall"),
    (["simulate", *PAIR, "--accept-rate", ".5", "--net-delay", "0,x"], 2, "not a list of numbers"),
    (["simulate", *PAIR, "--accept-rate", ".5", "--net-delay", "0-1:0"], 2, "in steps above 0"),
    (["simulate", *PAIR, "--accept-rate", ".5", "--net-delay", "0-9999"], 2, "at most 64 values"),
    (["simulate", *PAIR, "--accept-rate", ".5", "--net-delay", "0-63", "--net-jitter", "0-63", "--net-rate", "1-64",
      "--draft-max", "1-64", "--draft-ahead", "0-63", "--draft-block", "1-64"], 2, "combinations of values"),
    (["simulate", *PAIR, "--accept-rate", ".5", "--draft-max", "4,99"], 2, "must be from 1 to 64"),
    (["simulate", *PAIR, "--accept-rate", ".5", "-n", "5000"], 2, "--n-predict 5000"),
    (["simulate", *PAIR, "--accept-rate", ".5", "--texts", "32"], 2, "--texts and --warmup"),
    (["simulate", *PAIR, "--accept-rate", ".5", "--trace", "/no/such/folder"], 2, "--trace /no/such/folder"),
    (["simulate", *PAIR, "--accept-rate", ".5", "--resume"], 2, "--keep FILE"),
    (["simulate", *PAIR, "--accept-rate", ".5", "--keep", "/no/such/folder"], 2, "--keep /no/such/folder"),
    (["bench", "spec", *PAIR, "--accept-rate", ".5", "--temp", "1"], 2, "--temp has no use with --synthetic"),
    (["bench", "spec", *PAIR, "--accept-rate", ".5", "--big", "B"], 2, "--big has no use with --synthetic"),
    (["bench", "spec"], 2, "bench spec needs a pair: --synthetic"),
    (["bench", "spec", "--big", "B", "--little", "L"], 2, "bench spec needs prompts"),
    (["tokenize", "-o", "csv", "--model", "M"], 2, "-o csv is of bench spec, simulate and eval pareto"),
    (["generate", "--big", "B", "--net-delay", "1,2", "x"], 2, "not milliseconds"),
]


def check_errors():
    for words, code, says in WRONG:
        done = call(*words)
        lines = done.stderr.splitlines()
        assert done.returncode == code and len(lines) == 1 and says in lines[0] and not done.stdout, (words, done)


def replayed(origins, length):
    """Sequential drafts of that length over a text: verifies behind the first token, drafts, those that are right."""
    at, verifies, drafted, right = 1, 0, 0, 0
    while at < len(origins):
        n = min(length, len(origins) - at - 1)
        kept = next((i for i in range(n) if origins[at + i] == "correction"), n)
        verifies, drafted, right = verifies + 1, drafted + n, right + kept
        at += kept + 1
    return verifies, drafted, right


def check_paired_luck(folder):
    """Drafts are right where those of a run were: its counts are those of a replay by hand, and bursts cost what they
    cost. Every place of these texts is told."""
    path, texts = os.path.join(folder, "luck"), []
    for text in range(3):  # bursts: a long run of right drafts, then wrong ones
        texts.append(["big"] + [("draft" if (i * (text + 3)) % 23 < 15 else "correction") for i in range(63)])
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(json.dumps({"id": "0", "origin": origins, "text": "\0"}) + "\n" for origins in texts)
    share = round(sum(origins.count("draft") / 63 for origins in texts) / 3, 3)
    words = ["simulate", *PAIR, "--accept-trace", path, "-n", "64", "--net-delay", "5"]
    for length in 1, 4, 9:
        row = next(row for row in rows_of(*words, "--baseline", str(length)) if row["mode"] == "sequential")
        counts = [sum(column) for column in zip(*(replayed(origins, length) for origins in texts))]
        mine = [row["verifies_per_token"], row["drafted_per_token"], row["drafted_per_token"] - row["wasted_per_token"]]
        assert all(abs(192 * x - n) < 1e-6 for x, n in zip(mine, counts)), (length, counts, [192 * x for x in mine])
        assert row["texts"] == 3 and row["prompts"] == path and float(row["right"]) == share, row
    for content, says in (("", "no texts"), ("{\n", ":1: no text"), ('{"origin": ["big"]}\n', ":1: no text"),
                          ('{"origin": [3]}\n', ":1: no text"), ('{"origin": ["draft"]}\n' * 33, "more than 32")):
        with open(path, "w", encoding="utf-8") as out:
            out.write(content)
        done = call(*words)
        assert done.returncode == 2 and says in done.stderr and len(done.stderr.splitlines()) == 1, (content, done)


def check_beside():
    """Roles whose cores share a memory: only what runs beside the other takes longer."""
    words = ["simulate", "--accept-rate", ".9", "--net-delay", "5", "-n", "200"]
    alone, shared = ({row["mode"]: row["tokens_per_s"] for row in rows_of(*words, "--synthetic", "tD=8,tT=30" + more)}
                     for more in ("", ",beside=1.5"))
    assert shared["plain"] == alone["plain"] and shared["sequential"] == alone["sequential"], (alone, shared)
    assert alone["pilotfish"] / 1.5 < shared["pilotfish"] < .9 * alone["pilotfish"], (alone, shared)


# S(j) of the Qwen2.5-Coder pair, by kind of prompt (PERFORMANCE.md).
CURVES = {"coding": ".88,.77,.69,.64,.59,.55,.51,.45", "math_reasoning": ".84,.77,.71,.61,.55,.51,.46,.40",
          "summarization": ".85,.79,.69,.64,.62,.58,.55,.51", "translation": ".59,.41,.22,.09",
          "qa": ".51,.38,.24,.18,.13,.11,.09"}


def check_pair_of_code():
    """What a pair with the times and the luck of the real one gains over networks, to 3 %: over the best sequential
    drafts on code, and over plain with any kind of prompt."""
    for kind, curve in CURVES.items():
        words = ["simulate", "--synthetic", "tD=8,tT=30:30:30:30,slope=8", "--accept-curve", curve, "-n", "300",
                 "--texts", "30", "--net-delay", "0,2.5,10,40", "--baseline", "1-12" if kind == "coding" else "0"]
        for row in rows_of(*words):
            least = {5: 1.3, 20: 1.45, 80: 1.7}.get(row["rtt_ms"], 0) if kind == "coding" else 0
            wrong = row["over_plain"] < .97 or (row["over_sequential"] or 9) < .97 * least
            assert row["mode"] != "pilotfish" or not wrong, (kind, row)


def check_slow_links():
    """Drafts go one in a message, and two where the link is slower than the little model. No faster link is slower."""
    words = ["simulate", "--synthetic", "tD=8,tT=30,slope=8", "--accept-rate", ".8", "--net-delay", "2.5", "--net-rate"]
    for rate, block in (".02", "2"), (".1", "1"), ("0", "1"):
        rows = rows_of(*words, rate, "--baseline", "0", "--draft-block", "0-2")
        default, one, two = (row["tokens_per_s"] for row in rows if row["mode"] == "pilotfish")
        assert default == max(one, two) == {"1": one, "2": two}[block], (rate, default, one, two)
    words = ["simulate", "--synthetic", "tD=2,tT=30,slope=2", "--accept-rate", ".6", "--net-delay", "2.5", "--baseline",
             "0", "-n", "300", "--texts", "16", "--net-rate", ".03,.05,.1,.2,.3,.5,1,0"]
    speeds = [row["tokens_per_s"] for row in rows_of(*words) if row["mode"] == "pilotfish"]
    assert all(slower < 1.01 * faster for slower, faster in zip(speeds, speeds[1:])), speeds


def main():
    check_forms()
    check_pair_of_code()
    check_slow_links()
    check_beside()
    check_errors()
    check_timed()
    with tempfile.TemporaryDirectory() as folder:
        check_interrupted(folder)
        check_pair(folder)
        check_paired_luck(folder)
        check_trace(os.path.join(folder, "virtual"), ["simulate", *PAIR], True)
        check_trace(os.path.join(folder, "timed"), ["bench", "spec", *PAIR, "--repeat", "1"], False)
        check_trace_of_groups(os.path.join(folder, "groups"))
    print("ok")


main()
