"""deploy/kubernetes/mpijob.yaml: its fields are those of the schema beside it (a misspelt or misplaced one is found),
its command is one that pilotfish takes, and its ranks fit into its pods.
   mpijob.py PILOTFISH TINY SOURCE
"""
import copy
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request

import jsonschema
import yaml

pilotfish, tiny, source = sys.argv[1:]
folder = os.path.join(source, "deploy", "kubernetes")
with open(os.path.join(folder, "mpijob.schema.json")) as f:
    validator = jsonschema.Draft202012Validator(json.load(f))
with open(os.path.join(folder, "mpijob.yaml")) as f:
    job = yaml.safe_load(f)
validator.check_schema(validator.schema)
validator.validate(job)


def without(path, new):
    """A copy of the job in which the last name of the path is another."""
    changed = copy.deepcopy(job)
    at = changed
    for name in path[:-1]:
        at = at[name]
    at[new] = at.pop(path[-1])
    return changed


launcher = ["spec", "mpiReplicaSpecs", "Launcher", "template", "spec", "containers", 0]
for path, new in ((["spec", "runLauncherAsWorker"], "launcherAsWorker"),
                  (["spec", "mpiReplicaSpecs", "Worker"], "Workers"),
                  (launcher + ["volumeMounts"], "mounts"), (launcher + ["image"], "images"), (["kind"], "Kind")):
    assert not validator.is_valid(without(path, new)), f"{new} in place of {path[-1]} is not found"

# The launcher's command, as one process: the toys are where the job has its models.
spec = job["spec"]["mpiReplicaSpecs"]
args = spec["Launcher"]["template"]["spec"]["containers"][0]["args"]
at = args.index("pilotfish")
n_ranks = int(args[args.index("-n") + 1])
n_slots = job["spec"]["slotsPerWorker"] * (1 + spec["Worker"]["replicas"])
assert n_ranks == n_slots, f"{n_ranks} ranks, {n_slots} slots"
with tempfile.TemporaryDirectory() as models:
    subprocess.run([tiny, f"{models}/big.gguf"], check=True)
    subprocess.run([tiny, f"{models}/little.gguf", "--left-out", "2"], check=True)
    command = [pilotfish] + [a.replace("/models", models) for a in args[at + 1:]] + ["-n", "8"]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    mpirun = os.path.join(source, "scripts", "mpirun")
    done = subprocess.run([mpirun, "-n", "2"] + command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    # As a server, by the words of its head comment; its port is the one that the service looks for.
    with open(os.path.join(folder, "service.yaml")) as f:
        service = yaml.safe_load(f)
    assert service["spec"]["ports"][0]["targetPort"] == 8080 and service["metadata"]["name"] == job["metadata"]["name"]
    args = command[:1] + ["serve", "--host", "0.0.0.0"] + command[2:command.index("Write a haiku about the sea")]
    args += ["--port", "0"]
    with subprocess.Popen(args, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as server:
        ready = next(line for line in server.stderr if line.startswith("ready: "))
        port = re.search(r"0\.0\.0\.0:(\d+)", ready)[1]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30) as reply:
            assert reply.status == 200
        server.terminate()
        server.stderr.read()
    assert server.returncode == 0, server.returncode
assert f"takes {n_ranks}: " in done.stderr, f"{n_ranks} ranks are not what the options take: {done.stderr}"
print("1 job, 0 wrong")
