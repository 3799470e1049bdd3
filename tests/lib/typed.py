#!/usr/bin/env python3
"""Types into `chat` at a terminal and compares what was answered with what the same messages are answered from a pipe.

    typed.py PILOTFISH MODEL
"""
import json
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time

ENTER, CTRL_C, CTRL_D, BACK, BEFORE = b"\r", b"\x03", b"\x04", b"\x7f", b"\x10"
FISH = "ë中🐟"


def pasted(text):
    return b"\x1b[200~" + text.encode() + b"\x1b[201~"


class Terminal:
    def __init__(self, command, locale=None):
        self.seen = b""  # all of it
        self.at = 0      # what was waited for ends here
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            for name in ("LANG", "LC_ALL", "LC_CTYPE"):
                os.environ.pop(name, None)
            os.environ.update(locale or {}, TERM="vt100", HOME="/nowhere")
            os.execv(command[0], command)
        self.prompted()

    def until(self, wanted):
        while wanted not in self.seen[self.at:]:
            try:
                more = os.read(self.terminal, 4096)
            except OSError:
                more = b""
            if not more:
                sys.exit(f"{wanted!r} did not come: {self.seen[-400:]!r}")
            self.seen += more
        self.at = self.seen.index(wanted, self.at) + len(wanted)

    def prompted(self, prompt=b"> "):
        """The prompt stands there a moment before the line editor takes the keys: until then Ctrl-D would be the
        terminal's."""
        self.until(prompt)
        while termios.tcgetattr(self.terminal)[3] & termios.ICANON:
            time.sleep(0.001)

    def type(self, *keys, prompt=b"> "):
        for key in keys:
            os.write(self.terminal, key.encode() if isinstance(key, str) else key)
        if keys[-1] == ENTER:
            self.until(b"\r\n")
        self.prompted(prompt)

    def interrupt(self):
        os.write(self.terminal, CTRL_C)
        self.until(b"Ctrl-C again, or Ctrl-D, leaves")
        self.prompted()

    def ends(self, keys, code, what):
        os.write(self.terminal, keys)
        try:
            while more := os.read(self.terminal, 4096):
                self.seen += more
        except OSError:
            pass
        _, status = os.waitpid(self.pid, 0)
        if status != code << 8:
            sys.exit(f"{what}: status {status:#x}, not {code << 8:#x}: {self.seen[-400:]!r}")
        if not self.seen.rfind(b"\x1b[?2004l") > self.seen.rfind(b"\x1b[?2004h") > 0:
            sys.exit(f"{what}: the terminal still puts pastes in brackets")

    def answers(self):
        return [json.loads(line) for line in re.findall(rb'(\{"id": .*)\r\n', self.seen)]


def talk(command, locale):
    """Every way to say something; the messages that it comes to."""
    with open("message.txt", "w") as f:
        f.write(f"{FISH} of\na file\n")
    t = Terminal(command, locale)
    t.type(FISH, ENTER)
    if FISH.encode() not in t.seen:
        sys.exit(f"{locale}: {FISH} is not shown: {t.seen!r}")
    t.type(f"a{FISH}", BACK, BACK, "é", ENTER)
    t.type(BEFORE, "!", ENTER)  # the line before, and more
    t.type("   ", ENTER)
    t.type(b"\xff.", ENTER)
    t.type("In: ", pasted("one\rtwo\r\n\rfour\n"), "end", ENTER)
    t.type(pasted("/not a\rcommand"), ENTER)
    t.type("//slash", ENTER)
    t.type('"""of', ENTER, prompt=b"... ")
    t.type("", ENTER, prompt=b"... ")
    t.type(f'{FISH}"""', ENTER)
    t.type('"""', ENTER, prompt=b"... ")
    t.type("not said", ENTER, prompt=b"... ")
    t.interrupt()
    t.type("nor this", prompt=b"nor this")
    t.interrupt()
    t.type("/file  message.txt ", ENTER)
    t.type(json.dumps({"content": f"as\nJSON {FISH}"}), ENTER)
    t.type("/file nowhere", ENTER)
    t.ends(CTRL_D, 0, "the end of input")
    return t.answers(), [FISH, "aëé", "aëé!", "\ufffd.", "In: one\ntwo\n\nfour\nend", "/not a\ncommand", "/slash",
                         f"of\n\n{FISH}", f"{FISH} of\na file", f"as\nJSON {FISH}", None]


def piped(command, messages):
    lines = "".join(json.dumps(m, ensure_ascii=False) + "\n" for m in messages if m)
    said = subprocess.run(command, input=lines.encode(), capture_output=True, check=True)
    return [json.loads(line) for line in said.stdout.splitlines()] + [{"error": None}] * messages.count(None)


def main():
    command = [sys.argv[1], "chat", "--big", sys.argv[2], "-n", "4", "-o", "jsonl", "--ctx", "500"]
    for locale in {}, {"LANG": "C"}, {"LC_ALL": "POSIX"}, {"LANG": "xx_YY.ISO-8859-1"}:
        typed, messages = talk(command, locale)
        wanted = piped(command, messages)
        if len(typed) != len(wanted):
            sys.exit(f"{locale}: {len(typed)} answers, not {len(wanted)}")
        for message, a, b in zip(messages, typed, wanted):
            if a.get("ids") != b.get("ids") or a.get("logprobs") != b.get("logprobs"):
                sys.exit(f"{locale}: {message!r} is not answered as from a pipe: {a} {b}")

    t = Terminal(command)
    t.interrupt()
    t.ends(CTRL_C, 130, "a second Ctrl-C")
    t = Terminal(command)
    t.interrupt()
    t.type("x", ENTER)
    t.interrupt()  # it is the first again
    t.ends(CTRL_C, 130, "a second Ctrl-C after an answer")
    t = Terminal(command)
    os.kill(t.pid, signal.SIGTERM)
    t.ends(b"", 143, "SIGTERM")


main()
