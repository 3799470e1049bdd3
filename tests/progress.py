#!/usr/bin/env python3
"""At a terminal a line says how far a long work is, and nothing that is printed is torn by it; without one there is
none of it. The reference kernels are slow enough for it to come.

    progress.py PILOTFISH TINY
"""
import os
import pty
import re
import subprocess
import sys
import tempfile

LINE = re.compile(r"^(loading \d+ %|.*: \d+ (of \d+ )?(tokens|windows|prompts|passes|rounds)(, \d+ (s|min) left)?)$")
CLEAR = "\x1b[K"


def at_terminal(command):
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm", NO_COLOR="1", PILOTFISH_CPU="ref")
        os.execv(command[0], command)
    seen = b""
    try:
        while more := os.read(terminal, 1 << 16):
            seen += more
    except OSError:
        pass
    if os.waitpid(pid, 0)[1]:
        sys.exit(f"{command}: {seen!r}")
    return seen.decode()


def screen(seen):
    """What stands there at the end, and what stood there for a while."""
    lines, gone = [], set()
    for line in seen.replace("\r\n", "\n").split("\n"):
        shown = ""
        for part in line.split("\r"):
            if CLEAR in part:
                gone.add(shown)
                shown, part = "", part.replace(CLEAR, "")
            shown = part + shown[len(part):]
        lines.append(shown)
    return lines, gone - {""}


def without_figures(lines):
    return [re.sub(r" *\d+(\.\d+)?", "#", line) for line in lines if line]


def check(command, wanted):
    lines, gone = screen(at_terminal(command))
    plain = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    if "\r" in plain.stdout + plain.stderr or any(LINE.match(line) for line in plain.stderr.splitlines()):
        sys.exit(f"{command}: without a terminal: {plain.stderr!r}")
    if bad := [line for line in gone if not LINE.match(line)]:
        sys.exit(f"{command}: written over: {bad}")
    if not any(line.startswith(wanted) for line in gone):
        sys.exit(f"{command}: nothing says {wanted!r}: {gone}")
    if sorted(without_figures(lines)) != sorted(without_figures(plain.stdout.splitlines() + plain.stderr.splitlines())):
        sys.exit(f"{command}: at a terminal {lines}, else {plain.stdout!r} {plain.stderr!r}")


def main():
    program, tiny = (os.path.abspath(path) for path in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        subprocess.run([tiny, "toy.gguf", "--type", "Q8_0"], check=True)
        with open("text", "w", encoding="utf-8") as f:
            f.write("Once upon a time there was a little girl. " * 36)
        with open("prompts", "w", encoding="utf-8") as f:
            f.write('{"prompt": "Once upon a time"}\n')
        toy = ["--big", "toy.gguf", "--threads", "1"]
        check([program, "generate", *toy, "--raw", "-n", "8", "-f", "text"], "reading the prompt: ")
        check([program, "eval", "perplexity", *toy, "--window", "64", "text"], "read: ")
        check([program, "bench", "pair", *toy, "--draft", "suffix", "--raw", "-n", "99", "--seconds", "0.7",
               "--prompts", "prompts"], "request 1 of 1; ")


main()
