#!/usr/bin/env python3
"""Ranks: 3. A process of a launch is killed while it starts: before the program, at a call within MPI_Init, between its
first messages; the launcher and scripts/mpirun too: one line, exit 5. A rank that cannot open its collective lets no
other wait: one line, exit 4. Within 10 s not one process is left.

    lost_at_start.py PILOTFISH TINY SCRIPTS DIES [--long]

DIES: the library of tests/lib/dies.c. --long: every third call of each, and many moments, while both cores are busy.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

pilotfish, tiny, scripts, dies = (os.path.abspath(p) for p in sys.argv[1:5])
is_long = sys.argv[5:] == ["--long"]
MARK = f"MARK_OF_THIS_TEST={os.getpid()}"
N_CALLS = 90  # of each process, to its first messages
n_runs = n_wrong = 0


def wrong(what, err):
    global n_wrong
    n_wrong += 1
    print(f"WRONG: {what}\n    {err!r}", flush=True)


def processes():
    """All that this test started: {process: its name}."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f, open(f"/proc/{pid}/comm") as name:
                if MARK.encode() in f.read().split(b"\0"):
                    found[int(pid)] = name.read().strip()
        except OSError:
            pass
    return found


def within(seconds, is_so):
    give_up = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > give_up:
            return False
        time.sleep(0.01)
    return True


def lose(what, code, kill=None, program=pilotfish, options=(), says=b"", **variables):
    """kill: called with the running script, to kill what it likes. says: what the one line has to."""
    global n_runs
    n_runs += 1
    command = [f"{scripts}/mpirun", "-n", "3", program, "generate", "--big", "big.gguf", "--raw", "--tp", "2",
               "--ignore-eos", "--ctx", "1048576", "--no-draft", *options, "hello"]
    environment = {**os.environ, MARK.split("=")[0]: MARK.split("=")[1], **variables}
    with open("err", "w+b") as err:
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                               env=environment)
        if kill:
            kill(run)
        # From the start, which has its own time on a busy machine; what is lost is lost within it.
        ended = within(30 if is_long else 20, lambda: run.poll() is not None)
        err.seek(0)
        said = err.read()
    if not ended:
        wrong(f"{what}: does not end: {processes()}", said)
    elif run.returncode != code:
        wrong(f"{what}: exit {run.returncode}, not {code}", said)
    elif code in (4, 5) and (len(re.findall(rb"(?m)^pilotfish: ", said)) != 1 or says not in said):
        wrong(f"{what}: not one line", said)
    if ended and not within(10, lambda: not processes()):
        wrong(f"{what}: leaves {processes()}", said)
    for pid in processes():
        os.kill(pid, signal.SIGKILL)
    run.wait()


def at_call(who, n):
    lose(f"{'the stand-in' if who == 's' else 'rank ' + who} at its call {n}", 5, DIE=f"{who}:{n}", LD_PRELOAD=dies)


def without_collective(rank):
    """The others of its host wait for it, to time their read loops together."""
    lose(f"rank {rank} cannot open its collective", 4, options=["--shard-share", "auto"],
         says=b"pilotfish: rank %d: out of memory for 2 shards" % rank, DIE=f"{rank}:collective", LD_PRELOAD=dies)


def before_the_program(rank):
    with open("pilotfish", "w") as f:
        f.write(f'#!/bin/sh\n[ "${{OMPI_COMM_WORLD_RANK:-$PMIX_RANK}}" = {rank} ] && kill -9 $$\n'
                f'exec {pilotfish} "$@"\n')
    os.chmod("pilotfish", 0o755)
    lose(f"rank {rank} before it is the program", 5, program="./pilotfish")


def once_there_are(n, which):
    """Kills the script or the launcher when there are n processes of this run."""
    def kill(run):
        within(20, lambda: len(processes()) >= n)
        launchers = [p for p, name in processes().items() if p != run.pid and re.match("mpi|prte|orte", name)]
        victims = [run.pid] if which == "script" else launchers
        for pid in victims[:1]:
            os.kill(pid, signal.SIGKILL)
    lose(f"{which}, once there are {n} processes", -9 if which == "script" else 5, kill)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        subprocess.run([tiny, "big.gguf", "--ctx", "1048576"], check=True)
        busy = [subprocess.Popen(["nice", "yes"], stdout=subprocess.DEVNULL) for _ in range(2 * is_long)]
        try:
            for rank in range(3) if is_long else (1,):
                before_the_program(rank)
            without_collective(2)
            calls = range(1, N_CALLS, 3)
            for who, n in [(w, n) for w in "012" for n in calls] + [("s", n) for n in (1, 2, 3)] if is_long else (
                    ("s", 2), ("0", 30), ("1", 4), ("1", 45), ("2", 85)):
                at_call(who, n)
            for which in "script", "launcher":
                for n in (2, 3, 4, 5, 6) if is_long else (3, 4, 5):
                    once_there_are(n + (which == "launcher" and n < 3), which)
        finally:
            for b in busy:
                b.kill()
        os.chdir("/")
    print(f"{n_runs} launches, {n_wrong} wrong")
    sys.exit(n_wrong > 0)


main()
