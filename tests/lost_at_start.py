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
import signal
import socket
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


GENERATE = ("generate", "--big", "big.gguf", "--raw", "--tp", "2", "--ignore-eos", "--ctx", "1048576", "--no-draft",
            "hello")


def lose(what, code, kill=None, program=pilotfish, options=(), says=b"", call=GENERATE, **variables):
    """kill: called with the running script, to kill what it likes. says: what the one line has to."""
    global n_runs
    n_runs += 1
    command = [f"{scripts}/mpirun", "-n", "3", program, *call[:-1], *options, call[-1]]
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
    elif code in (4, 5) and (len(re.findall(rb"(?m)^pilotfish: ", said)) != 1 or not re.search(says, said)):
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
         says=rb"pilotfish: rank %d: out of memory for 2 shards" % rank, DIE=f"{rank}:collective", LD_PRELOAD=dies)


def before_the_program(rank, by="KILL", **how):
    with open("pilotfish", "w") as f:
        f.write(f'#!/bin/sh\n[ "${{OMPI_COMM_WORLD_RANK:-$PMIX_RANK}}" = {rank} ] && kill -{by} $$\n'
                f'exec {pilotfish} "$@"\n')
    os.chmod("pilotfish", 0o755)
    lose(f"rank {rank} before it is the program, by {by}", 5, program="./pilotfish", **how)


def stopped():
    host, wait = socket.gethostname().encode(), {"PILOTFISH_START_WAIT": "3", "LD_PRELOAD": dies}
    starts = rb"rank 0 has waited for 3 s for all ranks to start: rank %d, on this host, is stopped"
    before_the_program(1, "STOP", says=starts % 1, PILOTFISH_START_WAIT="3")
    for what, who, says in (
            ("in MPI_Init", "2:20:STOP", starts % 2),
            ("before it has begun", "2:send1:STOP", rb"host %s \(rank 2, .*\) does not answer: nothing came from it" % host),
            ("before its Hello", "1:send2:STOP", rb"host %s \(rank 1, .*ast heard 3\.\d s ago \(Loading" % host),
            ("while it loads", "2:send4:STOP", rb"host %s \(rank 2, .*ast heard 3\.\d s ago \(Loading" % host)):
        lose(f"a rank is stopped {what}", 5, says=says, DIE=who, **wait)
    for what, who in (("before its answer", "2:send1:STOP"), ("amid the measurement", "1:send20:STOP")):
        lose(f"the doctor: a rank is stopped {what}", 5, call=("doctor",), DIE=who, **wait,
             says=rb"rank %s on host %s does not answer: nothing came from it within 3 s" % (who[:1].encode(), host))


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
