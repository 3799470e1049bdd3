#!/usr/bin/env python3
"""Trains a side file (proto/files/side.h): one block and a norm behind block E of a frozen model, as Balcony does it
(2503.05005): KL to the model's own distribution, over a head that is cut to the first ids.

  pilotfish eval rows --big B.gguf --exit E --save rows.bin TEXT
  balcony.py --big B.gguf --rows rows.bin --out side.gguf [--minutes M | --steps N]

The block begins as the model's last one, the norm as its output norm. Of the rows (worker/tools/eval_rows.h) the last
tenth is held apart. A line of JSON for each report goes to --log: step, seconds, tokens, loss (of the rows it trained
on), and at the ends held_loss and held_agreement (the same likeliest id as the model's). --resume goes on from --out's
state (FILE.npz); the order of rows depends on the seed and the step alone. numpy, one process.
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from training import Adam, gguf, load_state, need_packages, np, save_state, write_whole
from fetch import Failure, run

VECTORS = ["attn_norm", "ffn_norm"]
MATRICES = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
BIASES = ["attn_q.bias", "attn_k.bias", "attn_v.bias"]
WARMUP, DECAY_FROM = 20, 0.7


def read_rows(path):
    """The header, and the rows cut into the texts that they are of."""
    with open(path, "rb") as f:
        line = f.readline()
    try:
        head = json.loads(line)
        if head["format"] != "pilotfish-rows" or head["version"] != 1:
            raise KeyError
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        raise Failure(f"{path}: no rows of `pilotfish eval rows`") from None
    kind = np.dtype([("id", "<i4"), ("pos", "<i4"), ("x", "<f4", head["n_embd"]), ("top", "<i4", head["n_top"]),
                     ("lp", "<f4", head["n_top"])])
    n = (os.path.getsize(path) - len(line)) // kind.itemsize
    rows = np.memmap(path, kind, "r", offset=len(line), shape=(n,))
    starts = [*np.flatnonzero(rows["pos"] == 0), n]
    return head, [rows[a:b] for a, b in zip(starts, starts[1:])]


class Base:
    """What training needs of the model: its last block, its norm and the first rows of its head."""

    def __init__(self, path, n_ids):
        try:
            reader = gguf.GGUFReader(path)
        except ValueError as e:
            raise Failure(f"{path}: no GGUF file that can be read: {e}") from e
        self.fields = reader.fields
        tensors = {t.name: t for t in reader.tensors}
        self.arch = bytes(self.field("general.architecture")).decode()
        if self.arch not in ("llama", "qwen2") or f"{self.arch}.expert_count" in self.fields:
            raise Failure(f"{path}: this is {self.arch}; blocks of llama and qwen2 without experts alone are trained")
        self.n_blocks = int(self.own("block_count")[0])
        self.n_head, self.n_kv = int(self.own("attention.head_count")[0]), int(self.own("attention.head_count_kv")[0])
        self.eps = float(self.own("attention.layer_norm_rms_epsilon")[0])
        freq = f"{self.arch}.rope.freq_base"
        self.rope_base = float(self.field(freq)[0]) if freq in self.fields else 10000.0

        def numbers(name, n=None):
            t = tensors[name]
            return gguf.quants.dequantize(t.data[:n], t.tensor_type).astype(np.float32)

        self.factors = numbers("rope_freqs.weight") if "rope_freqs.weight" in tensors else 1
        self.head = numbers("output.weight" if "output.weight" in tensors else "token_embd.weight", n_ids or None)
        last = f"blk.{self.n_blocks - 1}."
        self.start = {n: numbers(f"{last}{n}.weight") for n in VECTORS + MATRICES}
        self.start.update({n: numbers(last + n) for n in BIASES if last + n in tensors})
        self.start["output_norm"] = numbers("output_norm.weight")

    def field(self, key):
        field = self.fields[key]
        return field.parts[field.data[0]]

    def own(self, key):
        return self.field(f"{self.arch}.{key}")


# ---- one block, forward and backward; rows of several texts, one behind the other ----


def norm(x, w, eps):
    r = 1 / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps)
    return x * r * w, r


def norm_back(dy, x, r, w):
    g = dy * w
    return r * g - x * r**3 * np.mean(g * x, -1, keepdims=True), (dy * x * r).sum(0)


class Block:
    def __init__(self, base):
        self.b, self.d = base, base.start["attn_q"].shape[0] // base.n_head

    def rotate(self, x, sign):
        """x [n, heads, d]: element i with i + d/2, or 2i with 2i + 1 (llama)."""
        n, _, d = x.shape
        angle = np.outer(np.arange(n), self.b.rope_base ** (-2.0 * np.arange(d // 2) / d) / self.b.factors)
        cos, sin = np.cos(angle)[:, None].astype("f4"), sign * np.sin(angle)[:, None].astype("f4")
        out = np.empty_like(x)
        at = (slice(0, None, 2), slice(1, None, 2)) if self.b.arch == "llama" else (slice(0, d // 2), slice(d // 2, d))
        a, b = x[..., at[0]], x[..., at[1]]
        out[..., at[0]], out[..., at[1]] = a * cos - b * sin, a * sin + b * cos
        return out

    def attend(self, q, k, v):
        """Of one text; returns the heads' sums, and what the way back needs."""
        n, group = len(q), self.b.n_head // self.b.n_kv
        q, k = self.rotate(q, 1), self.rotate(k, 1)
        q = q.reshape(n, self.b.n_kv, group, self.d).transpose(1, 2, 0, 3).reshape(self.b.n_kv, group * n, self.d)
        k, v = k.transpose(1, 0, 2), v.transpose(1, 0, 2)
        s = (q @ k.transpose(0, 2, 1) / np.sqrt(self.d).astype("f4")).reshape(self.b.n_kv, group, n, n)
        s[..., np.triu(np.ones((n, n), bool), 1)] = -np.inf
        p = np.exp(s - s.max(-1, keepdims=True))
        p = (p / p.sum(-1, keepdims=True)).reshape(self.b.n_kv, group * n, n)
        out = (p @ v).reshape(self.b.n_kv, group, n, self.d).transpose(2, 0, 1, 3)
        return out.reshape(n, -1), (q, k, v, p)

    def attend_back(self, dout, kept):
        q, k, v, p = kept
        n, group = len(dout), self.b.n_head // self.b.n_kv
        do = dout.reshape(n, self.b.n_kv, group, self.d).transpose(1, 2, 0, 3).reshape(q.shape)
        dp = do @ v.transpose(0, 2, 1)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(self.d).astype("f4")
        dq = (ds @ k).reshape(self.b.n_kv, group, n, self.d).transpose(2, 0, 1, 3).reshape(n, -1, self.d)
        dk, dv = ((m.transpose(0, 2, 1) @ y).transpose(1, 0, 2) for m, y in ((ds, q), (p, do)))
        return self.rotate(dq, -1).reshape(n, -1), self.rotate(dk, -1).reshape(n, -1), dv.reshape(n, -1)

    def forward(self, w, x, cuts):
        """Logits [n, ids] of rows x; cuts: where texts begin and end."""
        eps, n, c = self.b.eps, len(x), {"x": x}
        c["h"], c["r1"] = norm(x, w["attn_norm"], eps)
        q, k, v = (c["h"] @ w[m].T + w.get(m + ".bias", 0) for m in ("attn_q", "attn_k", "attn_v"))
        parts = [self.attend(*(y[a:b].reshape(b - a, -1, self.d) for y in (q, k, v))) for a, b in cuts]
        c["attn"], c["kept"] = np.concatenate([out for out, _ in parts]), [kept for _, kept in parts]
        c["x2"] = x + c["attn"] @ w["attn_output"].T
        c["h2"], c["r2"] = norm(c["x2"], w["ffn_norm"], eps)
        c["gate"], c["up"] = c["h2"] @ w["ffn_gate"].T, c["h2"] @ w["ffn_up"].T
        c["sig"] = 1 / (1 + np.exp(-c["gate"]))
        c["ff"] = c["gate"] * c["sig"] * c["up"]
        c["x3"] = c["x2"] + c["ff"] @ w["ffn_down"].T
        c["h3"], c["r3"] = norm(c["x3"], w["output_norm"], eps)
        assert len(c["x3"]) == n
        return c["h3"] @ self.b.head.T, c

    def backward(self, w, c, cuts, dlogits):
        g = {}
        d, g["output_norm"] = norm_back(dlogits @ self.b.head, c["x3"], c["r3"], w["output_norm"])
        g["ffn_down"], dff = d.T @ c["ff"], d @ w["ffn_down"]
        dup = dff * c["gate"] * c["sig"]
        dgate = dff * c["up"] * c["sig"] * (1 + c["gate"] * (1 - c["sig"]))
        g["ffn_gate"], g["ffn_up"] = dgate.T @ c["h2"], dup.T @ c["h2"]
        dx, g["ffn_norm"] = norm_back(dgate @ w["ffn_gate"] + dup @ w["ffn_up"], c["x2"], c["r2"], w["ffn_norm"])
        d = d + dx
        g["attn_output"], dattn = d.T @ c["attn"], d @ w["attn_output"]
        back = [self.attend_back(dattn[a:b], kept) for (a, b), kept in zip(cuts, c["kept"])]
        dh = 0
        for m, dy in zip(("attn_q", "attn_k", "attn_v"), (np.concatenate(parts) for parts in zip(*back))):
            g[m] = dy.T @ c["h"]
            if m + ".bias" in w:
                g[m + ".bias"] = dy.sum(0)
            dh = dh + dy @ w[m]
        g["attn_norm"] = (dh * c["x"] * c["r1"]).sum(0)
        return g


def loss_of(logits, rows, n_ids):
    """The mean KL over the teacher's listed ids below the cut, its gradient, and which rows agree on the likeliest."""
    inside = rows["top"] < n_ids
    p = np.where(inside, np.exp(rows["lp"]), 0)
    sums = p.sum(-1, keepdims=True)
    counts = sums > 0
    p /= np.where(counts, sums, 1)
    lse = logits.max(-1, keepdims=True)
    e = np.exp(logits - lse)
    total = e.sum(-1, keepdims=True)
    at = np.where(inside, rows["top"], 0)
    lq = np.take_along_axis(logits, at, 1) - lse - np.log(total)
    n = max(int(counts.sum()), 1)
    loss = float((p * (np.log(np.where(p > 0, p, 1)) - np.where(p > 0, lq, 0))).sum() / n)
    agree = logits.argmax(-1) == rows["top"][:, 0]
    e /= total / counts
    np.subtract.at(e, (np.arange(len(e))[:, None], at), p.astype("f4"))
    return loss, e / n, agree


def gather(texts):
    cuts, at = [], 0
    for t in texts:
        cuts.append((at, at + len(t)))
        at += len(t)
    return np.concatenate(texts), cuts


def measure(block, w, texts, n_ids):
    sums = np.zeros(3)
    for text in texts:
        rows, cuts = gather([text])
        logits, _ = block.forward(w, rows["x"], cuts)
        loss, _, agree = loss_of(logits, rows, n_ids)
        sums += (loss * len(rows), agree.sum(), len(rows))
    return {"held_loss": round(sums[0] / sums[2], 4), "held_agreement": round(sums[1] / sums[2], 4),
            "held_tokens": int(sums[2])}


def write_side(path, base, head, w, kind, n_ids):
    writer = gguf.GGUFWriter(path + ".partial", "pilotfish-side")
    writer.add_string("side.base", head["base"])
    writer.add_uint32("side.exit", head["exit"])
    if n_ids:
        writer.add_uint32("side.ids", n_ids)
    types = {"f32": gguf.GGMLQuantizationType.F32, "f16": gguf.GGMLQuantizationType.F16,
             "q8_0": gguf.GGMLQuantizationType.Q8_0}
    for name, x in w.items():
        full = name if name.endswith(".bias") else f"{name}.weight"
        full = full if name == "output_norm" else f"blk.{base.n_blocks}.{full}"
        t = types[kind] if x.ndim == 2 else gguf.GGMLQuantizationType.F32
        writer.add_tensor(full, gguf.quants.quantize(x, t), raw_dtype=t)
    write_whole(writer, path)


def options():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--big", required=True, help="the base model, GGUF")
    p.add_argument("--rows", required=True, help="of `pilotfish eval rows`")
    p.add_argument("--out", required=True, help="the side file")
    p.add_argument("--ids", type=int, default=0, help="cut the head to ids below it (default: all)")
    p.add_argument("--steps", type=int, default=0, help="train so many steps (0 without --minutes: untrained)")
    p.add_argument("--minutes", type=float, help="train so long instead")
    p.add_argument("--batch", type=int, default=4, help="texts (windows of rows) a step")
    p.add_argument("--rate", type=float, default=1.5e-3)
    p.add_argument("--type", choices=["f32", "f16", "q8_0"], default="f16", help="of the matrices in the side file")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--log", help="lines of JSON (default: OUT.log)")
    p.add_argument("--resume", action="store_true", help="go on from OUT.npz")
    return p.parse_args()


def main():
    o = options()
    need_packages()
    if o.batch < 1:
        raise Failure("--batch: must be at least 1")
    head, texts = read_rows(o.rows)
    base = Base(o.big, o.ids)
    n_ids = len(base.head)
    block, w = Block(base), dict(base.start)
    adam, state = Adam(w), {"step": 0, "seconds": 0.0, "tokens": 0}
    if head["n_embd"] != base.head.shape[1]:
        raise Failure(f"{o.rows}: rows of {head['n_embd']} numbers, but {o.big} has {base.head.shape[1]}")
    if len(texts) < 2:
        raise Failure(f"{o.rows}: fewer than two windows of rows: some must be held apart (a longer text, or a smaller "
                      "--window)")
    held = texts[-max(1, len(texts) // 10):]
    trained = texts[: -len(held)]
    if o.resume:
        state = load_state(o.out + ".npz", w, adam)
    log = open(o.log or o.out + ".log", "a" if o.resume else "w", encoding="utf-8")

    def report(**facts):
        line = json.dumps({**state, "seconds": round(state["seconds"], 1), **facts})
        print(line, file=log, flush=True)
        print(line, file=sys.stderr)

    report(**measure(block, w, held, n_ids))
    losses, shown, begun = [], time.time(), state["seconds"]
    start = time.time()
    while True:
        done = state["seconds"] / (60 * o.minutes) if o.minutes else state["step"] / max(o.steps, 1)
        if done >= 1 or not (o.minutes or o.steps):
            break
        draw = np.random.default_rng((o.seed, state["step"]))
        rows, cuts = gather([trained[i] for i in draw.integers(len(trained), size=o.batch)])
        logits, kept = block.forward(w, rows["x"], cuts)
        loss, dlogits, _ = loss_of(logits, rows, n_ids)
        state["step"] += 1
        rate = o.rate * min(1, state["step"] / WARMUP) * min(1, (1 - done) / (1 - DECAY_FROM))
        adam.step(w, block.backward(w, kept, cuts, dlogits), state["step"], rate)
        state["tokens"] += len(rows)
        state["seconds"] = begun + time.time() - start
        losses.append(loss)
        if time.time() - shown > 5 or state["step"] % 50 == 0:
            report(loss=round(float(np.mean(losses)), 4))
            save_state(o.out + ".npz", w, adam, state)
            losses, shown = [], time.time()
    report(**measure(block, w, held, n_ids), **({"loss": round(float(np.mean(losses)), 4)} if losses else {}))
    save_state(o.out + ".npz", w, adam, state)
    write_side(o.out, base, head, w, o.type, o.ids)


if __name__ == "__main__":
    run("balcony.py", main)
