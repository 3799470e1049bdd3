#!/usr/bin/env python3
"""A model of characters whose one block is taken again and again, as steps of an ODE solver (2310.12818): trained so
that fewer, larger steps give nearly the same.

    scripts/train/ode.py train --out ode.gguf            minutes on two cores
    scripts/train/ode.py train --out new.gguf --steps 0  untrained, to compare with
    scripts/train/ode.py show ode.gguf new.gguf          loss by number of steps; drafts of few steps for the most

The integration time is --depth. Each training step draws how many solver steps it is cut into, from --counts, so that
the path does not depend on their size; --counts 8 alone trains the fine schedule only. With --groups G the model has G
blocks, each with its share of the time (partially shared). The paper's own recipe is not public: this one follows from
its idea. pilotfish runs the model by --plan ode:0x8, and drafts for it by --draft-plan ode:0x4@2.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
import characters
from fetch import Failure, run


def counts_of(args):
    characters.at_least("groups", 1, args.groups)
    try:
        counts = [int(n) for n in args.counts.split(",")]
    except ValueError as e:
        raise Failure(f"--counts {args.counts}: not whole numbers") from e
    if any(n < args.groups or n % args.groups for n in counts):
        raise Failure(f"--counts {args.counts}: each must be a multiple of the {args.groups} groups")
    return counts


def schedule(args, n):
    """n solver steps over the groups."""
    return [(g, args.depth / n) for g in range(args.groups) for _ in range(n // args.groups)]


def plan(args, n):
    step = args.depth / n
    at = "" if step == 1 else f"@{step:g}"
    return "ode:" + ",".join(f"{g}x{n // args.groups}{at}" for g in range(args.groups))


def train(args):
    counts = counts_of(args)

    def loss_at(weights, windows, _step, rng):
        n = int(rng.choice(counts))
        losses, grads = characters.loss_of(weights, windows, schedule(args, n), {n: 1.0})
        return losses[n], {"count": n}, grads

    about = f"characters, {args.groups} shared, depth {args.depth}, counts {args.counts}"
    characters.train(args, args.groups, max(counts), loss_at, about)


def main():
    top, for_train, for_show = characters.parser(__doc__)
    for_train.add_argument("--steps", type=int, default=1000, help="of training")
    for one in (for_train, for_show):
        one.add_argument("--depth", type=int, default=8, help="the integration time")
        one.add_argument("--groups", type=int, default=1, help="blocks that share nothing")
        one.add_argument("--counts", default="2,4,8", help="numbers of solver steps")
    args = top.parse_args()
    if args.command == "train":
        return train(args)
    counts = counts_of(args)
    return characters.show(args, plan(args, max(counts)), [plan(args, n) for n in counts])


if __name__ == "__main__":
    run("ode.py", main)
