#!/usr/bin/env python3
"""Trained exits, from a text to drafts: rows of a toy (`eval rows`), blocks trained on them (scripts/train/balcony.py),
their side files as drafters and as served plans; one exit in a file, and two with a cut head.

  balcony.py PILOTFISH TINY SCRIPTS [--steps N | --long]

Training must lower the loss and raise the share of drafts that are accepted, and what the model writes must not change.
--long: of SmolLM2 instead, as docs/papers.md has it, on the text of `scripts/fetch-data wikitext-2`.
"""
import json
import os
import subprocess
import sys
import tempfile

import reproduce

N_TOKENS, EXIT = 48, 1
os.environ["OPENBLAS_NUM_THREADS"] = "1"


def run(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more).stdout


def fails(code, words, *command):
    """One line that says why, and the code."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ok = done.returncode == code and words in done.stderr and len(done.stderr.splitlines()) == 1
    if not ok:
        print(f"{' '.join(command[1:])}: code {done.returncode}, expected {code}: {done.stderr}")
    return ok


def agrees_with_numpy(pilotfish, served, side, exit, ids=None):
    """The plain model of tests/reproduce.py writes the same ids under the side file, with the same ln p."""
    model, same, far = reproduce.Model("big.gguf"), True, []
    if side:
        model.add_side(side, exit)
    if ids:
        model.cut(ids)
    for line in served:
        guess = line["ids"][: reproduce.N_TOKENS]
        own, sure = reproduce.greedy_with_log_p(model, line["prompt_ids"], guess)
        same &= own == guess
        far += [abs(a - b) for a, b in zip(sure, line["logprobs"])]
    print(f"numpy: the same ids: {same}, ln p within {sum(far) / len(far):.1e}, at most {max(far):.1e}")
    return same and sum(far) / len(far) < 1e-4 and max(far) < 1e-3


def two_exits(pilotfish, train, generate, plain):
    """In one file, over a head of the 200 likeliest ids: each exit's drafts leave the text as it is, and each served
    writes what numpy does; and a cut head of a plan without a side file."""
    log = train("two.gguf", "--steps", "100", "--ids", "likely:200", exits="1,2")
    right = all(log[-1]["exits"][e]["held_loss"] < log[0]["exits"][e]["held_loss"] for e in ("1", "2"))
    shown = run(pilotfish, "inspect", "two.gguf")
    right &= "an exit after 1, 2 blocks" in shown and "of 200 listed ids" in shown
    for exit in (1, 2):
        plan = f"balcony:two.gguf:{exit}"
        for layout in ([], ["--tp", "2"]):
            right &= [line["ids"] for line in generate("--draft-plan", plan, "--guard", "off", *layout)] == plain
        served = generate("--plan", plan)
        right &= [line["ids"] for line in generate("--plan", plan, "--tp", "3")] == [line["ids"] for line in served]
        right &= agrees_with_numpy(pilotfish, served, "two.gguf", exit)
    right &= [line["ids"] for line in generate("--draft-plan", "balcony:two.gguf", "--depth", "2")] == plain
    for name, plan in (("one", {"entries": [{"block": 0}, {"block": 2}], "ids": [*range(3, 500, 2)]}),
                       ("deep", {"entries": [{"block": 0}, {"block": 1}, {"block": "side", "exit": 2}],
                                 "side": "two.gguf", "ids": [*range(0, 600, 3)]})):
        with open(f"{name}.json", "w", encoding="utf-8") as out:
            json.dump(plan, out)
        served = generate("--plan", f"{name}.json")
        right &= all(i in plan["ids"] for line in served for i in line["ids"])
        if name == "deep":
            right &= agrees_with_numpy(pilotfish, served, "two.gguf", 2, plan["ids"])
        right &= [line["ids"] for line in generate("--draft-plan", f"{name}.json", "--guard", "off")] == plain
    right &= ", of 200 ids" in run(pilotfish, "inspect", "big.gguf", "--plan", "balcony:two.gguf:1")
    if not right:
        print("two exits in a file: wrong")
    return right


def of_smollm2(pilotfish, scripts):
    """Behind 20 of 30 blocks: agreement of .55 or more on held text, after 15 minutes of one core or less."""
    big = os.path.join(os.environ["PILOTFISH_MODELS"], "SmolLM2-135M-Instruct.Q4_1.gguf")
    text = os.path.join(os.environ["PILOTFISH_DATA"], "wikitext-2", "wiki.test.raw")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run(pilotfish, "eval", "rows", "--big", big, "--exit", "20", "--window", "256", text)
        run(sys.executable, f"{scripts}/train/balcony.py", "--big", big, "--rows", "rows.bin", "--ids", "8192",
            "--steps", "700", "--out", "side.gguf")
        with open("side.gguf.log", encoding="utf-8") as log:
            first, *_, last = [line for line in map(json.loads, log) if "held_loss" in line]
        os.chdir("/")
    print(f"held loss {first['held_loss']} -> {last['held_loss']}, agreement {first['held_agreement']} -> "
          f"{last['held_agreement']}, {last['cpu_seconds']} s of CPU")
    return last["held_loss"] < first["held_loss"] and last["held_agreement"] >= 0.55 and last["cpu_seconds"] <= 900


def main():
    pilotfish, tiny, scripts = (os.path.realpath(path) for path in sys.argv[1:4])
    if "--long" in sys.argv:
        sys.exit(not of_smollm2(pilotfish, scripts))
    steps = sys.argv[sys.argv.index("--steps") + 1] if "--steps" in sys.argv else "300"
    head = os.path.join(os.path.dirname(os.path.realpath(__file__)), "data/wikitext-2/head.txt")
    with open(head, encoding="utf-8") as f:
        text = f.read()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run(tiny, "big.gguf", "--arch", "llama")
        run(tiny, "other.gguf", "--arch", "qwen2")
        run(tiny, "wide.gguf", "--arch", "llama", "--ff", "176", "--side", "big.gguf")
        with open("text.txt", "w", encoding="utf-8") as out:
            out.write(text[:40000])
        with open("prompts.jsonl", "w", encoding="utf-8") as out:
            for i in range(8):
                print(json.dumps({"prompt": text[-6000 + 700 * i:][:120]}), file=out)
        run(pilotfish, "eval", "rows", "--big", "big.gguf", "--exit", f"{EXIT},2", "--window", "96", "text.txt")
        script = [sys.executable, f"{scripts}/train/balcony.py", "--big", "big.gguf", "--rows", "rows.bin"]

        def train(out, *options, exits=str(EXIT)):
            run(*script, "--out", out, "--exits", exits, *options)
            with open(out + ".log", encoding="utf-8") as f:
                asked, *lines = map(json.loads, f)
            return lines if asked["trainer"] == "balcony.py" and asked["seed"] == 1 else []

        def generate(*options):
            lines = run(pilotfish, "generate", "--big", "big.gguf", "--prompts", "prompts.jsonl", "--raw",
                        "--ignore-eos", "-o", "jsonl", "-n", str(N_TOKENS), *options)
            return [json.loads(line) for line in lines.splitlines()]

        right = fails(3, "side.gguf.npz: no such file", *script, "--out", "side.gguf", "--resume")
        right &= fails(3, "no rows of `pilotfish eval rows`", *script, "--out", "side.gguf", "--rows", "big.gguf")
        train("untrained.gguf")
        half = train("side.gguf", "--steps", str(int(steps) // 2))
        log = train("side.gguf", "--steps", steps, "--resume")
        right &= log[: len(half)] == half and log[-1]["step"] == int(steps)
        first, last = log[0], log[-1]
        print(f"held loss {first['held_loss']} -> {last['held_loss']}, agreement {first['held_agreement']} -> "
              f"{last['held_agreement']}, {last['seconds']} s")
        run(sys.executable, f"{scripts}/report", "side.gguf.log", "--out", "report.html")
        with open("report.html", encoding="utf-8") as page:
            right &= "Loss against steps" in page.read()
        right &= last["held_loss"] < first["held_loss"] and last["held_agreement"] > first["held_agreement"]

        plain, shares = [line["ids"] for line in generate("--no-draft")], []
        for side in ("untrained.gguf", "side.gguf"):
            for layout in ([], ["--tp", "2"], ["--pp", "2"]):
                lines = generate("--draft-plan", f"balcony:{side}", "--guard", "off", "--draft-max", "4", *layout)
                right &= [line["ids"] for line in lines] == plain
            judged, accepted = (sum(line["stats"][k] for line in lines) for k in ("judged", "accepted"))
            shares.append(accepted / judged)
            print(f"{side}: {accepted} of {judged} judged drafts accepted")
        right &= shares[1] > shares[0]

        served = generate("--plan", "balcony:side.gguf")
        for layout in (["--tp", "2"], ["--pp", "2"]):
            right &= [line["ids"] for line in generate("--plan", "balcony:side.gguf", *layout)] == [
                line["ids"] for line in served]
        with open("plan.json", "w", encoding="utf-8") as out:
            json.dump({"entries": [{"block": 0}, {"block": "side"}], "side": "side.gguf"}, out)
        right &= [line["ids"] for line in generate("--plan", "plan.json")] == [line["ids"] for line in served]
        agreed = sum(a == b for line, ids in zip(served, plain) for a, b in zip(line["ids"], ids))
        print(f"served: {agreed} of {8 * N_TOKENS} ids at the same places as big's own")
        right &= agrees_with_numpy(pilotfish, served, "side.gguf", EXIT)
        right &= two_exits(pilotfish, train, generate, plain)
        right &= "an exit after 1 blocks" in run(pilotfish, "inspect", "side.gguf")
        shown = run(pilotfish, "inspect", "big.gguf", "--plan", "balcony:side.gguf")
        right &= "0,side side.gguf, then" in shown and "mlp         #...\n" in shown
        with open("side.gguf", "rb") as whole, open("cut.gguf", "wb") as cut:
            cut.write(whole.read()[:9000])
        for code, words, options in [
            (3, "blk.4.ffn_gate.weight", ["--big", "big.gguf", "--draft-plan", "balcony:wide.gguf"]),
            (3, "blk.4.ffn_gate.weight", ["--big", "big.gguf", "--plan", "balcony:wide.gguf", "--tp", "2"]),
            (3, "it is cut off", ["--big", "big.gguf", "--draft-plan", "balcony:cut.gguf"]),
            (3, "it is cut off", ["--big", "big.gguf", "--plan", "balcony:cut.gguf"]),
            (3, "was made for another model", ["--big", "other.gguf", "--draft-plan", "balcony:side.gguf"]),
            (3, "was made for another model", ["--big", "other.gguf", "--plan", "balcony:side.gguf"]),
            (3, "is for an exit after 1 blocks, not 2", ["--big", "big.gguf", "--plan", "balcony:side.gguf:2"]),
            (3, "is for an exit after 1 blocks, not 2", ["--big", "big.gguf", "--draft-plan", "balcony:side.gguf",
                                                         "--depth", "2"]),
            (3, "several exits: say after which of 1, 2 blocks", ["--big", "big.gguf", "--plan", "balcony:two.gguf"]),
            (3, "is for an exit after 1, 2 blocks, not 3", ["--big", "big.gguf", "--draft-plan", "balcony:two.gguf:3"]),
            (3, "no side file", ["--big", "big.gguf", "--draft-plan", "balcony:big.gguf"]),
            (2, "cannot be read", ["--big", "big.gguf", "--draft-plan", "balcony:"])]:
            right &= fails(code, words, pilotfish, "generate", *options, "x")
        right &= fails(3, "model: its base is", pilotfish, "inspect", "other.gguf", "--plan", "balcony:side.gguf")
        right &= fails(3, "is a side file", pilotfish, "inspect", "side.gguf", "--plan", "layerskip:1")
        rows = ["eval", "rows", "--big", "big.gguf", "--exit", "3", "--window", "96"]
        right &= fails(2, "the text has", pilotfish, *rows, os.devnull)
        right &= fails(2, "none/rows.bin: No such file", pilotfish, *rows, "--save", "none/rows.bin", "text.txt")
        right &= fails(1, "/dev/full: No space left", pilotfish, *rows, "--save", "/dev/full", "text.txt")
        for words, options in [
            ("none.gguf: No such file", ["--big", "none.gguf"]),
            ("text.txt: no GGUF file", ["--big", "text.txt"]),
            ("none.bin: No such file", ["--rows", "none.bin"]),
            ("text.txt: no rows of", ["--rows", "text.txt"]),
            ("none/side.gguf.log: No such file", ["--out", "none/side.gguf"]),
            ("--exits 3: rows.bin has rows behind blocks 1, 2", ["--exits", "3"]),
            ("--exits x: not whole numbers", ["--exits", "x"]),
            ("--ids best: N or likely:N", ["--ids", "best"]),
            ("--batch: must be at least 1", ["--batch", "0", "--steps", "1"])]:
            right &= fails(3, words, *script, "--out", "none.gguf", *options)
        run(pilotfish, *rows, "text.txt")
        train("deep.gguf", exits="3")
        right &= fails(4, "not in the first of 2 stages", pilotfish, "generate", "--big", "big.gguf", "--pp", "2",
                       "--draft-plan", "balcony:deep.gguf", "x")
        os.chdir("/")
    sys.exit(not right)


main()
