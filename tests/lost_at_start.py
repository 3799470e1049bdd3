#!/usr/bin/env python3
"""Ranks: 3. A process of a launch is killed while it starts: before the program, at a call within MPI_Init, between its
first messages; the launcher and scripts/mpirun too: one line, exit 5. So where one is stopped before it is ready, or
while the doctor looks around: that line names it and its host, after the seconds of --start-wait. A rank that cannot open
its collective lets no other wait: one line, exit 4. Within 10 s not one process is left.

    lost_at_start.py PILOTFISH TINY SCRIPTS DIES [--long]

DIES: the library of tests/lib/dies.c. --long: every third call of each, and many moments, while both cores are busy.
"""
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

pilotfish, tiny, scripts, dies = (os.path.abspath(p) for p in sys.argv[1:5])
is_long = sys.argv[5:] == ["--long"]
START_S = 10  # --start-wait: more than MPI takes to start on a busy machine
ALONE = ("--net-delay", "60", "--self-max", "0", "-n", "100")  # 12 s, one round trip a token
N_CALLS = 90  # of each process, to its first messages
lock = threading.Lock()
n_runs = n_wrong = 0


def wrong(what, err):
    global n_wrong
    with lock:
        n_wrong += 1
    print(f"WRONG: {what}\n    {err!r}", flush=True)


def processes(mark):
    """All that this launch started: {process: its name}."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as f, open(f"/proc/{pid}/comm") as name:
                if f"MARK_OF_THIS_TEST={mark}".encode() in f.read().split(b"\0"):
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


GENERATE = ("generate", "--big", "big.gguf", "--raw", "--tp", "2", "--ignore-eos", "--ctx", "1048576", "--no-draft",
            "hello")


def lose(what, code, kill=None, program=pilotfish, options=(), says=b"", call=GENERATE, ranks=3, **variables):
    """kill: called with the running script and the launch's mark, to kill what it likes. says: what the one line has
    to."""
    global n_runs
    with lock:
        n_runs += 1
        mark = f"{os.getpid()}.{n_runs}"
    command = [f"{scripts}/mpirun", "-n", str(ranks), program, *call[:-1], *options, call[-1]]
    environment = {**os.environ, "MARK_OF_THIS_TEST": mark, **variables}
    with tempfile.TemporaryFile() as err:
        run = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err,
                               env=environment)
        if kill:
            kill(run, mark)
        # From the start, which has its own time on a busy machine; what is lost is lost within it.
        own_s = 30 if is_long else 20
        ended = within(own_s + int(variables.get("PILOTFISH_START_WAIT", 0)), lambda: run.poll() is not None)
        err.seek(0)
        said = err.read()
    if not ended:
        wrong(f"{what}: does not end: {processes(mark)}", said)
    elif run.returncode != code:
        wrong(f"{what}: exit {run.returncode}, not {code}", said)
    elif code in (4, 5) and (len(re.findall(rb"(?m)^pilotfish: ", said)) != 1 or not re.search(says, said)):
        wrong(f"{what}: not one line", said)
    if ended and not within(10, lambda: not processes(mark)):
        wrong(f"{what}: leaves {processes(mark)}", said)
    for pid in processes(mark):
        os.kill(pid, signal.SIGKILL)
    run.wait()


def at_call(who, n):
    lose(f"{'the stand-in' if who == 's' else 'rank ' + who} at its call {n}", 5, DIE=f"{who}:{n}", LD_PRELOAD=dies)


def without_collective(rank):
    """The others of its host wait for it, to time their read loops together."""
    lose(f"rank {rank} cannot open its collective", 4, options=["--shard-share", "auto"],
         says=rb"pilotfish: rank %d: out of memory for 2 shards" % rank, DIE=f"{rank}:collective", LD_PRELOAD=dies)


def before_the_program(rank, by="KILL", **how):
    os.mkdir(by)
    with open(f"{by}/pilotfish", "w") as f:
        f.write(f'#!/bin/sh\n[ "${{OMPI_COMM_WORLD_RANK:-$PMIX_RANK}}" = {rank} ] && kill -{by} $$\n'
                f'exec {pilotfish} "$@"\n')
    os.chmod(f"{by}/pilotfish", 0o755)
    lose(f"rank {rank} before it is the program, by {by}", 5, program=f"{by}/pilotfish", **how)
    shutil.rmtree(by)


def stopped():
    """Side by side, as they mostly wait."""
    host, wait = re.escape(socket.gethostname().encode()), str(START_S)
    named = {"PILOTFISH_START_WAIT": wait, "LD_PRELOAD": dies}
    starts = rb"rank 0 has waited for %d s for all ranks to start: rank %%d, on this host, is stopped" % START_S
    ready = rb"verifier on host %s \(rank %%d, .*\) does not answer: %%s" % host
    surveyed = rb"rank %%d on host %s does not answer: nothing came from it within %d s" % (host, START_S)
    cases = [threading.Thread(target=before_the_program, args=(1, "STOP"),
                              kwargs={"says": starts % 1, "PILOTFISH_START_WAIT": wait})]
    for what, who, says in (("in MPI_Init", "2:20:STOP", starts % 2),
                            ("before it has begun", "2:send1:STOP", ready % (2, b"nothing came from it")),
                            ("before its Hello", "1:send2:STOP", ready % (1, rb"last heard .* s ago \(Loading")),
                            ("while it loads", "2:send4:STOP", ready % (2, rb"last heard .* s ago \(Loading"))):
        cases.append(threading.Thread(target=lose, args=(f"a rank is stopped {what}", 5),
                                      kwargs={"says": says, "DIE": who, **named}))
    for what, who in (("before its answer", "2:send1:STOP"), ("amid the measurement", "1:send20:STOP")):
        cases.append(threading.Thread(target=lose, args=(f"the doctor: a rank is stopped {what}", 5),
                                      kwargs={"says": surveyed % int(who[0]), "call": ("doctor",), "DIE": who, **named}))
    cases.append(threading.Thread(target=lose, args=("one rank goes on after the seconds of --start-wait", 0),
                                  kwargs={"ranks": 1, "options": ALONE, "PILOTFISH_START_WAIT": wait}))
    for at_once in cases[::2], cases[1::2]:
        for case in at_once:
            case.start()
        for case in at_once:
            case.join()


def once_there_are(n, which):
    """Kills the script or the launcher when there are n processes of this run."""
    def kill(run, mark):
        within(20, lambda: len(processes(mark)) >= n)
        launchers = [p for p, name in processes(mark).items() if p != run.pid and re.match("mpi|prte|orte", name)]
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
            stopped()
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
