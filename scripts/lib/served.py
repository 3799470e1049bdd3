"""Servers of OpenAI's API for as long as they are measured, and the streams by which they are."""
import concurrent.futures
import http.client
import json
import math
import os
import socket
import subprocess
import tempfile
import threading
import time

from fetch import Failure

TOGETHER_S = 1e-3  # parts that come within this are one: some servers send each token alone, some all of a pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """Runs the command, with --port, while it is a context: ready when that begins, ended by SIGTERM behind it."""

    def __init__(self, command, patience_s=300):
        self.port = free_port()
        self.said = tempfile.TemporaryFile("w+")
        self.name = os.path.basename(command[0])
        self.process = subprocess.Popen([*command, "--port", str(self.port)], stdin=subprocess.DEVNULL,
                                        stdout=self.said, stderr=self.said)
        end = time.monotonic() + patience_s
        try:
            while not self.is_ready():
                if self.process.poll() is not None:
                    raise Failure(f"{self.name} gave {self.process.returncode}: {self.last_line()}")
                if time.monotonic() > end:
                    raise Failure(f"{self.name} does not serve after {patience_s} s: {self.last_line()}")
                time.sleep(0.05)
        except BaseException:
            self.end()
            raise

    def is_ready(self):
        try:
            return self.get("/health")[0] == 200
        except OSError:
            return False

    def last_line(self):
        self.said.seek(0)
        return ([line for line in self.said.read().splitlines() if line.strip()] or ["no message"])[-1]

    def get(self, path, body=None):
        """(status, text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        try:
            data = json.dumps(body) if body else None
            connection.request("POST" if body else "GET", path, data, {"Content-Type": "application/json"})
            reply = connection.getresponse()
            return reply.status, reply.read().decode()
        finally:
            connection.close()

    def ask(self, path, body):
        status, text = self.get(path, body)
        if status != 200:
            raise Failure(f"{self.name}: {path}: {status}: {text[:300]}")
        return json.loads(text)

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.said.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


class Answer:
    """A request as a stream: when it began, when its parts of text came, and what its usage says."""

    def __init__(self, server, path, body):
        self.server, self.path = server, path
        self.body = {**body, "stream": True, "stream_options": {"include_usage": True}}
        self.parts, self.n_prompt, self.n_tokens = [], 0, 0
        self.left = threading.Event()  # set: the client goes

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=600)
        self.begun = time.monotonic()
        connection.request("POST", self.path, json.dumps(self.body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        if reply.status != 200:
            raise Failure(f"{self.server.name}: {self.path}: {reply.status}: {reply.read(300).decode()}")
        for line in reply:
            if self.left.is_set():
                break
            if line.startswith(b"data: {"):
                self.take(json.loads(line[6:]))
        connection.close()
        return self

    def take(self, event):
        if "error" in event:
            raise Failure(f"{self.server.name}: {event['error']}")
        for choice in event["choices"]:
            if choice.get("text") or choice.get("delta", {}).get("content"):
                self.parts.append(time.monotonic())
        usage = event.get("usage") or {}
        self.n_prompt, self.n_tokens = usage.get("prompt_tokens", 0), usage.get("completion_tokens", 0)

    def first_s(self):
        return self.parts[0] - self.begun

    def token_s(self):
        """Between tokens, the mean."""
        return (self.parts[-1] - self.parts[0]) / max(1, self.n_tokens - 1)

    def gaps(self, begin=-math.inf, end=math.inf):
        """Seconds between what came together and what came next, if that was in this time."""
        came = [b for a, b in zip([-math.inf, *self.parts], self.parts) if b - a > TOGETHER_S]
        return [b - a for a, b in zip(came, came[1:]) if begin < b <= end]


def run_all(answers, at_once):
    """All of them, so many at once; returns how long they took."""
    begun = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
        list(pool.map(Answer.run, answers))
    return time.monotonic() - begun


def percentile(values, percent):
    """The least value that so many of them do not pass."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
