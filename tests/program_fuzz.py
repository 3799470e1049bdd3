#!/usr/bin/env python3
"""Damages toy models, files and directories, and gives each to `pilotfish inspect` and `pilotfish generate`, as a user
would.

  program_fuzz.py PILOTFISH TINY N [SEED [FIRST]]

N inputs from FIRST (0) on; input i of a seed (1) is always the same. Of each it must hold: exit statuses are 0, 2, 3
and 4; inspect's yes means generate's 0, unless the prompt does not fit the model (2), and its no means another; what is
wrong is one line, the last one, that begins with "pilotfish: "; no character but printable ones is written; nothing
takes longer than a time that no toy needs. What does not hold is kept in program_fuzz.found/ as SEED-INPUT, and what
was called is printed.
"""
import concurrent.futures
import copy
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unicodedata

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from chain import CHATML, CONTROL, SPECIALS, USER_DEFINED, Chain  # noqa: E402
from gguf_file import ARRAY, F32, STRING, U32, U64, Toy, string  # noqa: E402

LIMIT_S = 60
KEPT = os.path.abspath("program_fuzz.found")
NUMBERS = [0, 1, 2, 3, 7, 64, 255, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]
FLOATS = [0.0, -1.0, 1e-45, 1e-6, 0.5, 1.0, 8.0, 1e6, 1e30, 3e38, float("inf"), float("nan")]
TEXTS = ["", "x", "llama", "qwen2", "gemma3", "linear", "none", "yarn", "gpt2", "\x1b[2J", "a\nb", "\u2028", "\u202e",
         "%s%n", "x" * 5000]
BYTES = [b"\xff\xfe", b"\0", b"\x1b]0;x\x07", b"\n", b"<|im_end|>", b"\xe2\x96\x81"]
TURNS = "\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"  # of the order of a text
# What an honest prompt may be refused for: it is longer than the model's context, or a byte of it has no token.
PROMPT_REFUSED = re.compile("context|more than [0-9]+ tokens|no token for byte")

# ---- seeds ----


def seeds(folder, tiny):
    """(name, whether it is a directory)"""
    out = []
    specials = {**SPECIALS, "<tool>": USER_DEFINED, "<|end|>": CONTROL}
    chain = Chain(["Hi", " there", " you"], specials=specials, blocks=2, numbers=True, scale=0.05)
    chain.write_gguf(f"{folder}/chain.gguf", template=CHATML, bos="<|endoftext|>")
    for name, *options in [
        ("qwen2", "--arch", "qwen2"), ("llama", "--arch", "llama", "--rope-factors", "--tied"),
        ("gemma3", "--arch", "gemma3", "--head-size", "16"), ("q4", "--type", "Q4_K"), ("q8", "--type", "Q8_0"),
        ("qwen3moe", "--arch", "qwen3moe", "--head-size", "16", "--experts", "4", "--used", "2"),
    ]:  # fmt: skip
        subprocess.run([tiny, f"{folder}/{name}.gguf", *options], check=True)
        out.append((f"{name}.gguf", False))
    chain.write_directory(f"{folder}/qwen2", tokenizer_config={"chat_template": CHATML},
                          generation_config={"eos_token_id": [258, 259]})
    chain.write_directory(f"{folder}/mistral", model_type="mistral",
                          config={"rope_scaling": {"rope_type": "linear", "factor": 2.0}})
    return [("chain.gguf", False), *out, ("qwen2", True), ("mistral", True)]


# ---- damage ----


def flip(draw, data, from_, to, n):
    for _ in range(n):
        at = draw.randrange(from_, to)
        data[at] = draw.choice([data[at] ^ 1 << draw.randrange(8), draw.randrange(256), 0, 255])


def damage_bytes(draw, data, head_bytes):
    """Any file: bytes of its head or its numbers, its length, a piece of it twice."""
    data = bytearray(data)
    kind = draw.randrange(6)
    if kind <= 2:
        flip(draw, data, 0, min(head_bytes, len(data)), draw.choice([1, 1, 2, 8]))
    elif kind == 3:
        flip(draw, data, 0, len(data), draw.choice([1, 4, 64]))
    elif kind == 4:
        del data[draw.choice([draw.randrange(len(data)), draw.randrange(min(head_bytes, len(data)))]) :]
    else:
        at, n = draw.randrange(len(data)), draw.randrange(1, 64)
        data[at:at] = data[at : at + n]
    return bytes(data)


def other_value(draw):
    kind = draw.choice([U32, U32, F32, STRING, U64, ARRAY, 5, 7])
    if kind == U32:
        return kind, struct.pack("<I", draw.choice(NUMBERS) & 0xFFFFFFFF)
    if kind == U64:
        return kind, struct.pack("<Q", draw.choice(NUMBERS))
    if kind == F32:
        return kind, struct.pack("<f", draw.choice(FLOATS))
    if kind == STRING:
        return kind, string(draw.choice(TEXTS))
    if kind == ARRAY:
        values = [draw.choice(NUMBERS) & 0xFFFFFFFF for _ in range(draw.choice([0, 1, 2, 4]))]
        return kind, struct.pack(f"<IQ{len(values)}I", U32, len(values), *values)
    return kind, struct.pack("<i", draw.choice([-1, 0, 1])) if kind == 5 else bytes([draw.randrange(3)])


def damage_items(draw, raw):
    """A list: an item otherwise, one more or one less."""
    data = bytearray(raw)
    kind, n = struct.unpack_from("<IQ", data)
    if kind != STRING:
        if len(data) > 16:
            at = 12 + 4 * draw.randrange((len(data) - 12) // 4)
            data[at : at + 4] = draw.choice([struct.pack("<I", draw.choice(NUMBERS) & 0xFFFFFFFF),
                                             struct.pack("<f", draw.choice(FLOATS))])
        return bytes(data)
    items, at = [], 12
    for _ in range(n):
        (length,) = struct.unpack_from("<Q", data, at)
        items.append(bytes(data[at + 8 : at + 8 + length]))
        at += 8 + length
    i = draw.randrange(n) if n else 0
    change = draw.randrange(4)
    if n and change == 0:
        items[i] = draw.choice(BYTES)
    elif n and change == 1:
        items[i] = items[draw.randrange(n)]
    elif n and change == 2:
        del items[i]
    else:
        items.insert(i, draw.choice(BYTES))
    return struct.pack("<IQ", STRING, len(items)) + b"".join(struct.pack("<Q", len(x)) + x for x in items)


def damage_keys(draw, toy):
    key = draw.choice(list(toy.values))
    kind, raw = toy.values[key]
    change = draw.randrange(5)
    if change == 0:
        del toy.values[key]
    elif change == 1 or (change >= 3 and kind != ARRAY):
        toy.values[key] = other_value(draw)
    elif change == 2:
        names = [key.upper(), key + ".x", key.replace("attention", "attn"), "\x1b[31m"]
        toy.values[draw.choice(names)] = toy.values.pop(key)
    else:
        toy.values[key] = (kind, damage_items(draw, raw))


def damage_tensors(draw, toy):
    name = draw.choice(list(toy.tensors))
    dims, kind, offset = toy.tensors[name]
    change = draw.randrange(6)
    if change == 0:
        del toy.tensors[name]
    elif change == 1:
        toy.tensors[name] = [dims[::-1], kind, offset]
    elif change == 2:
        toy.tensors[name] = [[draw.choice(NUMBERS)] + dims[1:], kind, offset]
    elif change == 3:
        toy.tensors[name] = [dims, draw.choice([0, 1, 2, 8, 12, 14, 24, 30, 99]), offset]
    elif change == 4:
        toy.tensors[name] = [dims, kind, draw.choice([0, 1, 32, offset + 32, 2**62])]
    else:
        names = ["blk.9.attn_q.weight", "blk.0." + name, name + "\n", "rope_freqs.weight"]
        toy.tensors[draw.choice(names)] = [dims, kind, offset]


def damaged_file(draw, seed, path):
    data, toy, head_bytes = seed
    if draw.randrange(3) == 0:
        with open(path, "wb") as f:
            f.write(damage_bytes(draw, data, head_bytes))
        return
    toy = copy.deepcopy(toy)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        draw.choice([damage_keys, damage_keys, damage_tensors])(draw, toy)
    toy.write(path)


def damage_json(draw, value):
    """One node, somewhere in the tree."""
    places = []

    def walk(node):
        for key in node if isinstance(node, dict) else range(len(node)):
            places.append((node, key))
            if isinstance(node[key], (dict, list)) and len(places) < 4000:
                walk(node[key])

    walk(value)
    small = [place for place in places if not isinstance(place[1], int)] or places
    if not places:
        return
    node, key = draw.choice(draw.choice([small, places]))
    change = draw.randrange(4)
    if change == 0:
        del node[key]
    elif change == 1 and isinstance(node, dict):
        node[draw.choice(["x", key + "_x", "hidden_size", "\x1b", ""])] = node.pop(key)
    else:
        node[key] = draw.choice([None, True, False, {}, [], [1, 2], draw.choice(NUMBERS[:12]), -1,
                                 draw.choice(FLOATS[:9]), draw.choice(TEXTS)])


def damaged_directory(draw, seed, path):
    shutil.copytree(seed, path)
    name = draw.choice(["config.json", "config.json", "tokenizer.json", "tokenizer_config.json",
                        "generation_config.json", "model.safetensors"])
    name = os.path.join(path, name)
    if not os.path.exists(name):
        name = os.path.join(path, "config.json")
    with open(name, "rb") as f:
        data = f.read()
    if draw.randrange(20) == 0:
        os.remove(name)
    elif name.endswith(".json") and draw.randrange(4):
        value = json.loads(data)
        for _ in range(draw.choice([1, 1, 2])):
            damage_json(draw, value)
        with open(name, "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False)
    else:
        with open(name, "wb") as f:
            f.write(damage_bytes(draw, data, 2000))


# ---- what must hold ----


def printable(text):
    return all(c == "\n" or unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") and c not in TURNS for c in text)


def call(command):
    """Exit status, standard output, standard error; what is no UTF-8 shows as what is not printable."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return -99, "", ""
    return done.returncode, *(out.decode("utf-8", "surrogateescape") for out in (done.stdout, done.stderr))


def judge(pilotfish, model, options):
    """Whether it runs, and what does not hold."""
    inspect = [pilotfish, "inspect", model]
    generate = [pilotfish, "generate", "--big", model, "-n", "4", "--threads", "1", *options, "Hi you"]
    seen, said, complaint = call(inspect)
    if re.search("^  template .*--raw", said, re.MULTILINE) and "--raw" not in options:  # its template cannot be run
        generate.insert(2, "--raw")
    rc, text, notes = call(generate)
    del text  # the model's own: any bytes
    faults = []
    for what, code, allowed, err in [("inspect", seen, (0, 3), complaint), ("generate", rc, (0, 2, 3, 4), notes)]:
        lines = err.split("\n")[:-1]
        ours = [line for line in lines if line.startswith("pilotfish: ")]
        if code not in allowed:
            faults.append(f"{what}: exit {code}")
        if not printable(err):
            faults.append(f"{what}: not printable: {err!r}")
        if len(ours) != (code != 0) or (code and lines[-1:] != ours):
            faults.append(f"{what}: exit {code}, not one line at the end")
    if not printable(said):
        faults.append(f"inspect: not printable: {said!r}")
    yes = seen == 0 and "  runs here     yes" in said.splitlines()
    if yes and rc != 0 and not (rc == 2 and PROMPT_REFUSED.search(notes)):
        faults.append(f"inspect says yes, generate exits with {rc}")
    if not yes and rc == 0:
        faults.append("inspect says no, generate runs")
    called = f"{' '.join(inspect)}\n    {' '.join(generate)}\n    {said[-200:]!r} {complaint!r} {notes!r}"
    return rc == 0, [f"{fault}\n    {called}" for fault in faults]


def main():
    pilotfish, tiny = (os.path.realpath(path) for path in sys.argv[1:3])
    n, seed, first = (int(x) for x in (sys.argv[3:] + ["1", "0"][len(sys.argv) - 4 :]))
    faults, n_run = [], [0]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        files, directories = [], []
        for name, is_directory in seeds(folder, tiny):
            if is_directory:
                directories.append(os.path.join(folder, name))
                continue
            with open(name, "rb") as f:
                data = f.read()
            toy = Toy(name)
            files.append((data, toy, len(data) - len(toy.data)))

        def one(i):
            draw = random.Random(f"{seed}/{i}")
            path, of = f"input{i}", draw.choice(directories if draw.randrange(3) == 0 else files)
            (damaged_directory if isinstance(of, str) else damaged_file)(draw, of, path)
            runs, found = judge(pilotfish, path, draw.choice([["--raw"], ["--raw"], [], ["--raw", "--little", path]]))
            n_run[0] += runs
            kept = os.path.join(KEPT, f"{seed}-{i}")
            if found and not os.path.exists(kept):
                os.makedirs(KEPT, exist_ok=True)
                shutil.move(path, kept)
            elif os.path.isdir(path):
                shutil.rmtree(path)
            else:
                os.remove(path)
            return [f"input {i} of seed {seed}: {fault}" for fault in found]

        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for found in pool.map(one, range(first, first + n)):
                faults += found
        os.chdir("/")
    print(f"{n} damaged models, {n_run[0]} of them run; {len(faults)} faults", *faults, sep="\n  ")
    sys.exit(bool(faults))


main()
