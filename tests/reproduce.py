#!/usr/bin/env python3
"""Greedy and BiLD decoding, perplexity, and plans (proto/plan.h), in the plainest way, against the program: the same
ids on 50 prompts, and on 12 of each further architecture.

  reproduce.py PILOTFISH TINY

Nothing here is taken from the program but a guess of the text, so that one pass of the whole text serves many tokens:
where it is another text than the model's own, that is found out, and costs time alone. Models are toys with F32
weights, read with the package gguf; the arithmetic is numpy's, but for keys and values, which are rounded to F16 as the
program's cache has them.
"""
import json
import os
import random
import subprocess
import sys
import tempfile

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # for matrices so small
import gguf
import numpy as np

N_TOKENS = 24
FALLBACK, ROLLBACK, WINDOW = 0.15, 3.0, 6  # a toy is sure of nothing: so that each of them ends some drafts
BILD = ["--accept", "bild", "--fallback", str(FALLBACK), "--rollback", str(ROLLBACK), "--draft-max", str(WINDOW)]


class Model:
    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        self.w = {t.name: np.array(t.data, dtype=np.float64) for t in reader.tensors}
        self.known = {}  # text: ln p of each id to come
        arch = bytes(self.field(reader, "general.architecture")).decode()
        self.n_blocks = int(self.field(reader, f"{arch}.block_count")[0])
        self.exit_norm = "output_norm"  # a side file's exit has its own
        self.ids = slice(None)  # that the head has, of a plan that cuts it
        self.plan = [(i, "am", 1) for i in range(self.n_blocks)]  # block, attention and MLP, step
        self.n_head = int(self.field(reader, f"{arch}.attention.head_count")[0])
        self.n_head_kv = int(self.field(reader, f"{arch}.attention.head_count_kv")[0])
        self.eps = float(self.field(reader, f"{arch}.attention.layer_norm_rms_epsilon")[0])
        self.base = float(self.field(reader, f"{arch}.rope.freq_base")[0])
        self.factors = self.w.get("rope_freqs.weight", 1)  # Llama 3's
        self.gemma = arch == "gemma3"
        self.window = int(self.field(reader, f"{arch}.attention.sliding_window")[0]) if self.gemma else None
        self.pattern = int(self.field(reader, f"{arch}.attention.sliding_window_pattern")[0]) if self.gemma else 1
        has_experts = f"{arch}.expert_count" in reader.fields
        self.n_used = int(self.field(reader, f"{arch}.expert_used_count")[0]) if has_experts else 0
        self.halves = arch != "llama"  # what turns together: element i and i + half, or 2i and 2i + 1

    @staticmethod
    def field(reader, key):
        field = reader.fields[key]
        return field.parts[field.data[0]]

    def add_side(self, path, exit):
        """The block and the norm that a side file has for an exit (proto/files/side.h), as one more block, behind the
        blocks before it."""
        reader = gguf.GGUFReader(path)
        numbers = {t.name: np.array(t.data, dtype=np.float64) for t in reader.tensors}
        exits, ids = reader.fields["side.exit"].contents(), reader.fields.get("side.ids")
        at = exits.index(exit) if isinstance(exits, list) else 0
        norms = numbers.pop("output_norm.weight").reshape(-1, self.w["output_norm.weight"].size)
        self.w["side_norm.weight"] = norms[at]
        self.w.update(numbers)
        self.exit_norm = "side_norm"
        self.serve([*self.plan[:exit], (self.n_blocks + at, "am", 1)])
        if ids:
            self.cut(ids.contents())

    def cut(self, ids):
        """ids: a number, below it, or a list."""
        self.known = {}
        self.ids = np.array(ids) if isinstance(ids, list) else np.arange(ids)

    def serve(self, plan):
        self.plan, self.known = plan, {}

    def norm(self, x, name):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps) * self.w[name + ".weight"]

    def linear(self, x, name):
        y = x @ self.w[name + ".weight"].T
        return y + self.w[name + ".bias"] if name + ".bias" in self.w else y

    def is_local(self, i):
        """Blocks that see the last `window` positions only, and have rotary positions of their own (2503.19786, section
        2.1)."""
        return self.window is not None and (i + 1) % self.pattern != 0

    def rotate(self, x, base):
        n, _, d = x.shape
        angle = np.outer(np.arange(n), base ** (-2.0 * np.arange(d // 2) / d) / self.factors)[:, None, :]
        cos, sin = np.cos(angle), np.sin(angle)
        a, b = (x[..., : d // 2], x[..., d // 2 :]) if self.halves else (x[..., ::2], x[..., 1::2])
        turned = [a * cos - b * sin, a * sin + b * cos]
        return np.concatenate(turned, -1) if self.halves else np.stack(turned, -1).reshape(x.shape)

    def attention(self, x, i):
        n, block = len(x), f"blk.{i}"
        q, k, v = (self.linear(x, f"{block}.attn_{part}").reshape(n, heads, -1) for part, heads in
                   (("q", self.n_head), ("k", self.n_head_kv), ("v", self.n_head_kv)))
        if f"{block}.attn_q_norm.weight" in self.w:
            q, k = self.norm(q, f"{block}.attn_q_norm"), self.norm(k, f"{block}.attn_k_norm")
        base = 10000.0 if self.is_local(i) else self.base
        q, k = self.rotate(q, base), self.rotate(k, base)
        k, v = (part.astype(np.float16).astype(np.float64) for part in (k, v))
        out = np.empty_like(q)
        for head in range(self.n_head):
            kv = head * self.n_head_kv // self.n_head
            scores = q[:, head] @ k[:, kv].T / np.sqrt(q.shape[-1])
            scores[np.triu_indices(n, 1)] = -np.inf
            if self.is_local(i):
                scores[np.tril_indices(n, -self.window)] = -np.inf
            p = np.exp(scores - scores.max(-1, keepdims=True))
            out[:, head] = p / p.sum(-1, keepdims=True) @ v[:, kv]
        return self.linear(out.reshape(n, -1), f"{block}.attn_output")

    def mixture(self, x, block):
        """Each row's likeliest experts, weighed by their softmax (Mixtral: 2401.04088, section 2.1)."""
        scores, y = self.linear(x, f"{block}.ffn_gate_inp"), np.zeros_like(x)
        gates, ups, downs = (self.w[f"{block}.ffn_{part}_exps.weight"] for part in ("gate", "up", "down"))
        for row in range(len(x)):
            chosen = np.argsort(-scores[row])[: self.n_used]
            weights = np.exp(scores[row, chosen] - scores[row, chosen].max())
            for expert, weight in zip(chosen, weights / weights.sum()):
                gate = gates[expert] @ x[row]
                y[row] += weight * (downs[expert] @ (gate / (1 + np.exp(-gate)) * (ups[expert] @ x[row])))
        return y

    def mlp(self, x, block):
        if self.n_used:
            return self.mixture(x, block)
        gate = self.linear(x, f"{block}.ffn_gate")
        if self.gemma:  # GELU as 1606.08415 approximates it
            gate = gate / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (gate + 0.044715 * gate**3)))
        else:
            gate = gate / (1 + np.exp(-gate))
        return self.linear(gate * self.linear(x, f"{block}.ffn_up"), f"{block}.ffn_down")

    def added(self, y, name):
        """What is added to x: of Gemma it is brought to size before."""
        return self.norm(y, name) if self.gemma else y

    def read(self, ids, n_before):
        """A text, in one pass: what comes after its first n_before ids, and after each one behind those, is known."""
        x = self.w["token_embd.weight"][ids]
        if self.gemma:
            x = x * np.sqrt(x.shape[-1])
        for i, part, step in self.plan:
            block = f"blk.{i}"
            if "a" in part:
                y = self.attention(self.norm(x, f"{block}.attn_norm"), i)
                x = x + step * self.added(y, f"{block}.post_attention_norm")
            if "m" in part:
                y = self.mlp(self.norm(x, f"{block}.ffn_norm"), block)
                x = x + step * self.added(y, f"{block}.post_ffw_norm")
        head = self.w.get("output.weight", self.w["token_embd.weight"])
        logits = np.full((len(ids) + 1 - n_before, len(head)), -np.inf)
        logits[:, self.ids] = self.norm(x[n_before - 1 :], self.exit_norm) @ head[self.ids].T
        logits -= logits.max(-1, keepdims=True)
        logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
        self.known |= {tuple(ids[: n_before + i]): row for i, row in enumerate(logits)}

    def log_p(self, ids):
        """ln p of each id to come, after the last of ids."""
        if tuple(ids) not in self.known:
            self.read(ids, len(ids))
        return self.known[tuple(ids)]


def greedy(big, ids, guess):
    return greedy_with_log_p(big, ids, guess)[0]


def greedy_with_log_p(big, ids, guess):
    """Each id, and ln p of it. guess: what they may be."""
    big.read([*ids, *guess], len(ids))
    ids, sure = list(ids), []
    for _ in range(N_TOKENS):
        log_p = big.log_p(ids)
        ids.append(int(log_p.argmax()))
        sure.append(float(log_p.max()))
    return ids[-N_TOKENS:], sure


def bild(big, little, prompt, guess):
    """BiLD (2302.07863, algorithm 1): little writes while it is sure (fallback), big looks at what it wrote, takes back
    what it finds too unlikely (rollback), and writes one token itself."""
    for model in big, little:
        model.read([*prompt, *guess], len(prompt))
    ids, end = list(prompt), len(prompt) + N_TOKENS
    counts = [0, 0]
    ids.append(int(big.log_p(ids).argmax()))
    while len(ids) < end:
        draft = []
        while len(draft) < WINDOW and len(ids) + len(draft) < end:
            log_p = little.log_p(ids + draft)
            if np.exp(log_p.max()) < FALLBACK:
                counts[0] += 1
                break
            draft.append(int(log_p.argmax()))
        for token in draft:
            log_p = big.log_p(ids)
            if -log_p[token] > ROLLBACK and token != log_p.argmax():
                counts[1] += 1
                break
            ids.append(token)
        if len(ids) < end:
            ids.append(int(big.log_p(ids).argmax()))
    return ids[-N_TOKENS:], counts


def perplexity(model, ids, window):
    """exp of the mean -ln p of the later half of each window."""
    sums = []
    for start in range(0, len(ids) - window + 1, window):
        own = ids[start : start + window]
        model.read(own, 1)
        sums += [model.log_p(own[:i])[own[i]] for i in range((window + 1) // 2, window)]
    return float(np.exp(-np.mean(sums))), len(sums)


def run(command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout


def prompts(n):
    """Texts, which go to prompts.jsonl. Their ids are what the program says: the tokenizer has tests of its own."""
    draw = random.Random(1)
    words = "the little friend was very happy and said that she would play with him all day around there One time"
    words = words.split()
    texts = [" ".join(draw.choices(words, k=draw.randint(2, 12))) for _ in range(n)]
    with open("prompts.jsonl", "w", encoding="utf-8") as out:
        for text in texts:
            print(json.dumps({"prompt": text}), file=out)
    return texts


def generate(pilotfish, *options):
    """What the program writes behind each prompt of prompts.jsonl."""
    command = [pilotfish, "generate", "--big", "big.gguf", "--prompts", "prompts.jsonl", "--raw", "--ignore-eos",
               "-o", "jsonl", "-n", str(N_TOKENS), *options]
    return [json.loads(line) for line in run(command, stderr=subprocess.DEVNULL).splitlines()]


def compare(what, expected, lines):
    n, found = len(expected), [line["ids"] for line in lines]
    wrong = [i for i in range(n) if expected[i] != found[i]]
    print(f"{what}: {n - len(wrong)} of {n} texts of {N_TOKENS} ids are the same")
    for i in wrong[:3]:
        print(f"  prompt {i}: {expected[i]}\n  program:   {found[i]}")
    return not wrong


def check(pilotfish, tiny, n_prompts, arch, *shape):
    run([tiny, "big.gguf", "--arch", arch, *shape])
    run([tiny, "little.gguf", "--arch", arch, *shape, "--left-out", "2"])
    texts = prompts(n_prompts)
    pair = ["--little", "little.gguf", "--draft-vocab", "0", "--little-quant", "file", "--draft-ctx", "512"]
    plain, exact, of_bild = (generate(pilotfish, *options) for options in (["--no-draft"], pair, [*pair, *BILD]))
    big, little = Model("big.gguf"), Model("little.gguf")
    own = [greedy(big, line["prompt_ids"], line["ids"]) for line in plain]
    lossy = [bild(big, little, line["prompt_ids"], line["ids"]) for line in of_bild]
    n_fallbacks, n_rollbacks = (sum(counts[k] for _, counts in lossy) for k in (0, 1))
    n_changed = sum(a != b for a, (b, _) in zip(own, lossy))
    print(f"{arch}: {n_fallbacks} fallbacks, {n_rollbacks} rollbacks; {n_changed} texts that big alone would not write")
    fair = min(n_fallbacks, n_rollbacks, n_changed) > n_prompts / 8  # else these prompts show little
    text = " ".join(texts)
    all_ids = [int(i) for i in run([pilotfish, "tokenize", "--model", "big.gguf"], input=text).split()]
    said = json.loads(run([pilotfish, "eval", "perplexity", "--big", "big.gguf", "--window", "48", "-o", "jsonl", "-"],
                          input=text, stderr=subprocess.DEVNULL))
    expected, n = perplexity(big, all_ids, 48)
    close = abs(said["perplexity"] / expected - 1) < 1e-4 and said["tokens"] == n
    print(f"{arch}, perplexity: {said['perplexity']:.5f}, here {expected:.5f}, {n} tokens")
    return all([fair, close, compare(f"{arch}, greedy", own, plain), compare(f"{arch}, exact", own, exact),
                compare(f"{arch}, BiLD", [i for i, _ in lossy], of_bild)])


# How a plan is spelled, and what it is: of a model of 4 blocks. A dictionary is a file's.
PLANS = [
    ("ode:0-3", [(i, "am", 1) for i in range(4)]),
    ("skip:1", [(0, "am", 1), (2, "am", 1), (3, "am", 1)]),
    ("skip:0a,2-3m", [(0, "m", 1), (1, "am", 1), (2, "a", 1), (3, "a", 1)]),
    ("layerskip:2", [(0, "am", 1), (1, "am", 1)]),
    ("ode:0,1-2x2@.5,3m@1.5,3a", [(0, "am", 1)] + 2 * [(1, "am", 0.5), (2, "am", 0.5)] + [(3, "m", 1.5), (3, "a", 1)]),
    ({"about": "one block, shared", "entries": 3 * [{"block": 2, "step": 0.75}] + [{"block": 0, "part": "mlp"}]},
     3 * [(2, "am", 0.75)] + [(0, "m", 1)]),
]


def check_plans(pilotfish, tiny, n_prompts, arch, *shape):
    """The model served under each plan, with its shards in another place each time."""
    run([tiny, "big.gguf", "--arch", arch, *shape])
    prompts(n_prompts)
    big, right = Model("big.gguf"), True
    for i, (spelled, plan) in enumerate(PLANS):
        big.serve(plan)
        if isinstance(spelled, dict):
            with open("plan.json", "w", encoding="utf-8") as out:
                json.dump(spelled, out)
            spelled = "plan.json"
        layout = ["--tp", str(1 + i % 2), "--pp", str(1 + i // 2 % 2), "--threads", str(1 + i % 2)]
        lines = generate(pilotfish, "--plan", spelled, *layout)
        own = [greedy_with_log_p(big, line["prompt_ids"], line["ids"]) for line in lines]
        far = [abs(a - b) for (_, sure), line in zip(own, lines) for a, b in zip(sure, line["logprobs"])]
        mean, most = sum(far) / len(far), max(far)  # a key or value at the edge of two F16 numbers makes the most
        said = all(line["stats"]["plan"] == spelled for line in lines)
        what = f"{arch}, plan {spelled} (ln p within {mean:.1e}, at most {most:.1e})"
        right &= compare(what, [x for x, _ in own], lines) and said and mean < 1e-4 and most < 1e-3
    return right & check_own_drafts(pilotfish, big, arch)


def check_own_drafts(pilotfish, big, arch):
    """Big drafts by its first blocks, whose keys and values are its own: BiLD's text is that of two models."""
    draft = Model("big.gguf")
    big.serve(PLANS[0][1])
    draft.serve(PLANS[0][1][:3])
    lines = generate(pilotfish, "--draft-plan", "layerskip:3", *BILD)
    lossy = [bild(big, draft, line["prompt_ids"], line["ids"]) for line in lines]
    changed = sum(ids != greedy(big, line["prompt_ids"], ids) for (ids, _), line in zip(lossy, lines))
    what = f"{arch}, BiLD over layerskip:3 ({changed} lossy)"
    return compare(what, [x for x, _ in lossy], lines)


def main():
    pilotfish, tiny = (os.path.realpath(path) for path in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        others = [["qwen3", "--head-size", "16"], ["llama"], ["llama", "--rope-factors"],
                  ["gemma3", "--head-size", "16"],
                  ["qwen3moe", "--head-size", "16", "--experts", "6", "--used", "2"],
                  ["llama", "--experts", "4", "--used", "2"]]
        right = [check(pilotfish, tiny, 50, "qwen2")] + [check(pilotfish, tiny, 12, *toy) for toy in others]
        right += [check_plans(pilotfish, tiny, 6, *toy) for toy in [["qwen2"], *others[3:]]]
        os.chdir("/")
    sys.exit(not all(right))


if __name__ == "__main__":
    main()
