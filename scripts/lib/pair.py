"""What scripts that run the program on a pair of models share: its lines of JSON and their sums, prompts of a kind, the
options of all of them, how they end."""
import argparse
import json
import os
import subprocess
import sys

from fetch import Failure

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))


def run(command, errors=False):
    """What it prints, or what it prints as errors. At a terminal a benchmark says there itself how far it is, and what
    is wrong."""
    shows = sys.stderr.isatty() and command[1] == "bench"
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=None if shows else subprocess.PIPE, text=True)
    if done.returncode:
        lines = (done.stderr or "").strip().splitlines() or ["see above" if shows else "no message"]
        raise Failure(f"{os.path.basename(command[0])} gave {done.returncode}: {lines[-1]}")
    return done.stderr if errors else done.stdout


def total(requests, way, key):
    """Over requests of `bench pair`; way: plain or drafts."""
    return sum(request[way][key] for request in requests)


def speed(requests, way):
    return total(requests, way, "tokens") / total(requests, way, "seconds")


def write_prompts(to, path, kinds, n):
    """The first n prompts of each kind of Spec-Bench, kind after kind, in a file of their own."""
    with open(path, encoding="utf-8") as lines:
        by_kind = {kind: [] for kind in kinds}
        for line in lines:
            by_kind.get(json.loads(line)["category"], []).append(line)
    for kind, found in by_kind.items():
        if len(found) < n:
            raise Failure(f"{path}: {len(found)} prompts of kind {kind}, {n} wanted")
    with open(to, "w", encoding="utf-8") as out:
        out.writelines(line for found in by_kind.values() for line in found[:n])


def parser(description, kinds, each, needs_big=True):
    """Kinds and each: the defaults. What stands after -- on the command line is the program's: see split."""
    own = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    own.add_argument("--big", required=needs_big)
    own.add_argument("--program", default=os.path.join(HOME, "build", "pilotfish"))
    own.add_argument("--prompts", default=os.path.join(HOME, "data", "spec-bench", "question.jsonl"))
    own.add_argument("--kinds", default=kinds, type=lambda text: text.split(","),
                     help=f"default: {','.join(kinds)}" if kinds else "kind,...")
    own.add_argument("--each", type=int, default=each, help=f"prompts of each kind ({each})")
    own.add_argument("-n", type=int, default=64, help="tokens a prompt (64)")
    return own


def split(words):
    """Our own words, and those after the first --."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


def call(name, main):
    """A failure costs one line and exit 1."""
    try:
        main()
    except (Failure, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"{name}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
