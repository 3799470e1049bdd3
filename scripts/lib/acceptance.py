"""How far drafts are right, and what that allows.

S(j), the survival: the chance that the first j tokens of a draft are all what the big model would have written. It is
measured where every draft goes on for the whole window (--guard off): a draft is a run of tokens of origin `draft`,
ended by a correction, or by a token of the big model's own where all of it was right.
"""
import json

from pair import run

WINDOW = 8  # the longest draft that is looked at
# Drafts of full length, of a drafter that read everything.
WHOLE = ["--guard", "off", "--draft-max", str(WINDOW), "--draft-ctx", "1000000"]


def texts(args, prompts, drafter):
    """What the program writes for each prompt with drafts of full length."""
    command = [args.program, "generate", "--big", args.big, "--prompts", prompts, "-n", str(args.n),
               "--parallel", "1", "-o", "jsonl"]
    return [json.loads(line) for line in run(command + drafter + WHOLE + args.extra).splitlines()]


def drafts_of(text):
    """(tokens that were right, whether the next was refuted) of each draft. The first token is the prompt's; the text's
    end may cut the last draft short, which is left out."""
    right = 0
    for origin in text["origin"][1:]:
        if origin == "draft":
            right += 1
            continue
        yield right, origin == "correction"
        right = 0


def survival(written):
    """[S(1), ..., S(WINDOW)]. A draft that ended unrefuted, short of the window, counts as far as it went."""
    drafts = [draft for text in written for draft in drafts_of(text)]
    chance, curve = 1.0, []
    for j in range(1, WINDOW + 1):
        kept = sum(right >= j for right, _ in drafts)
        tried = kept + sum(right == j - 1 and refuted for right, refuted in drafts)
        chance *= kept / tried if tried else 0.0
        curve.append(chance)
    return curve


def optimum(curve, step_ms, draft_ms):
    """The best that drafts of one fixed length could do, over big alone; 1 where the best is none. step_ms[n]: a pass
    of n rows."""
    lengths = [n for n in range(1, WINDOW + 1) if n + 1 in step_ms]
    return max([1.0] + [(1 + sum(curve[:n])) * step_ms[1] / (n * draft_ms + step_ms[n + 1]) for n in lengths])


def pace(args, drafter, context):
    """({rows: ms of a pass}, ms of a drafted token), both behind this many positions."""
    command = [args.program, "bench", "step", "--big", args.big, *drafter, "--rows", f"1-{WINDOW + 1}",
               "--contexts", str(context), "-o", "jsonl"]
    rows = [json.loads(line) for line in run(command).splitlines()]
    step_ms = {row["rows"]: row["ms"] for row in rows if row.get("model") == "big"}
    return step_ms, next((row["ms"] for row in rows if row.get("model") == "little"), 0.0)
