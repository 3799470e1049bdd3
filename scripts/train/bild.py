#!/usr/bin/env python3
"""Aligns a little model with the big one for which it drafts, as BiLD does it (2302.07863, model prediction alignment):
it is tuned on the big model's own answers.

  pilotfish generate --big B.gguf --no-draft --prompts PROMPTS.jsonl -n 128 -o jsonl > answers.jsonl
  bild.py train --little L.gguf --answers answers.jsonl --out aligned.gguf [--minutes M | --steps N]
  bild.py show --big B.gguf --prompts HELD.jsonl L.gguf aligned.gguf

train lowers the mean -ln p of the answers' ids (cross entropy, all weights but embedding and head) and writes a model
file that `--little` takes; of the answers the last tenth is held apart. A line of JSON for each report goes to --log:
step, seconds, tokens, loss, and at the ends held_loss and held_agreement (the same likeliest id as the big model's).
--resume goes on from --out's state (FILE.npz), which Ctrl-C leaves too; the order of answers depends on the seed and
the step alone. llama and qwen2 without experts; numpy, one process.

show has a line for each little model: its loss on what the big model writes for these prompts, the share of judged
drafts that are right (exact, greedy), and by BiLD's thresholds fallbacks and rollbacks over tokens. What stands behind
-- is the program's, as --raw for prompts without the chat template.
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from blocks import Block, File, cuts_of, full_name, norm, norm_back
from training import add_options, gguf, hold_apart, loop, need_packages, np, write_whole
from acceptance import WHOLE
from fetch import Failure, run
from pair import HOME, run as run_program, split


class Text:
    """ids of a prompt and its answer; the first n_prompt are given."""

    def __init__(self, prompt, answer, most):
        self.ids, self.n_prompt = np.array(prompt + answer, np.int64)[:most], len(prompt)

    def __len__(self):
        return len(self.ids) - 1  # the last one is only predicted


def texts_of(lines, most, path):
    """Of lines of `generate -o jsonl`; those whose prompts alone are too long have nothing to learn from."""
    try:
        rows = [json.loads(line) for line in lines]
        texts = [Text(row["prompt_ids"], row["ids"], most) for row in rows if "error" not in row]
    except (ValueError, KeyError, TypeError):
        raise Failure(f"{path}: no lines of `pilotfish generate -o jsonl`") from None
    return [text for text in texts if 0 < text.n_prompt < len(text.ids)]


class Little:
    """All of a model; weights {"blk.0.attn_q": array, ..., "output_norm": array} are trained."""

    def __init__(self, path):
        self.f = File(path)
        self.block = Block(self.f)
        self.embed = self.f.numbers("token_embd.weight")
        self.head = self.embed if self.f.head_name == "token_embd.weight" else self.f.numbers(self.f.head_name)
        self.w = {"output_norm": self.f.numbers("output_norm.weight")}
        for i in range(self.f.n_blocks):
            self.w |= {f"blk.{i}.{name}": x for name, x in self.f.block(i).items()}

    def of_block(self, i):
        prefix = f"blk.{i}."
        return {name[len(prefix):]: x for name, x in self.w.items() if name.startswith(prefix)}

    def check(self, texts, path):
        if max(text.ids.max() for text in texts) >= len(self.embed):
            raise Failure(f"{path}: ids that the little model does not have: is it of the same family?")

    def forward(self, texts):
        """The mean -ln p of the answers' ids, which are the likeliest ones, and the derivatives as a function."""
        cuts, kept = cuts_of(texts), []
        x = self.embed[np.concatenate([text.ids[:-1] for text in texts])]
        rows = np.concatenate([np.arange(a + text.n_prompt - 1, b) for text, (a, b) in zip(texts, cuts)])
        ids = np.concatenate([text.ids[text.n_prompt:] for text in texts])
        for i in range(self.f.n_blocks):
            x, of_block = self.block.forward(self.of_block(i), x, cuts)
            kept.append(of_block)
        h, r = norm(x[rows], self.w["output_norm"], self.f.eps)
        logits = h @ self.head.T
        logits -= logits.max(-1, keepdims=True)
        agree = logits.argmax(-1) == ids
        p = np.exp(logits)
        total = p.sum(-1, keepdims=True)
        at = (np.arange(len(ids)), ids)
        loss = float((np.log(total[:, 0]) - logits[at]).mean())

        def back():
            dlogits = p / total
            dlogits[at] -= 1
            dlogits /= np.float32(len(ids))
            d = np.zeros_like(x)
            d[rows], by_norm = norm_back(dlogits @ self.head, x[rows], r, self.w["output_norm"])
            grads = {"output_norm": by_norm}
            for i in range(self.f.n_blocks - 1, -1, -1):
                d, by_block = self.block.backward(self.of_block(i), kept.pop(), cuts, d)
                grads |= {f"blk.{i}.{name}": g for name, g in by_block.items()}
            return grads

        return loss, agree, back

    def losses(self, texts):
        loss, _, back = self.forward(texts)
        return [loss], back()

    def measure(self, texts):
        sums = np.zeros(3)
        for text in texts:
            loss, agree, _ = self.forward([text])
            sums += (loss * len(agree), agree.sum(), len(agree))
        return {"held_loss": round(sums[0] / sums[2], 4), "held_agreement": round(sums[1] / sums[2], 4),
                "held_tokens": int(sums[2])}

    def write(self, path):
        """The file once more, with the trained weights in its formats; those that numpy cannot write become Q8_0."""
        kinds = gguf.GGMLQuantizationType
        written = (kinds.F32, kinds.F16, kinds.BF16, kinds.Q4_0, kinds.Q4_1, kinds.Q5_0, kinds.Q5_1, kinds.Q8_0)
        trained = {full_name(name): x for name, x in self.w.items()}
        out = gguf.GGUFWriter(path + ".partial", self.f.arch)
        for key, field in self.f.fields.items():
            if key.startswith("GGUF.") or key in ("general.architecture", "general.alignment"):
                continue  # the writer has them
            kind = field.types[0]
            out.add_key_value(key, field.contents(), kind,
                              field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
        for tensor in self.f.reader.tensors:
            kind, data = tensor.tensor_type, tensor.data
            if tensor.name in trained:
                kind = kind if kind in written else kinds.Q8_0
                data = gguf.quants.quantize(trained[tensor.name], kind)
            out.add_tensor(tensor.name, data, raw_dtype=kind)
        write_whole(out, path)


def train(o):
    with open(o.answers, encoding="utf-8") as f:
        texts = texts_of(f, o.window, o.answers)
    trained, held = hold_apart(texts, o.answers)
    little = Little(o.little)
    little.check(texts, o.answers)
    loop(o, trained, little.w, little.losses, lambda: little.measure(held))
    little.write(o.out)


def written(o, *words):
    command = [o.program, "generate", "--big", o.big, "--prompts", o.prompts, "-n", str(o.n), "-o", "jsonl"]
    return run_program([*command, *words, *o.extra]).splitlines()


def share(lines, part, whole):
    stats = [json.loads(line)["stats"] for line in lines]
    return sum(one[part] for one in stats) / max(1, sum(one[whole] for one in stats))


def show(o):
    texts = texts_of(written(o, "--no-draft"), o.window, o.prompts)
    if not texts:
        raise Failure(f"{o.prompts}: no prompt of fewer than {o.window} tokens has an answer")
    if o.o == "text":
        print(f"{'little':<28} {'loss':>7} {'agreement':>10} {'accepted':>9} {'fallbacks':>10} {'rollbacks':>10}")
    for path in o.littles:
        little = Little(path)
        little.check(texts, path)
        held = little.measure(texts)
        exact = written(o, "--little", path, *WHOLE)
        bild = written(o, "--little", path, "--accept", "bild", "--fallback", str(o.fallback), "--rollback",
                       str(o.rollback))
        row = {"little": os.path.basename(path), "loss": held["held_loss"], "agreement": held["held_agreement"],
               "accepted": share(exact, "accepted", "judged"), "fallbacks": share(bild, "fallbacks", "tokens"),
               "rollbacks": share(bild, "rollbacks", "tokens")}
        if o.o == "jsonl":
            print(json.dumps(row), flush=True)
        else:
            print(f"{row['little']:<28.28} {row['loss']:>7.4f} {row['agreement']:>9.1%} {row['accepted']:>8.1%} "
                  f"{row['fallbacks']:>9.1%} {row['rollbacks']:>9.1%}", flush=True)


def options(words):
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = top.add_subparsers(dest="command", required=True, metavar="train|show")
    for_train = commands.add_parser("train", help="tune a little model on a big one's answers")
    for_train.add_argument("--little", required=True, help="the model to begin with, GGUF")
    for_train.add_argument("--answers", required=True, help="lines of `pilotfish generate --no-draft -o jsonl`")
    for_train.add_argument("--out", required=True, metavar="FILE.gguf", help="the aligned model")
    add_options(for_train, rate=5e-4)
    for_show = commands.add_parser("show", help="loss, drafts that are right, fallbacks and rollbacks; by little model")
    for_show.add_argument("littles", nargs="+", metavar="L.gguf")
    for_show.add_argument("--big", required=True, metavar="B.gguf")
    for_show.add_argument("--prompts", required=True, metavar="HELD.jsonl", help="which no answer was trained on")
    for_show.add_argument("-n", type=int, default=64, help="tokens a prompt (64)")
    for_show.add_argument("--fallback", type=float, default=0.6, help="alpha_FB (0.6)")
    for_show.add_argument("--rollback", type=float, default=2, help="alpha_RB (2)")
    for_show.add_argument("--program", default=os.path.join(HOME, "build", "pilotfish"))
    for_show.add_argument("-o", choices=["text", "jsonl"], default="text")
    for one in (for_train, for_show):
        one.add_argument("--window", type=int, default=256, help="tokens of a prompt and its answer, at most (256)")
    return top.parse_args(words)


def main():
    words, extra = split(sys.argv[1:])
    o = options(words)
    o.extra = extra
    need_packages()
    if o.window < 2:
        raise Failure("--window: must be at least 2")
    (train if o.command == "train" else show)(o)


if __name__ == "__main__":
    run("bild.py", main)
