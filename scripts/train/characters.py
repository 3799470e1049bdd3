"""characters.py -- a small llama of characters, trained by numpy: what ode.py and layerskip.py share.

A character is a byte. The forward pass is the engine's (kernels/ARITHMETIC.md): x += step * attention(norm(x)), then
x += step * mlp(norm(x)), for each entry (block, step) of a schedule; an exit is the output norm and the head. Its
derivative is written out by hand: each piece returns its result and a function that takes the derivative of the loss
by it, adds to the derivatives by the weights, and returns the one by its input.

    text ──▶ windows ──▶ loss_of(weights, windows, schedule, exits) ──▶ Adam ──▶ weights ──▶ GGUF, which pilotfish runs

What is drawn at a step depends on the seed and the step alone, so a run that is resumed goes on as it would have.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from training import Adam, Clock, Stop, gguf, load_state, need_packages, np, recipe, save_state, write_whole
from fetch import Failure

N_BYTES = 256
N_VOCAB = N_BYTES + 2  # one merge, because byte-level BPE has some; the end of a text
D_HEAD, BASE, EPSILON = 32, 10000.0, 1e-5
HELD = 0.1  # the text's end, which is not trained on


# ---- the model ----


def shapes(width, n_blocks):
    hidden = (8 * width // 3 + 31) // 32 * 32
    of = {"token_embd": (N_VOCAB, width), "output_norm": (width,), "output": (N_VOCAB, width)}
    for i in range(n_blocks):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            of[f"blk.{i}.{name}"] = (width, width)
        of[f"blk.{i}.ffn_gate"] = of[f"blk.{i}.ffn_up"] = (hidden, width)
        of[f"blk.{i}.ffn_down"] = (width, hidden)
        of[f"blk.{i}.attn_norm"] = of[f"blk.{i}.ffn_norm"] = (width,)
    return of


def new_weights(width, n_blocks, n_entries, seed):
    """What adds to x is small at first: the more entries there are, the smaller."""
    rng, weights = np.random.default_rng([seed, 1 << 40]), {}
    for name, shape in shapes(width, n_blocks).items():
        deviation = 0.5 / math.sqrt(shape[-1])
        if name.endswith(("attn_output", "ffn_down")):
            deviation /= math.sqrt(2 * n_entries)
        drawn = deviation * rng.standard_normal(shape)
        weights[name] = (np.ones(shape) if name.endswith("norm") else drawn).astype(np.float32)
    return weights


class Pass:
    """A forward pass and its derivative; grads {name: array} has the sums so far."""

    def __init__(self, weights, n_positions):
        self.w = weights
        self.grads = {name: np.zeros_like(w) for name, w in weights.items()}
        angle = np.arange(n_positions)[:, None] * BASE ** (-np.arange(0, D_HEAD, 2) / D_HEAD)
        self.cos, self.sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
        self.future = np.triu(np.full((n_positions, n_positions), -np.inf, np.float32), 1)

    def linear(self, x, name):
        def back(d):
            self.grads[name] += d.reshape(-1, d.shape[-1]).T @ x.reshape(-1, x.shape[-1])
            return d @ self.w[name]

        return x @ self.w[name].T, back

    def norm(self, x, name):
        scale = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON)
        unit = x * scale

        def back(d):
            self.grads[name] += (d * unit).reshape(-1, d.shape[-1]).sum(0)
            d = d * self.w[name]
            return scale * (d - unit * (d * unit).mean(-1, keepdims=True))

        return unit * self.w[name], back

    def rotate(self, x, sign):
        """Neighbours are a pair, as in a llama's file."""
        even, odd, sin, out = x[..., 0::2], x[..., 1::2], sign * self.sin, np.empty_like(x)
        out[..., 0::2] = even * self.cos - odd * sin
        out[..., 1::2] = even * sin + odd * self.cos
        return out

    def attention(self, x, block):
        n, n_positions, width = x.shape

        def heads(y):
            return y.reshape(n, n_positions, width // D_HEAD, D_HEAD).transpose(0, 2, 1, 3)

        def rows(y):
            return y.transpose(0, 2, 1, 3).reshape(n, n_positions, width)

        h, norm_back = self.norm(x, f"{block}.attn_norm")
        (q, q_back), (k, k_back), (v, v_back) = (self.linear(h, f"{block}.attn_{c}") for c in "qkv")
        q, k, v = self.rotate(heads(q), 1), self.rotate(heads(k), 1), heads(v)
        p = q @ k.swapaxes(-1, -2)
        p *= D_HEAD**-0.5
        p += self.future
        p -= p.max(-1, keepdims=True)
        np.exp(p, out=p)
        p /= p.sum(-1, keepdims=True)
        out, out_back = self.linear(rows(p @ v), f"{block}.attn_output")

        def back(d):
            d = heads(out_back(d))
            d_p = d @ v.swapaxes(-1, -2)
            d_v = p.swapaxes(-1, -2) @ d
            d_p -= (d_p * p).sum(-1, keepdims=True)
            d_p *= p
            d_p *= D_HEAD**-0.5
            d_q, d_k = self.rotate(d_p @ k, -1), self.rotate(d_p.swapaxes(-1, -2) @ q, -1)
            return norm_back(q_back(rows(d_q)) + k_back(rows(d_k)) + v_back(rows(d_v)))

        return out, back

    def mlp(self, x, block):
        h, norm_back = self.norm(x, f"{block}.ffn_norm")
        (gate, gate_back), (up, up_back) = self.linear(h, f"{block}.ffn_gate"), self.linear(h, f"{block}.ffn_up")
        s = 1 / (1 + np.exp(-gate))
        out, out_back = self.linear(gate * s * up, f"{block}.ffn_down")

        def back(d):
            d = out_back(d)
            return norm_back(gate_back(d * up * s * (1 + gate * (1 - s))) + up_back(d * gate * s))

        return out, back

    def exit(self, x, ids, weight):
        """The mean of -ln p of ids; back gives the derivative of weight times it."""
        h, norm_back = self.norm(x, "output_norm")
        logits, head_back = self.linear(h, "output")
        logits -= logits.max(-1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(-1, keepdims=True)
        right = np.take_along_axis(logits, ids[..., None], -1)
        loss = float((np.log(total) - right).mean())

        def back():
            d = p / total
            np.put_along_axis(d, ids[..., None], np.take_along_axis(d, ids[..., None], -1) - 1, -1)
            return norm_back(head_back(d * np.float32(weight / ids.size)))

        return loss, back


def loss_of(weights, windows, schedule, exits, keep=None):
    """windows [n, positions + 1]; schedule: [(block, step)]; exits {entries: weight}; keep [entries, n]: 0 where a
    window leaves the entry out. Returns {entries: loss} and the derivatives of the weighted sum."""
    inputs, ids = windows[:, :-1], windows[:, 1:]
    run = Pass(weights, inputs.shape[1])
    x = weights["token_embd"][inputs]
    losses, backs, exit_backs = {}, [], {}
    for i, (block, step) in enumerate(schedule):
        scale = np.float32(step) * (keep[i][:, None, None] if keep is not None else np.float32(1))
        for part in (run.attention, run.mlp):
            added, back = part(x, f"blk.{block}")
            x = x + scale * added
            backs.append((i, scale, back))
        if i + 1 in exits:
            losses[i + 1], exit_backs[i + 1] = run.exit(x, ids, exits[i + 1])
    d = np.zeros_like(x)
    for j in range(len(backs) - 1, -1, -1):
        i, scale, back = backs[j]
        if j % 2 and i + 1 in exit_backs:
            d = d + exit_backs[i + 1]()
        d = d + back(scale * d)
    np.add.at(run.grads["token_embd"], inputs, d)
    return losses, run.grads


# ---- training ----


WARMUP, DECAY_FROM = 50, 0.5


def rate_at(highest, t, n_steps):
    """Of the t-th of n_steps, from 1: it rises, stays, and falls."""
    left = (n_steps - t) / max(1, n_steps * (1 - DECAY_FROM))
    return highest * min(1, t / WARMUP) * max(0.02, min(1, left))


def read_text(path):
    """What to train on, and what is held out."""
    need_packages()
    if not path:
        script = os.path.join(os.path.dirname(os.path.realpath(__file__)), "..", "fetch-data")
        done = subprocess.run([script, "tinyshakespeare"], stdout=subprocess.PIPE, text=True)
        if done.returncode:
            raise Failure("no text: see above, or give --text FILE")
        path = done.stdout.strip()
    with open(path, "rb") as f:
        text = f.read()
    return text[: int(len(text) * (1 - HELD))], text[int(len(text) * (1 - HELD)) :]


def windows_of(text, args, step):
    """Of a step, at drawn places."""
    if len(text) < 2 * args.window:
        raise Failure(f"the text has {len(text)} bytes to train on, a window {args.window}: give a longer --text")
    rng = np.random.default_rng([args.seed, step])
    at = rng.integers(0, len(text) - args.window - 1, args.batch)
    ids = np.frombuffer(text, np.uint8)
    return ids[at[:, None] + np.arange(args.window + 1)].astype(np.int64), rng


def train(args, n_blocks, n_entries, loss_at, about):
    """loss_at(weights, windows, step, rng): (loss, what else to log, derivatives) of a step from 1. Writes the model to
    args.out, its state beside it, and a line of JSON for each 10 steps to the log."""
    for name, least in (("width", D_HEAD), ("batch", 1), ("window", 1), ("steps", 0)):
        at_least(name, least, getattr(args, name))
    if args.width % D_HEAD:
        raise Failure(f"--width {args.width}: must be a multiple of {D_HEAD}")
    text, _ = read_text(args.text)
    weights = new_weights(args.width, n_blocks, n_entries, args.seed)
    adam, state, log_path = Adam(weights), args.out + ".state", args.out + ".log"
    before = load_state(state, weights, adam) if args.resume else {"step": 0, "seconds": 0, "cpu_seconds": 0}
    step, clock, mean = before["step"], Clock(before), None
    with open(log_path, "a" if args.resume else "w", encoding="utf-8") as log, Stop() as stop:
        if not args.resume:
            log.write(recipe(args))
        while step < args.steps and not stop.asked:
            step += 1
            windows, rng = windows_of(text, args, step)
            loss, more, grads = loss_at(weights, windows, step, rng)
            if not math.isfinite(loss):
                raise Failure(f"step {step}: the loss is {loss}: a lower --rate")
            adam.step(weights, grads, step, rate_at(args.rate, step, args.steps))
            mean = loss if mean is None else mean + 0.05 * (loss - mean)
            if step % 10 == 0 or step in (1, args.steps):
                line = {"step": step, "loss": round(loss, 4), "mean": round(mean, 4), **more}
                log.write(json.dumps({**line, **clock.read()}) + "\n")
                log.flush()
                print(f"\rstep {step} of {args.steps}, loss {mean:.3f}", end="", file=sys.stderr, flush=True)
            if step % 100 == 0 or step == args.steps or stop.asked:
                save_state(state, weights, adam, {"step": step, **clock.read()})
        stop.leave_if_asked(step, state)
    print("", file=sys.stderr)
    write_gguf(args.out, weights, args.width, n_blocks, args.window, about)
    print(args.out)


# ---- the file ----


def byte_text(byte):
    """GPT-2's character for a byte: printable ones as they are, the others from U+0100."""
    plain = [*range(33, 127), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return chr(byte) if byte in plain else chr(0x100 + [b for b in range(256) if b not in plain].index(byte))


def write_gguf(path, weights, width, n_blocks, n_positions, about):
    out = gguf.GGUFWriter(path + ".partial", "llama")
    out.add_name(about)
    out.add_block_count(n_blocks)
    out.add_context_length(max(512, 4 * n_positions))
    out.add_embedding_length(width)
    out.add_feed_forward_length(weights["blk.0.ffn_up"].shape[0])
    out.add_head_count(width // D_HEAD)
    out.add_head_count_kv(width // D_HEAD)
    out.add_layer_norm_rms_eps(EPSILON)
    out.add_rope_freq_base(BASE)
    out.add_rope_dimension_count(D_HEAD)
    out.add_vocab_size(N_VOCAB)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("gpt-2")
    texts = [byte_text(b) for b in range(N_BYTES)]
    out.add_token_list([*texts, texts[0] + texts[1], "<|endoftext|>"])
    out.add_token_types([gguf.TokenType.NORMAL] * (N_BYTES + 1) + [gguf.TokenType.CONTROL])
    out.add_token_merges([f"{texts[0]} {texts[1]}"])
    out.add_bos_token_id(N_VOCAB - 1)
    out.add_eos_token_id(N_VOCAB - 1)
    out.add_add_bos_token(False)
    for name, w in weights.items():
        out.add_tensor(f"{name}.weight", w)
    write_whole(out, path)


# ---- what a model gives, by the program ----


def ask(args, *words):
    done = subprocess.run([args.program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failure(f"{' '.join([args.program, *words])}: {(done.stderr.strip().splitlines() or ['failed'])[-1]}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def measured(args, model, whole, plan, folder):
    """Of a plan beside the whole one (None: the plain one): perplexity on held text, agreement, and the share of judged
    drafts that are right."""
    held, prompts = os.path.join(folder, "held"), os.path.join(folder, "prompts")
    served = ["--plan", whole] if whole else []
    common = ["--big", model, "--threads", str(args.threads), "-o", "jsonl"]
    (score,) = ask(args, "eval", "perplexity", *common, "--window", str(args.window), "--plan", plan, "--agreement",
                   whole or "whole", held)
    rows = ask(args, "bench", "pair", *common, *served, "--draft-plan", plan, "--prompts", prompts, "--raw",
               "--ignore-eos", "-n", "64", "--guard", "off", "--draft-max", "4")
    judged = sum(row["drafts"]["judged"] for row in rows)
    right = sum(row["drafts"]["accepted"] for row in rows)
    return {"loss": -score["lp_token"], "agreement": score["agreement"], "accepted": right / max(1, judged)}


def show(args, whole, plans):
    """A line for each model and plan."""
    _, held = read_text(args.text)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "held"), "wb") as f:
            f.write(held[: args.held])
        with open(os.path.join(folder, "prompts"), "w", encoding="utf-8") as f:
            for i in range(args.prompts):
                at = i * (len(held) // args.prompts)
                prompt = held[at : at + 100].decode("utf-8", "ignore")
                f.write(json.dumps({"id": str(i), "prompt": prompt}) + "\n")
        if args.o == "text":
            print(f"{'model':<24} {'plan':<20} {'loss':>7} {'agreement':>10} {'accepted':>9}")
        for model in args.models:
            for plan in plans:
                row = {"model": os.path.basename(model), "plan": plan, **measured(args, model, whole, plan, folder)}
                rows.append(row)
                if args.o == "jsonl":
                    print(json.dumps(row), flush=True)
                else:
                    print(f"{row['model']:<24.24} {plan:<20} {row['loss']:>7.4f} {row['agreement']:>9.1%} "
                          f"{row['accepted']:>8.1%}", flush=True)
    return rows


# ---- options ----


def at_least(name, least, value):
    if value < least:
        raise Failure(f"--{name} {value}: must be at least {least}")


def parser(about):
    """With the commands train and show, for more options of each."""
    top = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True, metavar="train|show")
    for_train = commands.add_parser("train", help="train a model, or with --steps 0 write an untrained one")
    for_train.add_argument("--out", required=True, metavar="FILE.gguf", help="the model; FILE.gguf.log has the loss")
    for_train.add_argument("--resume", action="store_true", help="go on from FILE.gguf.state")
    for_train.add_argument("--width", type=int, default=128, help=f"a multiple of {D_HEAD}")
    for_train.add_argument("--batch", type=int, default=8, help="windows of a step")
    for_train.add_argument("--rate", type=float, default=3e-3, help="the highest learning rate")
    for_train.add_argument("--seed", type=int, default=1)
    for_show = commands.add_parser("show", help="loss, agreement with the whole model, drafts that are right; by plan")
    for_show.add_argument("models", nargs="+", metavar="FILE.gguf")
    for_show.add_argument("--program", default="build/pilotfish")
    for_show.add_argument("--threads", type=int, default=1)
    for_show.add_argument("--held", type=int, default=16000, help="bytes of held text to score")
    for_show.add_argument("--prompts", type=int, default=6, help="texts to write, 64 characters each")
    for_show.add_argument("-o", choices=["text", "jsonl"], default="text")
    for one in (for_train, for_show):
        one.add_argument("--text", help="what to train and measure on; its last tenth is held out (default: "
                                        "tinyshakespeare, by scripts/fetch-data)")
        one.add_argument("--window", type=int, default=128, help="characters that begin anew")
    return top, for_train, for_show
