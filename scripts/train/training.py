"""training.py -- what the trainers share: their packages, which help does not need; Adam; a state to go on from; model
files that appear whole. The passes, which differ, are in characters.py and balcony.py. Puts scripts/lib on the path."""
import json
import math
import os
import sys
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "lib"))
from fetch import Failure

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


def write_whole(writer, path):
    """writer: a GGUFWriter of path.partial, which gets its name once it is whole."""
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    os.replace(path + ".partial", path)
