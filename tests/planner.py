"""The command plan, on toys: its answers, what it refuses, and that its commands work as they stand, over ranks too.
   planner.py PILOTFISH TINY SOURCE
"""
import json
import os
import socket
import subprocess
import sys
import tempfile

pilotfish, tiny, source = sys.argv[1:]
n_wrong = 0
HERE = "localhost"
OTHER = socket.gethostname() if socket.gethostname() != HERE else "127.0.0.1"  # the same machine
ENV = {**os.environ, "PILOTFISH_N_PREDICT": "8", "PILOTFISH_RAW": "yes", "PILOTFISH_PORT": "0",
       "PILOTFISH_THREADS": "1"}
PAIR = ("--synthetic", "tD=8,tT=30,slope=8")


def wrong(what):
    global n_wrong
    n_wrong += 1
    print("WRONG:", what)


def run(command, rc=0, **how):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env=ENV, timeout=120, **how)
    if done.returncode != rc:
        wrong(f"{command}: exit {done.returncode}: {done.stderr[-400:].decode()}")
    return done


def plan(*options, rc=0):
    return run(["build/pilotfish", "plan", *options], rc)


def layouts(*options):
    return [json.loads(line) for line in plan(*options, "-o", "jsonl").stdout.splitlines()]


def write(name, text):
    with open(name, "w", encoding="utf-8") as f:
        f.write(text)
    return name


def refuses(rc, says, *options):
    done = plan(*options, rc=rc)
    if done.stdout or done.stderr.count(b"\n") != 1 or says not in done.stderr.decode():
        wrong(f"{options}: {done.stdout + done.stderr}, not '{says}'")


def answers(answer, *options):
    said = layouts(*options)[0]["answer"]
    text = plan(*options).stdout.decode()
    if said != answer or not text.startswith(answer + "\n"):
        wrong(f"{options}: '{said}', not '{answer}'; {text}")


def check_answers():
    near = write("near", "a 16 62 38 # here\nb 16 62 38 0.1 10000\n")
    far = write("far", "a 16 62 38\nb 16 62 38 60 100\n")
    many = ("--goal", "throughput", "--no-draft", "--parallel")
    answers("two groups", "--hosts", near, *PAIR, *many, "32")
    answers("two groups", "--hosts", near, "--synthetic", "tD=8,tT=30", *many, "32", "--max-rows", "16")
    answers("one group; use --tp 2 for latency", "--hosts", near, "--synthetic", "tD=8,tT=30", *many, "8")
    answers("do not distribute: one process on a is faster", "--hosts", far, *PAIR)
    between = write("between", "a 16 62 38\nb 16 62 38 0.25 10000\n")  # shards: 34.0 token/s after 33.3
    answers("do not distribute: one process on a is as fast", "--hosts", between, *PAIR, "--no-draft")
    answers("one group; the little model on a, which has no part of the big one", "--hosts", near, *PAIR,
            "--accept-rate", "0.9")
    if b"further groups give it nothing" not in plan("--hosts", near, *PAIR).stdout:
        wrong("one request: nothing of more hosts")
    rows = layouts("--hosts", near, *PAIR)
    if [row["place"] for row in rows] != [1, 2, 3, 4] or rows[0]["tokens_per_s"] < rows[3]["tokens_per_s"]:
        wrong(f"not in order: {rows}")


def check_readme():
    """README's example is what is printed."""
    text = open(os.path.join(source, "README.md"), encoding="utf-8").read()
    at = text.index("    printf '%s\\n' 'node1 ")
    lines = text[at:].split("\n")
    printed = text[text.index("```\n", at) + 4:].split("```")[0]
    run(["bash", "-c", lines[0]])
    if not text_of(lines[2].strip()).decode().startswith(printed):
        wrong(f"README's example: {text_of(lines[2].strip()).decode()}")


def check_refusals():
    hosts = write("hosts", "a 16 62 38\nb 16 62\n")
    a, b = (len(word).to_bytes(8, "little") + word for word in (b"A", b"B"))
    with open("little.gguf", "rb") as f, open("other.gguf", "wb") as other:
        other.write(f.read().replace(a + b, b + a))  # two tokens have one another's ids
    small = write("small", "a 16 0.001 38\n")
    big = ("--big", "big.gguf")
    refuses(2, "plan needs hosts: --hosts FILE or --measure", *big)
    refuses(2, "only one of --hosts FILE or --measure", "--hosts", hosts, "--measure", *big)
    refuses(2, "plan needs models: --big FILE [--little FILE], or --synthetic tD=MS,tT=MS", "--hosts", hosts)
    refuses(2, "--hosts hosts: line 2: 3 fields", "--hosts", hosts, *big)
    refuses(2, "--hosts: absent", "--hosts", "absent", *big)
    refuses(2, "--hosts: big.gguf: no text", "--hosts", "big.gguf", *big)
    refuses(2, "--slope: --synthetic has its own", "--hosts", hosts, *PAIR, "--slope", "3")
    refuses(3, "--little: the vocabularies differ: id ", "--hosts", "near", *big, "--little", "other.gguf")
    refuses(3, "absent.gguf", "--hosts", small, "--big", "absent.gguf")
    refuses(4, "the big model fits nowhere", "--hosts", small, *big)


def text_of(command):
    return run(["bash", "-c", command]).stdout


def serves(command):
    server = subprocess.Popen(["bash", "-c", f"exec {command}"], stderr=subprocess.PIPE, text=True, env=ENV)
    if not any(line.startswith("ready: ") for line in server.stderr):
        wrong(f"{command}: never ready")
    server.terminate()
    if server.wait(60):
        wrong(f"{command}: exit {server.returncode}")


def check_commands():
    """Two names of this machine, between which nothing takes time: so all kinds of layouts come."""
    hosts = write("local", f"{HERE} 1 1 10\n{OTHER} 1 1 5 0 0\n")
    models = ("--big", "big.gguf", "--little", "little.gguf", "--ctx", "256")
    alone = text_of('build/pilotfish generate --big big.gguf --ctx 256 "Write a haiku about the sea"')
    one = layouts("--hosts", hosts, *models, "--accept-rate", "0.95")
    many = layouts("--hosts", hosts, *models, "--goal", "throughput", "--parallel", "4", "--max-rows", "2")
    spread = [row for row in one if not row["one_process"]]
    if len(spread) < 2 or not any(row["uneven"] and " auto" in row["command"] for row in spread):
        wrong(f"only {one}")
    slow = write("slow", f"{HERE} 1 1 5\n{OTHER} 1 1 10 0 0\n")  # then the drafter is on the other, between two ranks
    between = [row for row in layouts("--hosts", slow, *models, "--accept-rate", "0.95")
               if "--map-by seq" in row["command"]]
    if not between or [rank["host"] for rank in between[0]["ranks"]] != [HERE, OTHER, HERE]:
        wrong(f"no drafter on the other host: {between}")
    for row in one + between:
        if text_of(row["command"]) != alone:
            wrong(f"{row['command']}: another text")
    groups = [row for row in many if row["groups"] == 2]
    if not groups or " serve " not in groups[0]["command"] or [r["host"] for r in groups[0]["ranks"]][-1] != OTHER:
        wrong(f"no groups: {many}")
    else:
        serves(groups[0]["command"])


def check_measured():
    """What is measured is a file for --hosts."""
    ranks = ["scripts/mpirun", "-n", "2", "pilotfish"]
    measured = run([*ranks, "plan", "--measure", "--big", "big.gguf"]).stdout.decode().split("\n\n")
    doctor = run([*ranks, "doctor", "--tp", "1", "--no-draft", "--big", "big.gguf"]).stdout.decode().split("\n\n")
    lines = [part for part in doctor if part.startswith("hosts, as a file")]
    for name, text in (("measured", measured[0]), ("doctor's", "\n".join(lines[0].split("\n")[1:]) if lines else "")):
        if text.count("\n") < 1 or len(layouts("--hosts", write(name, text + "\n"), "--big", "big.gguf")) != 1:
            wrong(f"{name}: {text}")
    if not measured[1].startswith("one process on "):
        wrong(f"measured: {measured}")
    if not plan("--measure", "--big", "big.gguf").stdout.startswith(b"# name"):
        wrong("without a launcher")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    os.mkdir("build")
    os.symlink(pilotfish, "build/pilotfish")
    os.symlink(os.path.join(os.path.dirname(pilotfish), "CMakeCache.txt"), "build/CMakeCache.txt")
    os.symlink(os.path.join(source, "scripts"), "scripts")
    for toy in (["big.gguf"], ["little.gguf", "--left-out", "2"]):
        subprocess.run([tiny, *toy], check=True)
    check_answers()
    check_readme()
    check_refusals()
    check_commands()
    check_measured()
print(n_wrong, "wrong")
sys.exit(n_wrong > 0)
