#!/usr/bin/env python3
"""The training scripts, in little: the derivatives of the trainer against differences, the recipe's formulas against
numbers worked out by hand, and that training lowers the loss and makes more drafts right than the untrained model's
are, as pilotfish measures the files. train.py PILOTFISH SOURCE FOLDER [--long]

--long: the trainings of docs/papers.md instead, a minute or two each, and their tables.
"""
import json
import os
import re
import signal
import subprocess
import sys
import time
import types

pilotfish, source, folder = (os.path.abspath(path) for path in sys.argv[1:4])
is_long = sys.argv[4:] == ["--long"]
scripts = os.path.join(source, "scripts", "train")
sys.path.insert(0, scripts)
import characters
import numpy as np

TEXT = os.path.join(source, "tests", "data", "wikitext-2", "head.txt")
SMALL = ["--text", TEXT, "--width", "32", "--window", "32", "--batch", "16", "--seed", "3"]
n_wrong = 0


def wrong(what):
    global n_wrong
    n_wrong += 1
    print(f"WRONG: {what}")


def remove(model):
    for left in os.listdir(folder):
        if left.startswith(model):
            os.remove(os.path.join(folder, left))


def script(name, *words, code=0):
    """What an earlier run has left must not pass for what this one writes."""
    if words[0] == "train" and "--resume" not in words:
        remove(words[words.index("--out") + 1])
    command = [sys.executable, os.path.join(scripts, name), *words]
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode != code:
        wrong(f"{name} {' '.join(words)}: exit {done.returncode}: {done.stderr[-600:]}")
    return done


def derivatives():
    """Of each tensor at a few drawn places, in double precision: an entry twice, half steps, two exits, one window of
    three leaves a block out."""
    windows = np.random.default_rng(0).integers(0, 256, (3, 17))
    keep = np.array([[1, 0, 1], [1, 1, 1], [0, 1, 1]], np.float64)
    exits = {1: 0.3, 3: 0.7}
    weights = {n: w.astype(np.float64) for n, w in characters.new_weights(64, 2, 3, 1).items()}

    def run():
        losses, grads = characters.loss_of(weights, windows, [(0, 0.5), (1, 1), (0, 2)], exits, keep)
        return sum(weight * losses[n] for n, weight in exits.items()), grads

    _, grads = run()
    drawn = np.random.default_rng(1)
    for name, w in weights.items():
        for _ in range(3):
            at = tuple(drawn.integers(0, n) for n in w.shape)
            if name == "token_embd":
                at = (windows[0, drawn.integers(0, 16)], at[1])
            kept, h = w[at], 1e-5
            w[at] = kept + h
            above = run()[0]
            w[at] = kept - h
            below = run()[0]
            w[at] = kept
            if abs((above - below) / (2 * h) - grads[name][at]) > 1e-4 * abs(grads[name][at]) + 1e-7:
                wrong(f"the derivative by {name}{at}: {grads[name][at]}, by differences {(above - below) / (2 * h)}")


def recipe():
    """LayerSkip's D, S, e and curricula: 5 blocks, 100 steps."""
    import layerskip

    for block, t, expected in ((0, 99, 0), (4, 99, 0.1), (4, 0, 0), (2, 99, 0.1 * (2**0.5 - 1))):
        if abs(layerskip.dropout(block, 5, t, 100, 0.1) - expected) > 1e-12:
            wrong(f"dropout of block {block} at step {t}")
    if [layerskip.exit_scale(block, 5, 0.5) for block in range(5)] != [0, 0.5, 1.5, 3, 7]:
        wrong("the scales of exits")
    args = types.SimpleNamespace(blocks=5, steps=100, curriculum="rotational", every=3, scale=0.5, plain=False)
    if [layerskip.active(args, t) for t in range(4)] != [[0, 3, 4], [1, 4], [2, 4], [0, 3, 4]]:
        wrong("the rotational curriculum")
    if layerskip.exits_of(args, 0) != {4: 0.3, 5: 0.7}:
        wrong("the weights of exits")
    args.curriculum = "gradual"
    if [layerskip.active(args, t) for t in (0, 9, 10, 40, 99)] != [[4], [4], [3, 4], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4]]:
        wrong("the gradual curriculum")


def shown(name, models, *words):
    done = script(name, "show", *models, "--text", TEXT, "--window", "32", "--program", pilotfish, "--held", "2000",
                  "--prompts", "1", "-o", "jsonl", *words)
    return {(row["model"], row["plan"]): row for row in map(json.loads, done.stdout.splitlines())}


def better(rows, trained, untrained, plan, whole):
    """Both plans' losses fell far under the untrained model's, and the plan drafts better than it did: at least as well
    in its own texts, because an untrained model may write one character without end; and better in the held text."""
    for plan_ in (plan, whole):
        if not rows[trained, plan_]["loss"] < rows[untrained, plan_]["loss"] - 2:
            wrong(f"{plan_}: {rows[trained, plan_]}, untrained {rows[untrained, plan_]}")
    now, before = rows[trained, plan], rows[untrained, plan]
    if not (now["agreement"] > before["agreement"] and now["accepted"] >= before["accepted"]):
        wrong(f"{plan}: {now}, untrained {before}")
    for model in (trained, untrained):
        if rows[model, whole]["agreement"] != 1 or rows[model, whole]["accepted"] != 1:
            wrong(f"{model} does not agree with itself: {rows[model, whole]}")


def resumed(name, *words):
    """A run that was cut off at step 100 and goes on ends with the bytes of one that was not."""
    script(name, "train", "--out", "whole.gguf", *SMALL, "--steps", "200", *words)
    code = "import characters, numpy; a = characters.windows_of\n"
    code += "def cut(text, args, step):\n    if step == 130: raise KeyboardInterrupt\n    return a(text, args, step)\n"
    code += "characters.windows_of = cut\nimport runpy\n"
    code += f"runpy.run_path({os.path.join(scripts, name)!r}, run_name='__main__')"
    remove("cut.gguf")
    words = ["train", "--out", "cut.gguf", *SMALL, "--steps", "200", *words]
    env = {**os.environ, "PYTHONPATH": scripts + ":" + os.environ.get("PYTHONPATH", ""), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code, *words], cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode != 130 or os.path.exists(os.path.join(folder, "cut.gguf")):
        wrong(f"{name} cut off: exit {done.returncode}: {done.stderr[-300:]}")
    script(name, *words, "--resume")
    read = [open(os.path.join(folder, f"{which}.gguf"), "rb").read() for which in ("whole", "cut")]
    if read[0] != read[1]:
        wrong(f"{name}: a run that was resumed ends otherwise")
    for log in ("whole.gguf.log", "cut.gguf.log"):
        with open(os.path.join(folder, log), encoding="utf-8") as f:
            asked, *rows = map(json.loads, f)
        steps = [row["step"] for row in rows]
        if sorted(set(steps)) != [1, *range(10, 201, 10)] or log.startswith("whole") and len(set(steps)) < len(steps):
            wrong(f"{name}: {log} has steps {steps}")
        if asked["trainer"] != name or asked["seed"] != 3 or asked["text"] != os.path.basename(TEXT):
            wrong(f"{name}: {log} begins with {asked}")
        if not rows[-1]["cpu_seconds"] >= rows[steps.index(100)]["cpu_seconds"] > 0:
            wrong(f"{name}: {log}: the time of the steps before is forgotten")


def stopped(name, *words):
    """Ctrl-C between two steps keeps them."""
    remove("stopped.gguf")
    command = [sys.executable, os.path.join(scripts, name), "train", "--out", "stopped.gguf", *SMALL, *words]
    log = os.path.join(folder, "stopped.gguf.log")
    with subprocess.Popen([*command, "--steps", "100000"], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not (os.path.exists(log) and os.path.getsize(log)):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    found = re.search("stopped behind step ([0-9]+); go on with --resume: stopped.gguf.state has it", said)
    if process.returncode != 130 or not found:
        wrong(f"{name} stopped: exit {process.returncode}: {said[-300:]}")
    script(name, "train", "--out", "stopped.gguf", *SMALL, *words, "--steps", found[1], "--resume")


def align(text, form):
    """A little model of its own for the big one without exits: before and after it was tuned on that one's answers."""
    with open(text, encoding="utf-8") as f:
        whole = f.read()
    cut = int(len(whole) * (1 - characters.HELD))
    for name, at in (("prompts", range(0, cut - 100, cut // 600)), ("held", range(cut, len(whole) - 100, 9000))):
        with open(os.path.join(folder, f"{name}.jsonl"), "w", encoding="utf-8") as out:
            out.writelines(json.dumps({"prompt": whole[i : i + 100]}) + "\n" for i in at)
    script("layerskip.py", "train", "--out", "little.gguf", *form, "--width", "32", "--blocks", "2", "--steps", "500",
           "--plain")
    answers = subprocess.run([pilotfish, "generate", "--big", "plain.gguf", "--no-draft", "--prompts", "prompts.jsonl",
                              "-n", "100", "-o", "jsonl", "--raw", "--ignore-eos"], cwd=folder, stdout=subprocess.PIPE,
                             check=True).stdout
    with open(os.path.join(folder, "answers.jsonl"), "wb") as out:
        out.write(answers)
    script("bild.py", "train", "--little", "little.gguf", "--answers", "answers.jsonl", "--out", "aligned.gguf",
           "--steps", "1500", "--batch", "8", "--rate", "3e-3")
    done = script("bild.py", "show", "--big", "plain.gguf", "--prompts", "held.jsonl", "--program", pilotfish, "-n",
                  "100", "-o", "jsonl", "little.gguf", "aligned.gguf", "--", "--raw", "--ignore-eos")
    print(done.stdout)
    before, after = map(json.loads, done.stdout.splitlines())
    for what, holds in (("loss", after["loss"] < before["loss"] - 0.1),
                        ("accepted", after["accepted"] > before["accepted"] + 0.05),
                        ("fallbacks", after["fallbacks"] < before["fallbacks"])):
        if not holds:
            wrong(f"aligned: {what}: {before}, then {after}")


def papers():
    """A model trained with drawn numbers of steps works with few, one trained with 8 alone does not; the recipe makes
    exits draft, and costs the whole model little; a little model that is aligned is right more often."""
    text = subprocess.run([os.path.join(source, "scripts", "fetch-data"), "tinyshakespeare"], capture_output=True,
                          text=True, check=True).stdout.strip()
    of_text = ["--text", text, "--window", "64"]
    form = [*of_text, "--width", "64", "--batch", "16"]
    for name, out, words in (
        ("ode.py", "ode.gguf", []),
        ("ode.py", "fixed.gguf", ["--counts", "8"]),
        ("layerskip.py", "exits.gguf", []),
        ("layerskip.py", "plain.gguf", ["--plain"]),
    ):
        script(name, "train", "--out", out, *form, "--steps", "500", *words)
    rows = {}
    for name, models in (("ode.py", ["ode.gguf", "fixed.gguf"]), ("layerskip.py", ["exits.gguf", "plain.gguf"])):
        script(name, "train", "--out", f"new {name}.gguf", *form, "--steps", "0")
        done = script(name, "show", *models, f"new {name}.gguf", *of_text, "--program", pilotfish, "-o", "jsonl")
        print(done.stdout)
        rows |= {(row["model"], row["plan"]): row for row in map(json.loads, done.stdout.splitlines())}
    for what, holds in (
        ("2 drawn steps", rows["ode.gguf", "ode:0x2@4"]["loss"] < rows["ode.gguf", "ode:0x8"]["loss"] + 0.1),
        ("2 steps of a model of 8", rows["fixed.gguf", "ode:0x2@4"]["loss"]
         > rows["fixed.gguf", "ode:0x8"]["loss"] + 0.3),
        ("drafts of 2 steps", rows["ode.gguf", "ode:0x2@4"]["accepted"]
         > rows["new ode.py.gguf", "ode:0x2@4"]["accepted"] + 0.2),
        ("drafts of half the blocks", rows["exits.gguf", "layerskip:4"]["accepted"]
         > rows["plain.gguf", "layerskip:4"]["accepted"] + 0.1),
        ("drafts of the untrained", rows["exits.gguf", "layerskip:4"]["accepted"]
         > rows["new layerskip.py.gguf", "layerskip:4"]["accepted"] + 0.3),
        ("the whole model", rows["exits.gguf", "ode:0-7"]["loss"] < rows["plain.gguf", "ode:0-7"]["loss"] + 0.15),
        ("the plain model", rows["plain.gguf", "ode:0-7"]["loss"]
         < rows["new layerskip.py.gguf", "ode:0-7"]["loss"] - 2),
    ):
        if not holds:
            wrong(what)
    align(text, [*of_text, "--batch", "16"])


def in_little():
    derivatives()
    recipe()

    resumed("ode.py")
    script("ode.py", "train", "--out", "new.gguf", *SMALL, "--steps", "0")
    better(shown("ode.py", ["whole.gguf", "new.gguf"], "--counts", "2,8"), "whole.gguf", "new.gguf", "ode:0x2@4",
           "ode:0x8")
    script("ode.py", "train", "--out", "groups.gguf", *SMALL, "--steps", "10", "--groups", "2")
    rows = shown("ode.py", ["groups.gguf"], "--groups", "2", "--counts", "4,8")
    if set(rows) != {("groups.gguf", "ode:0x2@2,1x2@2"), ("groups.gguf", "ode:0x4,1x4")}:
        wrong(f"shared in two groups: {rows}")

    blocks = ["--blocks", "4"]
    resumed("layerskip.py", *blocks)
    stopped("layerskip.py", *blocks)
    script("layerskip.py", "train", "--out", "new.gguf", *SMALL, "--steps", "0", *blocks)
    rows = shown("layerskip.py", ["whole.gguf", "new.gguf"], *blocks)
    better(rows, "whole.gguf", "new.gguf", "layerskip:2", "ode:0-3")
    if not rows["whole.gguf", "layerskip:2"]["accepted"] > rows["new.gguf", "layerskip:2"]["accepted"]:
        wrong(f"training makes no more drafts right: {rows}")
    script("layerskip.py", "train", "--out", "other.gguf", *SMALL, "--steps", "10", "--curriculum", "gradual", *blocks)

    for name, words, said in (
        ("ode.py", ["--resume"], "none.gguf.state: no such file"),
        ("ode.py", ["--counts", "3", "--groups", "2"], "each must be a multiple of the 2 groups"),
        ("ode.py", ["--groups", "0"], "--groups 0: must be at least 1"),
        ("ode.py", ["--width", "63"], "--width 63: must be a multiple of 32"),
        ("ode.py", ["--batch", "0"], "--batch 0: must be at least 1"),
        ("layerskip.py", ["--every", "0"], "--every 0: must be at least 1"),
        ("layerskip.py", ["--text", os.devnull], "the text has 0 bytes"),
    ):
        done = script(name, "train", "--out", "none.gguf", *SMALL, *words, code=3)
        if said not in done.stderr or len(done.stderr.splitlines()) != 1:
            wrong(f"{name} {words}: {done.stderr}")


os.makedirs(folder, exist_ok=True)
if is_long:
    papers()
else:
    in_little()
print(f"{n_wrong} wrong")
sys.exit(n_wrong > 0)
