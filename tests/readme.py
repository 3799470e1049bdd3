"""Every command of README.md and its Python are run as they stand, but on toys in the places of the models, and with
shorter waits in place of computing; the packages it names are those that the scripts install. The program's commands
of docs/devices.md are run on the reference device in place of a card.
   readme.py PILOTFISH TINY SOURCE
"""
import os
import re
import subprocess
import sys
import tempfile

pilotfish, tiny, source = sys.argv[1:]
BIG, LITTLE = (f"models/qwen2.5-coder-{size}-instruct-q4_k_m.gguf" for size in ("1.5b", "0.5b"))
RUN = ("build/pilotfish", "scripts/mpirun", "scripts/report", "echo", "printf")
# minutes each, or another program's files; as root (netns.sh does it)
LEFT_OUT = ("cmake", "scripts/quickstart", "scripts/bench-pair", "sudo scripts/netns")
WAITS = "bench spec --synthetic tD=8,tT=30 ", "bench spec --synthetic tD=1,tT=4 "
n_wrong = 0


def call(command, **how):
    how |= {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "errors": "replace", "timeout": 100}
    return subprocess.run(command, **how)


def check(what, done, prints=True):
    global n_wrong
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    if done.returncode or notes or (prints and not done.stdout):
        n_wrong += 1
        print(f"WRONG: {what}: exit {done.returncode}\n{done.stdout[-300:]}{done.stderr[-600:]}")


def serve(line, asks, **how):
    """A server, which clients ask as these lines say."""
    how["env"] = {**how["env"], "PILOTFISH_PORT": "0"}
    server = subprocess.Popen(["bash", "-c", f"exec {line}"], stderr=subprocess.PIPE, text=True, **how)
    ready = next((m[1] for m in (re.match(r"ready: .* on (\S+)", said) for said in server.stderr) if m), "none")
    for ask in asks:
        ask = ask.replace("http://127.0.0.1:8080", ready).replace("curl ", "curl -sf ")
        check(ask, call(["bash", "-c", "echo Hello | " + ask], **how))
    server.terminate()
    check(line, subprocess.CompletedProcess(line, server.wait(60), "", ""), prints=False)


def make_tree(folder):
    for name in ("build", "models"):
        os.mkdir(os.path.join(folder, name))
    os.symlink(pilotfish, os.path.join(folder, "build/pilotfish"))
    os.symlink(os.path.join(os.path.dirname(pilotfish), "CMakeCache.txt"), os.path.join(folder, "build/CMakeCache.txt"))
    os.symlink(os.path.join(source, "scripts"), os.path.join(folder, "scripts"))
    for model, options in ((BIG, []), (LITTLE, ["--left-out", "2"])):
        subprocess.run([tiny, os.path.join(folder, model), *options], check=True)


def indented_lines(text):
    prose = re.sub(r"```.*?```", "", text, flags=re.S)
    indented = "".join(line[4:] + "\n" for line in prose.split("\n") if line.startswith("    "))
    return indented.replace("\\\n", " ").splitlines()


def of_devices():
    with open(os.path.join(source, "docs/devices.md"), encoding="utf-8") as f:
        lines = [line for line in indented_lines(f.read()) if line.startswith("build/pilotfish")]
    assert len(lines) >= 3 and all("--device cuda " in line for line in lines), lines
    return [line.replace("--device cuda ", "--device reference ") for line in lines]


def main():
    text = open(os.path.join(source, "README.md"), encoding="utf-8").read()
    python = re.search(r"```python\n(.*?)```", text, re.S).group(1)
    lines = indented_lines(text)
    commands = [line for line in lines if line.startswith(RUN)]
    assert WAITS[0] in " ".join(commands), "no bench spec"
    forgotten = [line for line in lines if "--big" in line and not line.startswith(RUN + LEFT_OUT)]
    assert len(commands) >= 14 and not forgotten, (len(commands), forgotten)
    devices = of_devices()
    lines += devices
    commands += devices
    setup = open(os.path.join(source, "scripts/lib/setup.sh"), encoding="utf-8").read()
    packages = re.search(r"^build_packages=\((.*?)\)", setup, re.M | re.S).group(1).split()
    unnamed = [name for name in packages if not re.search(rf"\b{re.escape(name)}\b", text)]
    assert packages and not unnamed, unnamed
    with tempfile.TemporaryDirectory() as folder:
        make_tree(folder)
        env = {**os.environ, "PILOTFISH_N_PREDICT": "8", "PILOTFISH_THREADS": "1"}
        for line in commands:
            below = lines[lines.index(line) + 1:]
            line = line.replace("--big ...", f"--big {BIG}").replace("--little ...", f"--little {LITTLE}")
            line = line.replace(*WAITS)
            if " --url " in line:
                continue
            if " serve " in line:
                serve(line, below[:1] + [ask for ask in below if " --url " in ask], cwd=folder, env=env)
                continue
            check(line, call(["bash", "-c", line], cwd=folder, env=env), prints=">" not in line)
        done = call([sys.executable, "-c", python], cwd=folder)
        check("the Python", done)
        first = done.stdout.split("\n")[0]
        assert n_wrong or (first and done.stdout.count(first) == 2), done.stdout  # one question in two conversations
    print(f"{len(commands)} commands, {n_wrong} wrong")
    return n_wrong > 0


sys.exit(main())
