"""docs/papers.md: every option in its commands exists, and all commands but the long ones run as they stand, on toys.
   papers.py PILOTFISH TINY SOURCE
"""
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

pilotfish, tiny, source = sys.argv[1:]
# Minutes each, or as root (netns.sh does it). What a training would write is a copy of what is not trained.
LEFT_OUT = ("scripts/bench-exits", "sudo scripts/netns",
            r"scripts/train/(layerskip|ode).py train .*(--steps 500|gguf$)")
CHANGED = (("--minutes 1[02]|--steps [37]00", "--steps 2"), ("--prompts 4", "--prompts 1"),
           ("--remove 6", "--remove 1"),
           (r"(.*(layerskip|ode)\.py .*)", r"\1 --text head.txt"))  # the default is fetched
n_wrong = 0


def wrong(what, *seen):
    global n_wrong
    n_wrong += 1
    print(f"WRONG: {what}", *(str(s)[-600:] for s in seen), sep="\n")


def call(words, **how):
    how |= {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace", "timeout": 100}
    return subprocess.run(words, **how)


def check_options(line, known):
    """Each is in the help of the program that it is given to."""
    program, named = [], False  # named: its words are over
    for word in shlex.split(line):
        if word in ("python3", "sudo", "--"):
            continue
        if word == "pilotfish" or word.startswith("scripts/") and "*" not in word:
            program, named = [word], False
        elif word.startswith("-"):
            named = True
            words = (["help"] + program[1:]) if program[0] == "pilotfish" else program[1:] + ["--help"]
            path = pilotfish if program[0] == "pilotfish" else os.path.join(source, program[0])
            key = " ".join(program)
            if key not in known:
                done = call([path, *words])
                known[key] = done.stdout
                if done.returncode or not done.stdout:
                    wrong(f"no help of {key}", done.stderr)
            if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", known[key]):
                wrong(f"{key} has no {word}: {line}")
        elif not named and re.fullmatch("[a-z]+", word):
            program.append(word)


def make_files(folder):
    os.makedirs(os.path.join(folder, "build"))
    os.symlink(pilotfish, os.path.join(folder, "build/pilotfish"))
    os.symlink(os.path.join(source, "scripts"), os.path.join(folder, "scripts"))
    big = os.path.join(folder, "B.gguf")
    shape = ("--blocks", "30", "--ctx", "1024", "--embd", "64", "--heads", "2", "--kv-heads", "1", "--ff", "128")
    subprocess.run([tiny, big, *shape], check=True)
    for name in ("SmolLM2-135M-Instruct.Q4_1.gguf", "L.gguf", "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
                 "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf"):
        os.symlink("B.gguf", os.path.join(folder, name))
    shutil.copy(os.path.join(source, "tests/data/wikitext-2/head.txt"), folder)
    with open(os.path.join(folder, "head.txt"), encoding="utf-8") as f:
        text = f.read()
    for name in ("text.txt", "wiki.test.raw", "calibration.txt", "held.txt"):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
            f.write(text[:900])
    for name, n in (("questions", 1), ("prompts", 8), ("task", 8), ("held", 2)):
        with open(os.path.join(folder, f"{name}.jsonl"), "w", encoding="utf-8") as f:
            for i in range(n):
                print(json.dumps({"id": str(i), "prompt": f"How many legs have {i + 2} dogs and a hen?"}), file=f)


def main():
    with open(os.path.join(source, "docs/papers.md"), encoding="utf-8") as f:
        text = re.sub(r"```.*?```", "", f.read(), flags=re.S)
    indented = "".join(line[4:] + "\n" for line in text.split("\n") if line.startswith("    "))
    lines = indented.replace("\\\n", " ").splitlines()
    commands = [line for line in lines if re.match("pilotfish |(sudo |python3 )?scripts/", line)]
    assert len(commands) == len(lines) >= 20, set(lines) - set(commands)
    known, n_run = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        make_files(folder)
        env = {**os.environ, "PATH": f"{folder}/build:{os.environ['PATH']}", "PILOTFISH_N_PREDICT": "8",
               "PILOTFISH_THREADS": "1"}
        for line in commands:
            check_options(line, known)
            if re.match("|".join(LEFT_OUT), line):
                continue
            for old, new in CHANGED:
                line = re.sub(old, new, line)
            if re.search(r"(layerskip|ode)\.py show ", line):
                names = re.findall(r"\w+\.gguf", line)
                for name in names[:-1]:
                    shutil.copy(os.path.join(folder, names[-1]), os.path.join(folder, name))
            n_run += 1
            done = call(["bash", "-c", line], cwd=folder, env=env)
            if done.returncode:
                wrong(f"{line}: exit {done.returncode}", done.stdout, done.stderr)
    print(f"{len(commands)} commands, {n_run} run, {n_wrong} wrong")
    return n_wrong > 0


sys.exit(main())
