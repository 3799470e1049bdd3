#!/usr/bin/env python3
"""Trains a side file (proto/files/side.h): a block and a norm behind block E of a frozen model, for one exit E or for
several, as Balcony does it (2503.05005): KL to the model's own distribution, over a head that may be cut to some ids.

  pilotfish eval rows --big B.gguf --exit E[,E2,...] --save rows.bin TEXT
  balcony.py --big B.gguf --rows rows.bin --out side.gguf [--exits E,E2] [--minutes M | --steps N]

A block begins as the model's last one, a norm as its output norm; exits are trained together, and share nothing. Of the
rows (worker/tools/eval_rows.h) the last tenth is held apart. A line of JSON for each report goes to --log: step,
seconds, tokens, loss (of the rows it trained on), and at the ends held_loss and held_agreement (the same likeliest id
as the model's), of several exits their means, and each one's under "exits". --resume goes on from --out's state
(FILE.npz), which Ctrl-C leaves too; the order of rows depends on the seed and the step alone. numpy, one process.
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from blocks import Block, File, cuts_of, full_name, norm, norm_back
from training import add_options, gguf, hold_apart, loop, need_packages, np, write_whole
from fetch import Failure, run

IDS_OF_ENDS = ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"]


def read_rows(path):
    """The header, and the rows cut into the texts that they are of."""
    with open(path, "rb") as f:
        line = f.readline()
    try:
        head = json.loads(line)
        if head["format"] != "pilotfish-rows" or head["version"] != 2:
            raise KeyError
        kind = np.dtype([("id", "<i4"), ("pos", "<i4"), ("x", "<f4", (len(head["exits"]), head["n_embd"])),
                         ("top", "<i4", head["n_top"]), ("lp", "<f4", head["n_top"])])
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        raise Failure(f"{path}: no rows of `pilotfish eval rows`, or of another version's") from None
    n = (os.path.getsize(path) - len(line)) // kind.itemsize
    rows = np.memmap(path, kind, "r", offset=len(line), shape=(n,))
    starts = [*np.flatnonzero(rows["pos"] == 0), n]
    return head, [rows[a:b] for a, b in zip(starts, starts[1:])]


def likely_ids(n, texts, file, n_vocab):
    """The n ids that the teacher finds likeliest over all rows, and those that end a text."""
    mass = np.zeros(n_vocab)
    for rows in texts:
        np.add.at(mass, rows["top"], np.exp(rows["lp"]))
    for key in IDS_OF_ENDS:
        if key in file.fields:
            mass[int(file.field(key)[0])] = np.inf
    return np.sort(np.argsort(-mass, kind="stable")[:n]).astype(np.int32)


def chosen_ids(o, file, texts):
    """Of --ids; None: all."""
    n_vocab = int(file.tensors[file.head_name].shape[1])
    count = o.ids.removeprefix("likely:")
    if not count.isdecimal():
        raise Failure(f"--ids {o.ids}: N or likely:N")
    n = min(int(count), n_vocab)
    if n in (0, n_vocab):
        return None
    return np.arange(n, dtype=np.int32) if count == o.ids else likely_ids(n, texts, file, n_vocab)


def chosen_exits(o, head):
    if not o.exits:
        return head["exits"]
    try:
        exits = sorted({int(e) for e in o.exits.split(",")})
    except ValueError as e:
        raise Failure(f"--exits {o.exits}: not whole numbers") from e
    for e in exits:
        if e not in head["exits"]:
            raise Failure(f"--exits {o.exits}: {o.rows} has rows behind blocks {', '.join(map(str, head['exits']))}")
    return exits


class Exits:
    """The blocks and norms that are trained: weights {"E name": array}, the norm's name output_norm."""

    def __init__(self, file, exits, places, ids):
        """places: of each exit in a row; ids: None or those that the head has, rising."""
        self.block, self.exits, self.places, self.ids = Block(file), exits, places, ids
        self.eps, self.head = file.eps, file.numbers(file.head_name, ids)
        n_vocab = int(file.tensors[file.head_name].shape[1])
        self.at = np.full(n_vocab, -1, np.int32)  # of each id in the cut head
        self.at[np.arange(n_vocab) if ids is None else ids] = np.arange(len(self.head))
        start = file.block(file.n_blocks - 1) | {"output_norm": file.numbers("output_norm.weight")}
        self.w = {f"{e} {name}": x.copy() for e in exits for name, x in start.items()}

    def of(self, e):
        prefix = f"{e} "
        return {name[len(prefix):]: x for name, x in self.w.items() if name.startswith(prefix)}

    def forward(self, e, texts):
        """Loss, which rows agree, and the derivatives {"E name": ...} as a function."""
        w, cuts, rows = self.of(e), cuts_of(texts), np.concatenate(texts)
        x, kept = self.block.forward(w, np.ascontiguousarray(rows["x"][:, self.places[e]]), cuts)
        h, r = norm(x, w["output_norm"], self.eps)
        loss, dlogits, agree = self.loss_of(h @ self.head.T, rows)

        def back():
            d, by_norm = norm_back(dlogits @ self.head, x, r, w["output_norm"])
            _, grads = self.block.backward(w, kept, cuts, d)
            return {f"{e} {name}": g for name, g in (grads | {"output_norm": by_norm}).items()}

        return loss, agree, back

    def loss_of(self, logits, rows):
        """The mean KL over the teacher's listed ids that the head has, its gradient, and which rows agree."""
        at = self.at[rows["top"]]
        inside = at >= 0
        p = np.where(inside, np.exp(rows["lp"]), 0)
        sums = p.sum(-1, keepdims=True)
        counts = sums > 0
        p /= np.where(counts, sums, 1)
        most = logits.max(-1, keepdims=True)
        e = np.exp(logits - most)
        total = e.sum(-1, keepdims=True)
        at_inside = np.where(inside, at, 0)
        lq = np.take_along_axis(logits, at_inside, 1) - most - np.log(total)
        n = max(int(counts.sum()), 1)
        loss = float((p * (np.log(np.where(p > 0, p, 1)) - np.where(p > 0, lq, 0))).sum() / n)
        agree = logits.argmax(-1) == at[:, 0]
        e /= total / counts
        np.subtract.at(e, (np.arange(len(e))[:, None], at_inside), p.astype("f4"))
        return loss, e / n, agree

    def losses(self, texts):
        passes = [self.forward(e, texts) for e in self.exits]
        grads = {}
        for _, _, back in passes:
            grads |= back()
        return [loss for loss, _, _ in passes], grads

    def measure(self, texts):
        n_rows, by_exit = sum(map(len, texts)), {}
        for e in self.exits:
            each = [(loss * len(text), agree.sum()) for text in texts for loss, agree, _ in [self.forward(e, [text])]]
            loss, agreement = (float(s) / n_rows for s in np.sum(each, 0))
            by_exit[e] = {"held_loss": round(loss, 4), "held_agreement": round(agreement, 4)}
        means = {key: round(float(np.mean([one[key] for one in by_exit.values()])), 4)
                 for key in ("held_loss", "held_agreement")}
        return {**means, "held_tokens": n_rows, **({"exits": by_exit} if len(by_exit) > 1 else {})}


def write_side(path, n_blocks, base, trained, kind):
    writer = gguf.GGUFWriter(path + ".partial", "pilotfish-side")
    writer.add_string("side.base", base)
    writer.add_array("side.exit", trained.exits)
    if trained.ids is not None and trained.ids[-1] == len(trained.ids) - 1:
        writer.add_uint32("side.ids", len(trained.ids))
    elif trained.ids is not None:
        writer.add_array("side.ids", trained.ids.tolist())
    types = {"f32": gguf.GGMLQuantizationType.F32, "f16": gguf.GGMLQuantizationType.F16,
             "q8_0": gguf.GGMLQuantizationType.Q8_0}
    norms = [trained.of(e).pop("output_norm") for e in trained.exits]
    writer.add_tensor("output_norm.weight", np.concatenate(norms))
    for i, e in enumerate(trained.exits):
        for name, x in trained.of(e).items():
            t = types[kind] if x.ndim == 2 else gguf.GGMLQuantizationType.F32
            if name != "output_norm":
                writer.add_tensor(f"blk.{n_blocks + i}.{full_name(name)}", gguf.quants.quantize(x, t), raw_dtype=t)
    write_whole(writer, path)


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--big", required=True, help="the base model, GGUF")
    p.add_argument("--rows", required=True, help="of `pilotfish eval rows`")
    p.add_argument("--out", required=True, help="the side file")
    p.add_argument("--exits", metavar="E,E2", help="of those that the rows are of (default: all)")
    p.add_argument("--ids", default="0", metavar="N", help="cut the head to ids below N; likely:N: to the N that the "
                                                           "model finds likeliest in the rows (default: all)")
    p.add_argument("--type", choices=["f32", "f16", "q8_0"], default="f16", help="of the matrices in the side file")
    add_options(p, rate=1.5e-3)
    return p.parse_args()


def main():
    o = options()
    need_packages()
    head, texts = read_rows(o.rows)
    file = File(o.big)
    n_embd = int(file.tensors[file.head_name].shape[0])
    if head["n_embd"] != n_embd:
        raise Failure(f"{o.rows}: rows of {head['n_embd']} numbers, but {o.big} has {n_embd}")
    trained, held = hold_apart(texts, o.rows)
    exits = chosen_exits(o, head)
    places = {e: head["exits"].index(e) for e in exits}
    model = Exits(file, exits, places, chosen_ids(o, file, texts))
    loop(o, trained, model.w, model.losses, lambda: model.measure(held))
    write_side(o.out, file.n_blocks, head["base"], model, o.type)


if __name__ == "__main__":
    run("balcony.py", main)
