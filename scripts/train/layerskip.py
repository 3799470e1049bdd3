#!/usr/bin/env python3
"""A model of characters trained for early exits, by LayerSkip's recipe (2404.16710, section 4), from scratch.

    scripts/train/layerskip.py train --out exits.gguf            minutes on two cores
    scripts/train/layerskip.py train --out plain.gguf --plain    as many steps without the recipe
    scripts/train/layerskip.py train --out new.gguf --steps 0    untrained
    scripts/train/layerskip.py show exits.gguf plain.gguf new.gguf    by exit: loss, and drafts for the whole model

Layer dropout: a window leaves block l out with probability p = --dropout * D(l) * S(t),
D(l) = exp(l ln 2 / (L - 1)) - 1, S(t) = exp(t ln 2 / (T - 1)) - 1. Early-exit loss: the sum over active exits of
e(l) / (sum of e over them) * loss(l), where e(l) = scale * (0 + 1 + ... + l), and of the last block
(L - 1) + scale * (0 + ... + (L - 2)). Which exits are active is the curriculum: rotational: every R-th, one further at
each step; gradual: from the last one down, one more every T / 2L steps. The last is always active.
"""
import math
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import characters
from fetch import run


def dropout(block, n_blocks, t, n_steps, most):
    by_depth = math.exp(block * math.log(2) / (n_blocks - 1)) - 1
    by_time = math.exp(t * math.log(2) / max(1, n_steps - 1)) - 1
    return most * by_depth * by_time


def exit_scale(block, n_blocks, scale):
    if block < n_blocks - 1:
        return scale * sum(range(block + 1))
    return n_blocks - 1 + scale * sum(range(n_blocks - 1))


def active(args, t):
    """Blocks behind which the loss of step t (from 0) is taken."""
    last = args.blocks - 1
    if args.curriculum == "rotational":
        chosen = {block for block in range(args.blocks) if block % args.every == t % args.every}
    else:
        n_on = min(args.blocks, 1 + int(t * 2 * args.blocks / args.steps))
        chosen = set(range(args.blocks - n_on, args.blocks))
    return sorted(chosen | {last})


def exits_of(args, t):
    """{blocks before the exit: its weight}; exits without weight are left out."""
    if args.plain:
        return {args.blocks: 1.0}
    scales = {block: exit_scale(block, args.blocks, args.scale) for block in active(args, t)}
    total = sum(scales.values())
    return {block + 1: scale / total for block, scale in scales.items() if scale > 0}


def train(args):
    schedule = [(block, 1) for block in range(args.blocks)]
    most = 0 if args.plain else args.dropout

    def loss_at(weights, windows, step, rng):
        exits, keep = exits_of(args, step - 1), None
        if most:
            p = [dropout(block, args.blocks, step - 1, args.steps, most) for block in range(args.blocks)]
            keep = (rng.random((args.blocks, len(windows))) >= [[x] for x in p]).astype("float32")
        losses, grads = characters.loss_of(weights, windows, schedule, exits, keep)
        return losses[args.blocks], {"exits": {n: round(loss, 4) for n, loss in losses.items()}}, grads

    about = f"characters, {args.blocks} blocks" + ("" if args.plain else f", LayerSkip {args.curriculum}")
    characters.train(args, args.blocks, args.blocks, loss_at, about)


def main():
    top, for_train, for_show = characters.parser(__doc__)
    for_train.add_argument("--steps", type=int, default=1000, help="of training")
    for_train.add_argument("--dropout", type=float, default=0.1, help="of the last block at the end")
    for_train.add_argument("--scale", type=float, default=1.0, help="of early exits in the loss")
    for_train.add_argument("--curriculum", choices=["rotational", "gradual"], default="rotational")
    for_train.add_argument("--every", type=int, default=3, help="rotational: of so many exits one is active")
    for_train.add_argument("--plain", action="store_true", help="neither dropout nor early exits")
    for one in (for_train, for_show):
        one.add_argument("--blocks", type=int, default=8)
    args = top.parse_args()
    characters.at_least("blocks", 2, args.blocks)
    if args.command == "train":
        characters.at_least("every", 1, args.every)
        return train(args)
    plans = [f"layerskip:{n}" for n in range(1, args.blocks)] + [f"ode:0-{args.blocks - 1}"]
    return characters.show(args, None, plans)


if __name__ == "__main__":
    run("layerskip.py", main)
