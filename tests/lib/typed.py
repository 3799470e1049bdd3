#!/usr/bin/env python3
"""Types into a program at a terminal: two lines, the second recalled and edited; then Ctrl-D. Fails where an answer, the prompt or
exit 0 does not come; once more, with Ctrl-C at the prompt: it ends by that signal.
"""
import os
import pty
import signal
import sys
import termios
import time


def start(command):
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "vt100"
        os.execv(command[0], command)
    return pid, terminal


def until(terminal, wanted, seen=b""):
    while wanted not in seen:
        try:
            more = os.read(terminal, 4096)
        except OSError:
            more = b""
        if not more:
            sys.exit(f"{wanted!r} did not come: {seen[-400:]!r}")
        seen += more
    return seen.split(wanted, 1)[1]


def prompted(terminal, seen=b""):
    """The prompt stands there a moment before the line editor takes the keys: until then Ctrl-D would be the terminal's."""
    until(terminal, b"> ", seen)
    while termios.tcgetattr(terminal)[3] & termios.ICANON:
        time.sleep(0.001)


def main():
    command = sys.argv[1:]
    pid, terminal = start(command)
    prompted(terminal)
    os.write(terminal, b"Name three colours.\n")
    rest = until(terminal, b"token")
    prompted(terminal, rest)
    os.write(terminal, b"\x10\x7f, and why?\n")  # the line before; its full stop goes
    rest = until(terminal, b", and why?")
    rest = until(terminal, b"token", rest)
    prompted(terminal, rest)
    os.write(terminal, b"\x04")
    _, status = os.waitpid(pid, 0)
    if status:
        sys.exit(f"the end of input: status {status}")
    pid, terminal = start(command)
    prompted(terminal)
    os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGINT:
        sys.exit(f"Ctrl-C at the prompt: status {status}")


main()
