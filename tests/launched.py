#!/usr/bin/env python3
"""Ranks: 2 and 3. What people see of a job of ranks is what they see of one process: where its output goes or cannot
go, at a terminal, with Ctrl-Z; and the launcher's own errors, one line each.

    launched.py PILOTFISH TINY SCRIPTS
"""
import multiprocessing
import os
import pty
import re
import signal
import subprocess
import sys
import tempfile
import time

pilotfish, tiny, scripts = (os.path.abspath(p) for p in sys.argv[1:4])
mpirun = f"{scripts}/mpirun"
n_wrong = 0


def wrong(what, *seen):
    global n_wrong
    n_wrong += 1
    print("WRONG:", what, *(repr(s[-600:]) for s in seen), sep="\n    ")


def shell(line):
    """(exit code, standard output, standard error) of a line of bash; S launches two ranks of a short text, E of an
    endless."""
    generate = f"{mpirun} -n 2 {pilotfish} generate --big big.gguf --raw --no-draft"
    line = f"S() {{ {generate} -n 30 hello; }}; E() {{ {generate} --ignore-eos --ctx 1048576 hello; }}; {line}"
    done = subprocess.run(["bash", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    return done.returncode, done.stdout, done.stderr


# ---- where output goes ----


def output_that_cannot_be_written():
    for line, cause in (("S > /dev/full", "No space left on device"), ("S >&-", "Bad file descriptor")):
        code, _, err = shell(line)
        ours = re.findall(rb"(?m)^pilotfish: .*", err)
        if code != 1 or ours != [b"pilotfish: standard output: " + cause.encode()]:
            wrong(f"{line}: exit {code}", err)
    code, out, _ = shell("S 2>&-")
    if code != 0 or not out:
        wrong(f"standard error closed: exit {code}", out)


def a_full_disk():
    """64 KB of answers do not fit: where a file system of that size can be had."""
    prompts = "\n".join('{"prompt": "hello"}' for _ in range(100))
    with open("many.jsonl", "w") as f:
        f.write(prompts)
    os.mkdir("small")
    line = ("mount -t tmpfs -o size=64k none small 2> mount.err || exit 77; "
            f"{mpirun} -n 2 {pilotfish} generate --big big.gguf --raw -n 30 --prompts many.jsonl -o jsonl > small/out; "
            "code=$?; stat -c %s small/out; umount small; exit $code")
    code, out, err = shell(line)
    if code == 77:
        return
    if code != 1 or b"pilotfish: standard output: No space left on device\n" not in err or int(out) < 32768:
        wrong(f"a full disk: exit {code}", out, err)


def a_reader_that_leaves():
    code, out, err = shell("E 2> err | head -c 10; code=${PIPESTATUS[0]}; grep -v MiB err; exit $code")
    if code != 141 or len(out) != 10:
        wrong(f"head: exit {code}, and it says", out, err)


def both_in_one():
    one = shell(f"{pilotfish} generate --big big.gguf --raw -n 30 --no-draft hello 2>&1")[1]
    code, out, _ = shell("echo before; S 2>&1; echo behind")
    numbers = re.compile(rb"[0-9.]+ token/s.*")
    if numbers.sub(b"", out) != b"before\n" + numbers.sub(b"", one) + b"behind\n":
        wrong("2>&1 is not what one process gives", one, out)
    shell("exec > file 2>&1; echo before; S; echo behind")
    with open("file", "rb") as f:
        if numbers.sub(b"", f.read()) != numbers.sub(b"", out):
            wrong("not in a file, either")


def standard_input():
    line = f"echo hello | {mpirun} -n 2 {pilotfish} generate --big big.gguf --raw -n 30 --no-draft"
    if shell(line)[1] != shell("S")[1]:
        wrong("the prompt does not come from standard input")


def rank_0_on_another_host():
    """It does not find scripts/mpirun, and all that it reads and writes goes through the launcher."""
    with open(f"{os.path.dirname(pilotfish)}/CMakeCache.txt") as f:
        launcher = re.search(r"(?m)^MPIEXEC_EXECUTABLE:[^=]*=(.+)$", f.read())[1]
    with open("away", "w") as f:
        f.write(f'#!/bin/sh\n[ "$1" = --version ] || export PILOTFISH_LAUNCHER=away\nexec {launcher} "$@"\n')
    os.chmod("away", 0o755)
    away = "export PILOTFISH_MPIRUN=./away; "
    one = shell("S")[1]
    from_input = f"{mpirun} -n 2 {pilotfish} generate --big big.gguf --raw -n 30 --no-draft"
    code, out, err = shell(f"{away}echo hello | {from_input}")
    if code or out != one or b"elsewhere" in err or b"token/s" not in err:
        wrong(f"away, a prompt from standard input: exit {code}", out, err)
    for line, expected, cause in (("S > /dev/full", 1, b"No space left on device"), ("E | head -c 1", 141, None)):
        code, _, err = shell(f"{away}{line}; exit ${{PIPESTATUS[0]}}")
        ours = re.findall(rb"(?m)^pilotfish: .*", err)
        if code != expected or ours != ([b"pilotfish: standard output: " + cause] if cause else []):
            wrong(f"away, {line}: exit {code}", err)


# ---- at a terminal ----


class Terminal:
    """An interactive shell."""

    def __init__(self):
        self.seen, self.at = b"", 0
        self.pid, self.file = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="vt100", HOME="/nowhere", PS1="$ ")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])
        self.type("set -b; stty tostop\n")

    def type(self, text):
        os.write(self.file, text.encode())

    def until(self, wanted, what):
        """Waits for the pattern; the match."""
        give_up = time.monotonic() + 60
        while not (match := re.compile(wanted).search(self.seen, self.at)):
            if time.monotonic() > give_up:
                wrong(f"{what}: {wanted!r} does not come", self.seen)
                raise TimeoutError
            self.read()
        self.at = match.end()
        return match

    def read(self):
        if not os.get_blocking(self.file):
            time.sleep(0.01)
        os.set_blocking(self.file, False)
        try:
            self.seen += os.read(self.file, 65536)
        except BlockingIOError:
            pass

    def processes(self):
        """{process: state} of all below the shell."""
        below, states = {self.pid}, {}
        parents = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat") as f:
                    state, parent = f.read().rpartition(")")[2].split()[:2]
            except OSError:
                continue
            parents[int(name)] = (int(parent), state)
        for _ in parents:
            more = {p for p, (parent, _) in parents.items() if parent in below} - below
            if not more:
                break
            below |= more
        return {p: parents[p][1] for p in below if p != self.pid and parents[p][1] != "Z"}

    def wait(self, states, what):
        give_up = time.monotonic() + 20
        while not states(self.processes()):
            if time.monotonic() > give_up:
                return wrong(f"{what}: {self.processes()}", self.seen)
            self.read()


def loses_a_worker(t, by, says):
    """While a line is half typed: said without another key, and the terminal is the shell's again."""
    what = f"a worker lost to {by.name} at an idle prompt"
    t.type(f"{mpirun} -n 2 {pilotfish} chat --big big.gguf -n 8 --no-draft\n")
    t.until(rb"> ", "a prompt for a message")
    t.type("hel")
    t.until(rb"hel", "what is typed")
    for process in t.processes():
        with open(f"/proc/{process}/environ") as variables, open(f"/proc/{process}/comm") as name:
            if name.read() == "pilotfish\n" and "\0OMPI_COMM_WORLD_RANK=1\0" in variables.read():
                os.kill(process, by)
    began = time.monotonic()
    t.until(rb"pilotfish: " + says, what)
    if time.monotonic() - began > 20:  # of a busy machine; test_heartbeat has the times
        wrong(f"{what}: said after {time.monotonic() - began:.1f} s")
    t.wait(lambda p: not p, f"{what}: processes are left")
    t.type("echo code $?; stty -a\n")
    if t.until(rb"code (\d+)", what)[1] != b"5":
        wrong(f"{what}: another code than 5", t.seen)
    t.until(rb" icanon", "the terminal as it was")


def at_a_terminal():
    t = Terminal()
    # The terminal stops whoever is in the background and writes: no rank is.
    t.type(f"{mpirun} -n 3 {pilotfish} generate --big big.gguf --raw --ignore-eos --ctx 1048576 --tp 2 hello\n")
    t.until(rb"\x1b\[\d*m|getget", "text at a terminal, in colour or not")
    t.type("\x1a")
    t.until(rb"Stopped", "Ctrl-Z")
    t.wait(lambda p: len(p) > 4 and set(p.values()) == {"T"}, "after Ctrl-Z not all stand still")
    t.read()
    t.at = len(t.seen)
    t.type("fg\n")
    t.until(rb"getget", "text after fg")
    t.type("\x03")
    t.until(rb"pilotfish: interrupted", "Ctrl-C")
    t.type("echo code $?\n")
    if t.until(rb"code (\d+)", "the code of Ctrl-C")[1] != b"130":
        wrong("Ctrl-C is another code than 130", t.seen)
    t.wait(lambda p: not p, "Ctrl-C leaves processes")

    t.type(f"{mpirun} -n 2 {pilotfish} chat --big big.gguf -n 8 --no-draft\n")
    for message in "hello", "again":
        t.until(rb"> ", "a prompt for a message")
        t.type(f"{message}\r")
        t.until(rb"token/s|token,", "an answer")
    t.until(rb"> ", "a prompt for a message")
    t.type("\x03")
    t.until(rb"Ctrl-C again", "Ctrl-C at an idle prompt")
    t.type("/quit\r")
    t.until(rb"\$ ", "the end of the conversation")
    t.type("echo code $?\n")
    if t.until(rb"code (\d+)", "the code of a conversation")[1] != b"0":
        wrong("a conversation is another code than 0", t.seen)

    loses_a_worker(t, signal.SIGSTOP, rb"the verifier on host \S+ \(rank 1\) does not answer")
    loses_a_worker(t, signal.SIGKILL, rb"the verifier on host \S+ \(rank 1\) was lost( to signal 9 \(KILL\))?\r")
    t.type("exit\n")
    os.waitpid(t.pid, 0)


# ---- the launcher's own errors ----


def errors_of_the_launcher():
    for arguments, cause in (
            (f"-n 3 --hostfile nofile {pilotfish} version", "unable to open the hostfile"),
            (f"-n 2 --host localhost:1 {pilotfish} version", "not enough slots"),
            (f"-n 2 --nonsense {pilotfish} version", "option.*nonsense"),
            ("-n 2 --wdir . gone/pilotfish version", "gone/pilotfish")):
        code, out, err = shell(f"{mpirun} {arguments}")
        is_told = re.fullmatch(f"pilotfish: the launcher gave up.*({cause}).*\n".encode(), err)
        if code != 1 or out or not is_told:
            wrong(f"{arguments}: exit {code}", out, err)


def in_its_folder(test):
    """How many things are wrong."""
    os.mkdir(test.__name__)
    os.chdir(test.__name__)
    os.symlink("../big.gguf", "big.gguf")
    start = time.monotonic()
    test()
    print(f"{test.__name__}: {time.monotonic() - start:.1f} s", flush=True)
    return n_wrong


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        subprocess.run([tiny, "big.gguf", "--ctx", "1048576"], check=True)
        tests = (at_a_terminal, rank_0_on_another_host, output_that_cannot_be_written, a_full_disk,
                 a_reader_that_leaves, both_in_one, standard_input, errors_of_the_launcher)
        with multiprocessing.Pool(3, maxtasksperchild=1) as pool:
            n = sum(pool.imap_unordered(in_its_folder, tests))
        os.chdir("/")
    print(f"{n} wrong")
    sys.exit(n > 0)


main()
