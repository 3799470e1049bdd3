"""training.py -- what the trainers share: their packages, which help does not need; Adam; a state to go on from, which
Ctrl-C leaves too; the loop of balcony.py and bild.py; model files that appear whole. The passes, which differ, are in
characters.py and blocks.py. Puts scripts/lib on the path."""
import json
import math
import os
import signal
import sys
import time
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from fetch import Failure, say

try:
    import gguf
    import numpy as np

    MISSING = ""
except ImportError as missing:
    gguf = np = None
    MISSING = f"{missing}: python3 -m pip install numpy gguf"


def need_packages():
    if MISSING:
        raise Failure(MISSING)


class Adam:
    FIRST, SECOND = 0.9, 0.98

    def __init__(self, weights):
        self.first = {name: np.zeros_like(w) for name, w in weights.items()}
        self.second = {name: np.zeros_like(w) for name, w in weights.items()}

    def step(self, weights, grads, t, rate):
        """The t-th, from 1. The gradient is cut at length 1."""
        length = math.sqrt(sum(float((g * g).sum()) for g in grads.values()))
        rate *= math.sqrt(1 - self.SECOND**t) / (1 - self.FIRST**t)
        for name, g in grads.items():
            g *= min(1, 1 / (length + 1e-9))
            m, v = self.first[name], self.second[name]
            m += (1 - self.FIRST) * (g - m)
            v += (1 - self.SECOND) * (g * g - v)
            weights[name] -= np.float32(rate) * m / (np.sqrt(v) + 1e-8)


class Stop:
    """While it is entered, the first Ctrl-C only asks to stop, so that no step is left half done; a second one ends the
    program at once. A shell may have it ignored."""

    def __enter__(self):
        self.asked, self.before = False, signal.getsignal(signal.SIGINT)
        if self.before is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self.ask)
        return self

    def ask(self, _signal, _frame):
        self.asked = True
        signal.signal(signal.SIGINT, self.before)

    def __exit__(self, *_what):
        signal.signal(signal.SIGINT, self.before)

    def leave_if_asked(self, step, state):
        if self.asked:
            say(f"\nstopped behind step {step}; go on with --resume: {state} has it")
            sys.exit(130)


def save_state(path, weights, adam, state):
    """state: what JSON can hold."""
    arrays = {f"w {n}": w for n, w in weights.items()}
    arrays |= {f"m {n}": m for n, m in adam.first.items()} | {f"v {n}": v for n, v in adam.second.items()}
    with open(path + ".partial", "wb") as f:
        np.savez(f, state=json.dumps(state), **arrays)
    os.replace(path + ".partial", path)


def load_state(path, weights, adam):
    """Returns the state."""
    try:
        with np.load(path) as saved:
            for letter, of in (("w", weights), ("m", adam.first), ("v", adam.second)):
                for name in of:
                    array = saved[f"{letter} {name}"]
                    if array.shape != of[name].shape:
                        raise KeyError(name)
                    of[name] = array
            return json.loads(str(saved["state"]))
    except FileNotFoundError as e:
        raise Failure(f"--resume: {path}: no such file") from e
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as e:
        raise Failure(f"--resume: {path} is not the state of a model of this shape") from e


class Clock:
    """Seconds of the wall and of the CPU that a training has taken, over all its runs; state: those of the runs
    before. What other programs do beside it makes the first more, and hardly the second."""

    def __init__(self, state):
        self.wall, self.cpu = time.monotonic() - state["seconds"], time.process_time() - state["cpu_seconds"]

    def read(self):
        return {"seconds": round(time.monotonic() - self.wall, 1),
                "cpu_seconds": round(time.process_time() - self.cpu, 1)}


def recipe(o):
    """A log's first line: the trainer, and what it was asked for, without folders."""
    asked = {name: os.path.basename(value) if isinstance(value, str) else value for name, value in vars(o).items()
             if name not in ("command", "out", "log", "resume") and value not in (None, [])}
    return json.dumps({"trainer": os.path.basename(sys.argv[0]), **asked}) + "\n"


WARMUP, DECAY_FROM = 20, 0.7
REPORT_S = 5
SAVE_SHARE = 20  # between two saves training goes on for so many times as long as one takes: a state may have GBs


def add_options(parser, rate):
    """Of loop."""
    parser.add_argument("--steps", type=int, default=0, help="train so many steps (0 without --minutes: untrained)")
    parser.add_argument("--minutes", type=float, help="train so long instead")
    parser.add_argument("--batch", type=int, default=4, help="texts a step")
    parser.add_argument("--rate", type=float, default=rate, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log", help="lines of JSON (default: OUT.log)")
    parser.add_argument("--resume", action="store_true", help="go on from OUT.npz, which a run leaves, Ctrl-C too")


def hold_apart(texts, path):
    """What to train on, and the last tenth."""
    if len(texts) < 2:
        raise Failure(f"{path}: {len(texts)} text: some must be held apart (more, or a smaller --window)")
    n = len(texts) - max(1, len(texts) // 10)
    return texts[:n], texts[n:]


def loop(o, texts, weights, losses, measure):
    """Trains until --steps or --minutes are over. losses(some texts): the losses of a step, and the derivatives of
    their sum. measure(): what to log of held texts, at both ends. The order of texts depends on the seed and the step
    alone."""
    for name, least in (("batch", 1), ("seed", 0), ("steps", 0), ("minutes", 0)):
        if (getattr(o, name) or 0) < least:
            raise Failure(f"--{name}: must be at least {least}")
    adam, state, path = Adam(weights), {"step": 0, "seconds": 0, "cpu_seconds": 0, "tokens": 0}, o.out + ".npz"
    if o.resume:
        state = load_state(path, weights, adam)
    with open(o.log or o.out + ".log", "a" if o.resume else "w", encoding="utf-8") as log, Stop() as stop:
        if not o.resume:
            log.write(recipe(o))

        def report(**facts):
            line = json.dumps({**state, **facts})
            print(line, file=log, flush=True)
            print(line, file=sys.stderr)

        def seen():
            return {"loss": round(float(np.mean(means)), 4)} if means else {}

        report(**measure())
        means, shown, save_at, clock = [], time.time(), 0, Clock(state)  # what is measured is no training
        while not stop.asked:
            done = state["seconds"] / (60 * o.minutes) if o.minutes else state["step"] / max(o.steps, 1)
            if done >= 1 or not (o.minutes or o.steps):
                break
            draw = np.random.default_rng((o.seed, state["step"]))
            some = [texts[i] for i in draw.integers(len(texts), size=o.batch)]
            of_some, grads = losses(some)
            means.append(np.mean(of_some))
            if not math.isfinite(means[-1]):
                raise Failure(f"step {state['step'] + 1}: the loss is {means[-1]}: a lower --rate")
            state["step"] += 1
            rate = o.rate * min(1, state["step"] / WARMUP) * min(1, (1 - done) / (1 - DECAY_FROM))
            adam.step(weights, grads, state["step"], rate)
            state["tokens"] += sum(len(text) for text in some)
            state |= clock.read()
            if time.time() - shown > REPORT_S or state["step"] % 50 == 0:
                report(**seen())
                means, shown = [], time.time()
                if shown >= save_at:
                    save_state(path, weights, adam, state)
                    save_at = time.time() + SAVE_SHARE * (time.time() - shown)
        save_state(path, weights, adam, state)
        stop.leave_if_asked(state["step"], path)
        report(**measure(), **seen())


def write_whole(writer, path):
    """writer: a GGUFWriter of path.partial, which gets its name once it is whole."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(path + ".partial", path)
