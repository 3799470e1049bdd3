"""What the network costs text without drafts, from first to last token: over round trips of 20 and 80 ms, emulated and
between two hosts that are network namespaces (as root), a token takes at most 5 % more than at 0 ms; and what copies
its prompt, with the leader's own drafts at 80 ms, comes 1.5 times as fast as plain text does there. The best of some
turns counts; scripts/test --long plain_network runs it, on a quiet machine.
   plain_network.py PILOTFISH SCRIPTS [N_TOKENS [N_TURNS]]
"""
import json
import os
import subprocess
import sys

pilotfish, scripts, *numbers = sys.argv[1:]
n_tokens, n_turns = [int(n) for n in numbers] + [128, 4][len(numbers):]
models = os.environ.get("PILOTFISH_MODELS", "models")
SMOL = f"{models}/SmolLM2-135M-Instruct.Q4_1.gguf"
QWEN = f"{models}/qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
STORY = "Write a story about a fish."
COPY = "Copy this list five times: apples, bananas, cherries, dates, elderberries, figs, grapes."
DELAYS_MS = [0, 10, 40]  # each way
n_wrong = 0


def generate(delay_ms, big, prompt, *options, over=()):
    command = [*over, pilotfish, "generate", "--big", big, "-n", str(n_tokens), "--ignore-eos", "-o", "jsonl", *options]
    if not over:
        command += ["--net-delay", str(delay_ms)]
    done = subprocess.run([*command, prompt], capture_output=True, text=True, timeout=600)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit {done.returncode}: {done.stderr}")
    answer = json.loads(done.stdout)
    return answer["ids"], answer["stats"]["tokens_per_s"]


def check(holds, what):
    global n_wrong
    print(("ok     " if holds else "WRONG  ") + what, flush=True)
    n_wrong += not holds


def at_each_delay(name, n, run):
    """Turn by turn, so that a slow minute meets all of them."""
    turns = [[run(ms) for ms in DELAYS_MS] for _ in range(n)]
    check(all(ids == turns[0][0][0] for turn in turns for ids, _ in turn), f"{name}: one text")
    best = [max(rate for _, rate in of_delay) for of_delay in zip(*turns)]
    for ms, rate in zip(DELAYS_MS[1:], best[1:]):
        check(best[0] <= 1.05 * rate,
              f"{name}, {2 * ms} ms: {1000 / rate:.2f} ms a token, {1000 / best[0]:.2f} at 0 ms")


for model, n in (SMOL, 4 * n_turns), (QWEN, n_turns):  # a text of the small one takes a quarter of a second
    name = os.path.basename(model)
    at_each_delay(name, n, lambda ms: generate(ms, model, STORY, "--no-draft"))
    if os.geteuid() == 0:
        at_each_delay(f"{name} on two hosts", n, lambda ms: generate(
            ms, model, STORY, "--no-draft", "--threads", "1",
            over=(f"{scripts}/netns", "2", "-d", str(ms * 1000), "--", f"{scripts}/mpirun", "-n", "2")))

rates = {draft: max(generate(40, QWEN, COPY, *options)[1] for _ in range(n_turns))
         for draft, options in {"plain": ["--no-draft"], "suffix": ["--draft", "suffix"]}.items()}
check(rates["suffix"] >= 1.5 * rates["plain"],
      f"a copy at 80 ms: {rates['suffix']:.1f} token/s, plain {rates['plain']:.1f}")
sys.exit(n_wrong > 0)
