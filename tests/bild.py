#!/usr/bin/env python3
"""A little model aligned with a big one (scripts/train/bild.py), two toys: the derivatives against differences, a lower
loss, more drafts that are right and fewer fallbacks, as one command shows them; a run that Ctrl-C stopped goes on.

  bild.py PILOTFISH TINY SCRIPTS [--steps N]
"""
import argparse
import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import types

pilotfish, tiny, scripts = (os.path.realpath(path) for path in sys.argv[1:4])
steps = sys.argv[5] if "--steps" in sys.argv else "80"
sys.path.insert(0, os.path.join(scripts, "train"))
import bild
import numpy as np
import training

os.environ["OPENBLAS_NUM_THREADS"] = "1"
n_wrong = 0


def wrong(what):
    global n_wrong
    n_wrong += 1
    print(f"WRONG: {what}")


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        wrong(f"{' '.join(command)}: exit {done.returncode}: {done.stderr[-600:]}")
    return done.stdout


def script(*words):
    return [sys.executable, f"{scripts}/train/bild.py", *words]


def read(path):
    with open(path, "rb") as f:
        return f.read()


def prompts(path, ids):
    with open(path, "w", encoding="utf-8") as out:
        for i in ids:
            print(json.dumps({"id": str(i), "prompt": text[70 * i:][:60]}), file=out)


def derivatives(path):
    """Of each kind of tensor at a few drawn places, in double precision; two texts of other lengths."""
    little, drawn = bild.Little(path), np.random.default_rng(1)
    for name in ("embed", "head"):
        setattr(little, name, getattr(little, name).astype(np.float64))
    little.w = {name: w.astype(np.float64) for name, w in little.w.items()}
    texts = [bild.Text([5, 9, 301], [7, 8, 99, 260], 99), bild.Text([3], [4, 5], 99)]
    _, grads = little.losses(texts)
    for name in [n for n in little.w if n.startswith("blk.0.")] + ["output_norm", "blk.2.ffn_down"]:
        w = little.w[name]
        at, h = tuple(drawn.integers(0, n) for n in w.shape), 1e-5
        kept, sides = w[at], []
        for step in (h, -h):
            w[at] = kept + step
            sides.append(little.forward(texts)[0])
        w[at] = kept
        expected = (sides[0] - sides[1]) / (2 * h)
        if abs(expected - grads[name][at]) > 1e-4 * abs(expected) + 1e-6:
            wrong(f"the derivative by {name}{at}: {grads[name][at]}, by differences {expected}")


def stopped(*words):
    """Ctrl-C behind the first report; --resume ends with the bytes of a run that was not stopped."""
    run(*script(*words, "--out", "whole.gguf"))
    with subprocess.Popen(script(*words, "--out", "cut.gguf"), stderr=subprocess.PIPE, text=True) as process:
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    kept = "go on with --resume: cut.gguf.npz has it" in said
    if process.returncode != 130 or not kept or os.path.exists("cut.gguf"):
        wrong(f"stopped: exit {process.returncode}: {said[-300:]}")
    run(*script(*words, "--out", "cut.gguf", "--resume"))
    if read("whole.gguf") != read("cut.gguf"):
        wrong("a run that was stopped and resumed ends otherwise")


def saves_are_few():
    """A state that takes ten times as long to write as a step takes, and a report behind each step: on a clock of its
    own, which only these two move."""
    saved, now, kept = [], [1e9], (training.save_state, training.REPORT_S, training.time)

    def save(*_):
        now[0] += 0.02
        saved.append(now[0])

    def losses(_texts):
        now[0] += 0.002
        return [1.0], {"w": np.zeros(1, np.float32)}

    clock = types.SimpleNamespace(**dict.fromkeys(("time", "monotonic", "process_time"), lambda: now[0]))
    training.save_state, training.REPORT_S, training.time = save, 0, clock
    o = argparse.Namespace(batch=1, seed=0, steps=900, minutes=None, rate=1e-3, out="slow", log=os.devnull,
                           resume=False)
    with contextlib.redirect_stderr(io.StringIO()):
        training.loop(o, [[0]], {"w": np.zeros(1, np.float32)}, losses, dict)
    training.save_state, training.REPORT_S, training.time = kept
    if not 4 <= len(saved) <= 7 or min(b - a for a, b in zip(saved, saved[1:-1])) < training.SAVE_SHARE * 0.02:
        wrong(f"saves in 900 steps: {saved}")


with open(os.path.join(os.path.dirname(os.path.realpath(__file__)), "data/wikitext-2/head.txt"), encoding="utf-8") as f:
    text = f.read()
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    for arch in ("llama", "qwen2"):
        run(tiny, f"{arch}.gguf", "--arch", arch, "--left-out", "1")
        derivatives(f"{arch}.gguf")
    run(tiny, "big.gguf", "--arch", "llama")
    os.rename("llama.gguf", "little.gguf")
    prompts("prompts.jsonl", range(240))
    prompts("held.jsonl", range(250, 262))
    raw = ["--raw", "--ignore-eos"]
    with open("answers.jsonl", "w", encoding="utf-8") as out:
        out.write(run(pilotfish, "generate", "--big", "big.gguf", "--no-draft", "--prompts", "prompts.jsonl", "-n",
                      "64", "-o", "jsonl", *raw))
    saves_are_few()
    train = ["train", "--little", "little.gguf", "--answers", "answers.jsonl", "--batch", "8"]
    stopped(*train, "--steps", "10")
    run(*script(*train, "--steps", steps, "--out", "aligned.gguf"))
    with open("aligned.gguf.log", encoding="utf-8") as log:
        asked, *lines = map(json.loads, log)
    if asked["trainer"] != "bild.py" or asked["seed"] != 1 or asked["steps"] != int(steps):
        wrong(f"the log begins with {asked}")
    print(lines[0], lines[-1], sep="\n")
    if not lines[-1]["held_loss"] < lines[0]["held_loss"] or lines[-1]["step"] != int(steps):
        wrong("held answers: no lower loss")
    shown = run(*script("show", "--big", "big.gguf", "--prompts", "held.jsonl", "--program", pilotfish, "-n", "48",
                        "--fallback", "0.3", "-o", "jsonl", "little.gguf", "aligned.gguf", "--", *raw))
    print(shown)
    before, after = map(json.loads, shown.splitlines())
    if not (after["loss"] < before["loss"] and after["accepted"] > before["accepted"]
            and after["fallbacks"] < before["fallbacks"]):
        wrong(f"{before}, then {after}")
    run(sys.executable, f"{scripts}/report", "aligned.gguf.log", "--out", "report.html")

    run(tiny, "small.gguf", "--type", "Q4_K", "--arch", "llama", "--left-out", "1")
    run(*script("train", "--little", "small.gguf", "--answers", "answers.jsonl", "--out", "small-out.gguf"))
    if "Q8_0" not in run(pilotfish, "inspect", "small-out.gguf"):
        wrong("a format that numpy cannot write: not Q8_0")
    run(pilotfish, "generate", "--big", "big.gguf", "--little", "small-out.gguf", "--raw", "-n", "4", "x")
    for words, why in (
        (["--resume"], "none.gguf.npz: no such file"),
        (["--answers", "prompts.jsonl"], "prompts.jsonl: no lines of `pilotfish generate -o jsonl`"),
        (["--answers", os.devnull], "0 text: some must be held apart"),
        (["--little", "answers.jsonl"], "answers.jsonl: no GGUF file that can be read"),
        (["--little", "no.gguf"], "no.gguf: No such file"),
        (["--batch", "0"], "--batch: must be at least 1"),
        (["--minutes", "-1"], "--minutes: must be at least 0"),
        (["--window", "1"], "--window: must be at least 2"),
    ):
        done = subprocess.run(script(*train, "--out", "none.gguf", *words), capture_output=True, text=True, check=False)
        if done.returncode != 3 or why not in done.stderr or len(done.stderr.splitlines()) != 1:
            wrong(f"{words}: exit {done.returncode}: {done.stderr}")
    os.chdir("/")
print(f"{n_wrong} wrong")
sys.exit(n_wrong > 0)
