"""Ranks: 1 and 4. `pilotfish serve` as its clients see it: the openai package, plain HTTP and sockets, promtool.
   serve.py PILOTFISH TINY SOURCE [--long] [--sanitized]
--sanitized: the program is built with a sanitizer, so memory has no bounds, real models are left out, which take too
long, and ranks, since reports about Open MPI are not ours.
"""
import concurrent.futures
import contextlib
import http.client
import http.server
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

import openai

pilotfish, tiny, source = map(os.path.abspath, sys.argv[1:4])
is_long = "--long" in sys.argv
is_sanitized = "--sanitized" in sys.argv
MODELS = os.environ.get("PILOTFISH_MODELS", os.path.join(source, "models"))
SMOL = os.path.join(MODELS, "SmolLM2-135M-Instruct.Q4_1.gguf")
MPIRUN = [os.path.join(source, "scripts/mpirun"), "-n", "4"]
BIG, LITTLE = "big.gguf", "little.gguf"
SLOW = ("--net-delay", "20", "--self-max", "0")  # a token takes a round trip
checks = itertools.count()  # of several threads


def check(holds, what):
    next(checks)
    if not holds:
        raise AssertionError(what)


def eventually(holds, what, patience_s=20):
    end = time.monotonic() + patience_s
    while not holds():
        check(time.monotonic() < end, f"not within {patience_s} s: {what}")
        time.sleep(0.02)


class Server:
    """Runs `serve` on a free port; as a context it is ended by SIGTERM, and must then exit with 0."""

    def __init__(self, *options, ranks=False, big=BIG, waits=True):
        command = (MPIRUN if ranks else []) + [pilotfish, "serve", "--big", big, "--port", "0", *options]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.said = ""
        self.address = self.await_line(r"listening on http://(\S+)\n")
        self.url = f"http://{self.address}"
        self.reader = threading.Thread(target=self.read_on, daemon=True)
        self.reader.start()
        if waits:
            eventually(lambda: self.get("/health")[0] == 200, "the models are loaded", 60)

    def await_line(self, pattern):
        for line in self.process.stderr:
            self.said += line
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(f"serve ended: {self.said}")

    def read_on(self):
        for line in self.process.stderr:
            self.said += line

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        code = self.end()
        if kind is None:
            check(code == 0, f"after SIGTERM exit {code}: {self.said}")

    def end(self, signum=signal.SIGTERM, patience_s=40):
        if signum and self.process.poll() is None:
            self.process.send_signal(signum)
        try:
            self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.reader.join(5)
        return self.process.returncode

    def client(self, **options):
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="any", max_retries=0, timeout=120, **options)

    def get(self, path, body=None, headers={}):
        """(status, headers, body); JSON is read."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        request = urllib.request.Request(self.url + path, data, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                status, head, text = reply.status, reply.headers, reply.read()
        except urllib.error.HTTPError as e:
            status, head, text = e.code, e.headers, e.read()
        return status, head, json.loads(text) if head["Content-Type"] == "application/json" else text.decode()

    def metrics(self, path="/metrics"):
        lines = self.get(path)[2].splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    def stream(self, body, path="/v1/completions"):
        """A connection whose head has been read, and the events that come."""
        connection = http.client.HTTPConnection(self.address, timeout=120)
        connection.request("POST", path, json.dumps({**body, "stream": True}), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        check(reply.status == 200, f"{body}: {reply.status}")
        return connection, reply

    def state(self):
        """What the page is told first."""
        connection = http.client.HTTPConnection(self.address, timeout=30)
        connection.request("GET", "/events")
        with contextlib.closing(connection):
            return next(events(connection.getresponse()))

    def load(self):
        m = self.metrics()
        return int(m["pilotfish_answers_running"]), int(m["pilotfish_answers_waiting"])


def events(reply):
    """What a stream sends: parsed objects, then None for [DONE]."""
    for line in reply:
        if line.startswith(b"data: "):
            yield None if line == b"data: [DONE]\n" else json.loads(line[6:])
        else:
            check(line == b"\n" or line.startswith(b":"), f"no event: {line}")


def generate(rows, *options, big=BIG):
    """What `generate` answers to the rows: the reference for every text."""
    command = [pilotfish, "generate", "--big", big, "--prompts", "-", "-o", "jsonl", *options]
    done = subprocess.run(command, input="".join(json.dumps(row) + "\n" for row in rows), capture_output=True,
                          text=True, timeout=300)
    check(done.returncode == 0, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def same_tokens(choice, answer, what):
    """Ids and log-probabilities of a completion's choice are those of generate, bit for bit."""
    found = choice["logprobs"]
    check(found["ids"] == answer["ids"], f"{what}: other ids")
    check(found["token_logprobs"] == answer["logprobs"], f"{what}: other log-probabilities")
    check(choice["text"] == answer["text"], f"{what}: {choice['text']!r}, not {answer['text']!r}")


# ---- the openai package ----


def a_real_model_answers_the_openai_client():
    chat = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name two colours."}]}
    want = generate([chat], "-n", "12", big=SMOL)[0]
    with Server("--draft", "suffix", "--parallel", "2", big=SMOL) as server:
        client = server.client()
        model = client.models.list().data[0].id
        check(model == "SmolLM2-135M-Instruct.Q4_1", model)
        found = client.models.retrieve(model)
        check(found.max_model_len == 4096 and found.root == model, f"the model's context and name: {found}")
        ask = {**chat, "model": model, "max_tokens": 12}
        whole = client.chat.completions.create(**ask, logprobs=True, top_logprobs=2)
        choice = whole.choices[0]
        check(choice.message.content == want["text"], f"{choice.message.content!r}, not {want['text']!r}")
        end = {"end_id": "stop", "length": "length"}[want["end"]]
        check(choice.finish_reason == end and whole.usage.completion_tokens == len(want["ids"]), "the end")
        check([t.logprob for t in choice.logprobs.content] == want["logprobs"], "log-probabilities")
        check(all(len(t.top_logprobs) == 2 and bytes(t.bytes).decode() == t.token for t in choice.logprobs.content),
              "the likeliest tokens")
        check(whole.system_fingerprint.startswith("fp_"), "the fingerprint")
        parts = list(client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}))
        text = "".join(p.choices[0].delta.content or "" for p in parts if p.choices)
        check(text == want["text"], f"streamed {text!r}")
        check(parts[0].choices[0].delta.role == "assistant" and parts[-2].choices[0].finish_reason == end, "ends")
        usage = parts[-1].usage
        check(usage.prompt_tokens == want["prompt_tokens"], "tokens of the prompt")
        check(usage.prompt_tokens_details.cached_tokens >= want["prompt_tokens"] - 1, "the prompt was held already")
        word = want["text"].split()[-1]
        done = client.chat.completions.create(**ask, stop=["no such text", word]).choices[0]
        check(word not in done.message.content and done.finish_reason == "stop", f"a stop: {done}")


def choices_are_those_of_generate_for_the_same_seed(server):
    client = server.client()
    want = generate([{"prompt": "hello"}] * 3, "--raw", "-n", "16", "--temp", "1", "--seed", "5")
    ask = {"model": "big", "prompt": "hello", "max_tokens": 16, "temperature": 1, "seed": 5, "n": 3, "logprobs": 0}
    whole = client.completions.create(**ask).model_dump()
    for choice, answer in zip(whole["choices"], want):
        same_tokens(choice, answer, f"choice {choice['index']}")
    texts = ["", "", ""]
    for part in client.completions.create(**ask, stream=True):
        texts[part.choices[0].index] += part.choices[0].text
    check(texts == [answer["text"] for answer in want], "streamed choices")
    drawn = client.completions.create(**{**ask, "seed": None})
    again = client.completions.create(**{**ask, "seed": drawn.seed})
    check([c.text for c in drawn.choices] == [c.text for c in again.choices], "the seed that is returned")
    other = client.completions.create(**{**ask, "seed": None})
    check(other.seed != drawn.seed, "two requests without a seed have the same")


def choices_compute_a_long_prompt_once(server):
    prompt = "a long prompt, " * 6 + "which each choice begins with, "
    options = ("--raw", "-n", "12", "--temp", "1", "--seed", "7", "--parallel")
    want, together = (generate([{"prompt": prompt}] * 3, *options, slots) for slots in ("1", "3"))
    check([a["ids"] for a in want] == [a["ids"] for a in together], "ids of prompts that are copied")
    ask = {"max_tokens": 12, "temperature": 1, "seed": 7, "logprobs": 0}
    before = server.metrics()
    whole = server.get("/v1/completions", {**ask, "prompt": prompt, "n": 3})[2]
    for choice, answer in zip(whole["choices"], want):
        same_tokens(choice, answer, f"choice {choice['index']}")
    after = server.metrics()
    n = whole["usage"]["prompt_tokens"]
    check(sum(a["stats"].get("prompt_copied", 0) for a in together) == 2 * (n - 1), "what generate copies")
    copied, counted, cached = (after[f"pilotfish_{key}_tokens_total"] - before[f"pilotfish_{key}_tokens_total"]
                               for key in ("copied", "prompt", "cached"))
    check(n > 40 and counted == 3 * n, f"{n} tokens, {counted} counted")
    check(copied == 2 * (n - 1) and cached - copied < 20, f"of {n} tokens {copied} copied, {cached} not computed")


def a_request_names_the_plan_that_drafts():
    """Of several, which draft side by side; the text is generate's, and what each drafted is counted."""
    prompts = ("hello", "hello world", "once upon a time")
    plans = ("half", "most", "none", None)
    with Server("--draft-plan", "half=layerskip:2", "--draft-plan", "most=skip:1", "--guard", "off",
                "--parallel", "3") as server:
        props = server.get("/props")[2]
        check((props["drafter"], props["drafters"], props["draft_plans"], props["draft_depths"]) ==
              ("plan", 0, ["half", "most"], [2]), props)

        def answer(text, plan, **more):
            return server.get("/v1/completions", {"prompt": text, "max_tokens": 24, "logprobs": 0,
                                                  "speculative": {"plan": plan, **more}})

        asks = [(text, plan) for text in prompts for plan in plans]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda ask: answer(*ask), asks))
        drafted = dict.fromkeys(plans, 0)
        for (text, plan), (status, _, whole) in zip(asks, answers):
            check(status == 200, whole)
            drafted[plan] += whole["metrics"]["speculative_decoding"]["num_draft_tokens"]
        check(drafted["half"] > 0 and drafted["most"] > 0 and drafted["none"] == 0 and drafted[None] > 0, drafted)
        counted = server.metrics()
        check(counted['pilotfish_plan_drafted_tokens_total{plan="half",depth="2"}'] == drafted["half"] + drafted[None],
              f"{drafted}, {counted}")
        check(counted['pilotfish_plan_drafted_tokens_total{plan="most"}'] == drafted["most"], f"{drafted}, {counted}")
        for plan, more, param in (("x", {}, "plan"), ("most", {"depth": 2}, "depth"), (None, {"depth": 3}, "depth"),
                                  (None, {"depth": "2"}, "depth")):
            status, _, why = answer("hello", plan, **more)
            check(status == 400 and why["error"]["param"] == f"speculative.{param}", why)
    rows = generate([{"prompt": text, "n_predict": 24} for text in prompts], "--raw")
    for (text, plan), (_, _, whole) in zip(asks, answers):
        same_tokens(whole["choices"][0], rows[prompts.index(text)], f"plan {plan}")


def a_request_chooses_the_depth():
    with Server("--depth", "1,3", "--guard", "off") as server:
        check(server.get("/props")[2]["draft_depths"] == [1, 3], "depths")
        answers = [server.get("/v1/completions", {"prompt": "hello", "max_tokens": 24, "logprobs": 0,
                                                  "speculative": {"depth": depth}}) for depth in (1, 3, 3, 2)]
        check([status for status, _, _ in answers] == [200, 200, 200, 400], answers)
        check("only 1, 3" in answers[3][2]["error"]["message"], answers[3])
        texts = [whole["choices"][0]["logprobs"] for _, _, whole in answers[:3]]
        check(texts[0]["ids"] == texts[1]["ids"] == texts[2]["ids"], "a depth changes the text")
        counted = server.metrics()
        drafted = [counted[f'pilotfish_plan_drafted_tokens_total{{plan="",depth="{depth}"}}'] for depth in (1, 3)]
        check(min(drafted) > 0, drafted)


def answers_name_the_emulated_network_and_the_plan():
    marks = {"plan": "skip:1", "network": {"delay_ms": 2.0, "jitter_ms": 0.0, "mbit_per_s": 0.0}}
    with Server("--net-delay", "2", "--plan", "skip:1") as server:
        for line in ("emulated network: 2 ms each way", "lossy: the big model is served under the plan skip:1"):
            eventually(lambda: f"{line}\n" in server.said, line)
        ask = {"prompt": "hello", "max_tokens": 4}
        for where, seen in (("/props", server.get("/props")[2]),
                            ("an answer", server.get("/v1/completions", ask)[2]["metrics"])):
            check({key: seen.get(key) for key in marks} == marks, f"{where}: {seen}")


def a_fingerprint_is_that_of_the_text_not_of_the_layout():
    seen = []
    for options in ((), ("--groups", "2"), ("--plan", "layerskip:2"), ("--draft", "suffix"), ("--little", LITTLE)):
        with Server(*options) as server:
            seen.append(server.get("/v1/completions", {"prompt": "x", "max_tokens": 1})[2]["system_fingerprint"])
    check(seen[0] == seen[1] and len(set(seen)) == len(seen) - 1, seen)


def prompts_may_be_texts_or_tokens(server):
    status, _, tokens = server.get("/tokenize", {"prompt": "hello world"})
    check(status == 200 and tokens["count"] == len(tokens["tokens"]), tokens)
    check(server.get("/detokenize", {"tokens": tokens["tokens"]})[2]["content"].endswith("hello world"), "detokenize")
    bare = [server.get("/tokenize", body)[2]["tokens"] for body in
            ({"prompt": "hello world", "add_special_tokens": False}, {"content": "hello world"})]
    whole = [server.get("/tokenize", body)[2]["tokens"] for body in
             ({"content": "hello world", "add_special": True}, {"content": "hello world", "add_special_tokens": True})]
    pieces = server.get("/tokenize", {"content": "hello world", "with_pieces": True})[2]["tokens"]
    check([p["id"] for p in pieces] == bare[1] and "".join(p["piece"] for p in pieces).strip() == "hello world", pieces)
    check(bare[0] == bare[1] and whole[0] == whole[1] == tokens["tokens"], f"the names of one flag: {bare} {whole}")
    answers = [server.get("/v1/completions", {"prompt": p, "max_tokens": 6})[2]["choices"][0]["text"]
               for p in ("hello world", ["hello world"], tokens["tokens"], [tokens["tokens"]])]
    check(len(set(answers)) == 1, answers)
    two = server.get("/v1/completions", {"prompt": ["hello", "world"], "n": 2, "max_tokens": 3, "echo": True})[2]
    check([c["index"] for c in two["choices"]] == [0, 1, 2, 3], "indexes")
    check([c["text"][:5] for c in two["choices"]] == ["hello", "hello", "world", "world"], "echoes")


REFUSED = [  # body, status, param, words of the message
    ({}, 400, "prompt", "there is none"),
    ({"prompt": ""}, 400, "prompt", "empty"),
    ({"prompt": 5}, 400, "prompt", "a text, or a list of tokens"),
    ({"prompt": [1, -1]}, 400, "prompt", "from 0 to"),
    ({"prompt": [1, 1 << 40]}, 400, "prompt", "from 0 to"),
    ({"prompt": "x " * 9000}, 400, "prompt", "tokens"),
    ({"prompt": "x", "model": "other"}, 404, "model", "no model other"),
    ({"prompt": "x", "max_tokens": 0}, 400, "max_tokens", "at least 1"),
    ({"prompt": "x", "max_tokens": "3"}, 400, "max_tokens", "--n-predict"),
    ({"prompt": "x", "max_tokens": 3, "max_completion_tokens": 0}, 400, "max_completion_tokens", "at least 1"),
    ({"prompt": "x", "max_tokens": 9, "min_tokens": 3}, 400, "min_tokens", "as much as that"),
    ({"prompt": "x", "min_tokens": -1}, 400, "min_tokens", "from 0 to"),
    ({"prompt": "x", "temperature": -1}, 400, "temperature", "--temp"),
    ({"prompt": "x", "top_p": 2}, 400, "top_p", "--top-p"),
    ({"prompt": "x", "n": 0}, 400, "n", "from 1 to"),
    ({"prompt": ["x"] * 20, "n": 20}, 400, "prompt", "at most"),
    ({"prompt": "x", "stop": [5]}, 400, "stop", "must be a text"),
    ({"prompt": "x", "logprobs": 50}, 400, "logprobs", "from 0 to 20"),
    ({"prompt": "x", "echo": True, "logprobs": 1}, 400, "echo", "prompt"),
    ({"prompt": "x", "logit_bias": {"5": 1}}, 400, "logit_bias", "no support"),
    ({"prompt": "x", "suffix": "y"}, 400, "suffix", "no support"),
    ({"prompt": "x", "repeat_penalty": 1.1}, 400, "repeat_penalty", "penalties"),
    ({"prompt": "x", "stream": "yes"}, 400, "stream", "true or false"),
    ({"prompt": "x", "speculative": 5}, 400, "speculative", "object"),
    ({"prompt": "x", "stream_options": 5}, 400, "stream_options", "object"),
    ({"prompt": "x", "speculative": {"accept": "sometimes"}}, 400, "speculative.accept", "exact"),
    ({"prompt": "x", "speculative": {"draft": 1}}, 400, "speculative.draft", "true or false"),
    ({"prompt": "x", "speculative.draft": 1}, 400, "speculative.draft", "true or false"),
    ({"prompt": "x", "speculative.rollback": -1}, 400, "speculative.rollback", "--rollback"),
    ({"prompt": "x", "speculative.n_max": 0}, 400, "speculative.n_max", "from 1 to"),
    ({"prompt": "x", "speculative": {"p_min": -1}}, 400, "speculative.p_min", "--fallback"),
    ({"prompt": "x", "draft_max": 0}, 400, "draft_max", "from 1 to"),
    ({"prompt": "x", "speculative": {"accept": "bild"}, "temperature": 1}, 400, None, "greedy"),
]
REFUSED_CHATS = [
    ({}, "messages", "list of messages"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "messages",
     "must be text"),
    ({"messages": [{"role": "tool", "content": "x"}]}, "messages", "role"),
    ({"messages": [{"role": "user", "content": "x"}], "tools": [{"type": "function"}]}, "tools", "no support"),
    ({"messages": [{"role": "user", "content": "x"}], "response_format": {"type": "json_object"}}, "response_format",
     "no support"),
    ({"messages": [{"role": "user", "content": "x"}], "top_logprobs": 2}, "top_logprobs", "needs"),
]


SAID = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
# What clients send that know nothing of this server; each asks for six tokens.
CLIENTS = [
    ("LangChain", "/v1/chat/completions", {
        "messages": SAID, "stream": False, "max_completion_tokens": 6, "temperature": 0.0}),
    ("LangChain, a text", "/v1/completions", {
        "prompt": ["Hi"], "frequency_penalty": 0, "logprobs": None, "max_tokens": 6, "n": 1, "presence_penalty": 0,
        "seed": None, "temperature": 0.7, "top_p": 1}),
    ("guidellm", "/v1/chat/completions", {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "max_tokens": 6,
        "max_completion_tokens": 6, "stop": None, "ignore_eos": True, **STREAMED,
        "stream_options": {"include_usage": True, "continuous_usage_stats": True}}),
    ("aiperf", "/v1/chat/completions", {
        "messages": [{"role": "user", "content": "Hi"}], "ignore_eos": True, "max_completion_tokens": 6, **STREAMED}),
    ("vLLM's bench", "/v1/completions", {
        "prompt": "Hi", "repetition_penalty": 1.0, "max_tokens": 6, "logprobs": None, "temperature": 0.0, "top_k": -1,
        "min_p": 0.0, "ignore_eos": True, **STREAMED}),
    ("genai-perf", "/v1/completions", {"prompt": ["Hi"], "max_tokens": 6, "min_tokens": 6, **STREAMED}),
    ("Open WebUI", "/v1/chat/completions", {
        "messages": SAID, "max_tokens": 6, "tool_ids": None, "files": [], "features": {"web_search": False},
        "variables": {}, "session_id": "a", "chat_id": "b", "id": "c", "background_tasks": {"title_generation": True},
        "params": {}, "tools": [], **STREAMED}),
    ("llama.cpp's page", "/v1/chat/completions", {
        "messages": SAID, "max_tokens": 6, "stream": True, "cache_prompt": True, "timings_per_token": False,
        "top_k": 40, "samplers": ["top_k", "temperature"], "min_p": 0.05, "typ_p": 1, "repeat_penalty": 1,
        "repeat_last_n": 64, "dry_multiplier": 0, "reasoning_format": "none", "id_slot": -1, "temperature": 0.8}),
]


def clients_that_know_nothing_of_this_server_are_answered():
    with Server("--template", "chatml", "--ignore-eos") as server:
        for client, path, body in CLIENTS:
            before = server.metrics()["pilotfish_generation_tokens_total"]
            if body.get("stream"):
                connection, reply = server.stream(body, path)
                got = [event for event in events(reply) if event]
                usage = [event.get("usage") for event in got]
                choices = [event["choices"][0] for event in got if event["choices"]]
                roles = [c["delta"].get("role") for c in choices if "delta" in c]
                check(roles in ([], ["assistant"] + [None] * (len(roles) - 1)), f"{client}: {roles}")
                check(choices[-1]["finish_reason"] == "length", f"{client}: {got}")
                check("stream_options" not in body or usage[-1]["completion_tokens"] == 6, f"{client}: {usage}")
                check("metrics" in got[-1] and "timings" in got[-1], f"{client}: {got[-1]}")
                connection.close()
            else:
                status, _, reply = server.get(path, body)
                check(status == 200 and reply["usage"]["completion_tokens"] == 6, f"{client}: {status} {reply}")
            check(server.metrics()["pilotfish_generation_tokens_total"] == before + 6, f"{client}: six tokens")


def what_is_wrong_is_refused_with_the_field(server):
    for body, status, param, words in REFUSED:
        got, _, reply = server.get("/v1/completions", body)
        error = reply["error"] if got >= 400 else {}
        check(got == status and error["param"] == param and words in error["message"], f"{body}: {got} {reply}")
    for body, param, words in REFUSED_CHATS:
        got, _, reply = server.get("/v1/chat/completions", body)
        error = reply["error"] if got >= 400 else {}
        check(got == 400 and error["param"] == param and words in error["message"], f"{body}: {got} {reply}")
    ignored = {"prompt": "x", "max_tokens": 1, "user": "me", "logit_bias": {}, "presence_penalty": 0, "stop": None,
               "stream": None, "n": None, "anything": {"at": "all"}, "best_of": 1}
    check(server.get("/v1/completions", ignored)[0] == 200, "fields that ask for nothing")
    for body in (b"", b"[1]", b"{", b"\xff\xfe", b'{"prompt": "\xff"}', b'{"prompt": "\\ud800"}', b"[" * 100000,
                 b'{"prompt": ' + b"[" * 100000 + b"]" * 100000 + b"}"):
        status, _, reply = server.get("/v1/completions", body)
        check(status == 400 and reply["error"]["type"] == "invalid_request_error", f"{body[:20]}: {status}")
    for path, method, status in (("/nothing", "GET", 404), ("/v1/completions", "GET", 405), ("/health", "DELETE", 405),
                                 ("/v1/models/other", "GET", 404), ("/health", "HEAD", 200)):
        connection = http.client.HTTPConnection(server.address, timeout=30)
        connection.request(method, path)
        reply = connection.getresponse()
        check(reply.status == status, f"{method} {path}: {reply.status}")
        check(status != 405 or reply.headers["Allow"], "Allow")
        connection.close()
    client = server.client()
    for make, kind in ((lambda: client.completions.create(model="big", prompt="x", n=0), openai.BadRequestError),
                       (lambda: client.completions.create(model="no", prompt="x"), openai.NotFoundError)):
        try:
            make()
            check(False, f"not {kind}")
        except kind:
            pass


def a_key_is_needed_where_one_is_set():
    with open("keys", "w") as f:
        f.write("first\n\nsecond\n")
    with Server("--api-key-file", "keys", "--api-key", "third") as server:
        check(server.get("/health")[0] == 200, "health needs no key")
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "first"}):
            status, head, reply = server.get("/v1/models", headers=headers)
            check(status == 401 and reply["error"]["code"] == "invalid_api_key" and head["WWW-Authenticate"], reply)
        for key in ("first", "second", "third"):
            check(server.get("/v1/models", headers={"Authorization": f"Bearer {key}"})[0] == 200, key)


# ---- many at once ----


def mixed_rows(n, lossy=False):
    rows = []
    for i in range(n):
        row = {"prompt": f"text number {i % 7} " + "word " * (i % 11), "max_tokens": 4 + i * 7 % 40}
        if i % 3 == 1:
            row |= {"temperature": 0.9, "seed": i}
        if i % 5 == 2:
            row["stop"] = ["e", "zz"]
        if lossy and i % 4 == 0 and i % 3 != 1:
            row["accept"] = "bild"
        rows.append(row)
    return rows


def texts_are_those_of_generate_whatever_else_is_served(*options, ranks=False):
    drafter = ("--little", LITTLE) if LITTLE in options else ()  # a lossy text depends on it
    rows = mixed_rows(200 if is_long else 60, lossy=bool(drafter))
    want = generate(rows, "--raw", *drafter)
    with Server("--parallel", "4", "--queue", "1000", *options, ranks=ranks) as server:

        def ask(i):
            if i % 6 == 5:  # one beside it whose client leaves
                connection, reply = server.stream({"prompt": f"gone {i}", "max_tokens": 3000, "ignore_eos": True})
                reply.readline()
                connection.close()
            body = {**rows[i], "logprobs": 0}
            if i % 4 == 3:
                body["speculative"] = {"draft": False}
            if i % 2:
                return server.get("/v1/completions", body)[2]["choices"][0]
            connection, reply = server.stream(body)
            parts = [e["choices"][0] for e in events(reply) if e]
            connection.close()
            got = {key: sum((p["logprobs"][key] for p in parts), []) for key in ("ids", "token_logprobs")}
            return {"text": "".join(p["text"] for p in parts), "logprobs": got}

        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            for i, choice in enumerate(pool.map(ask, range(len(rows)))):
                same_tokens(choice, want[i], f"{options}, ranks {ranks}, row {i}")
        eventually(lambda: server.load() == (0, 0), "clients that left have taken their answers with them")


def reports_add_up_to_the_metrics(server):
    before = server.metrics()
    reports = [server.get("/v1/completions", {"prompt": f"add {i} add {i} add", "max_tokens": 20})[2] for i in range(8)]
    after = server.metrics()

    def risen(name):
        return after[f"pilotfish_{name}"] - before[f"pilotfish_{name}"]

    def total(*keys):
        value = 0
        for r in reports:
            for key in keys:
                r = r[key]
            value += r
        return value
    check(risen("prompt_tokens_total") == total("usage", "prompt_tokens"), "tokens of prompts")
    check(risen("generation_tokens_total") == total("usage", "completion_tokens"), "tokens of answers")
    check(risen("cached_tokens_total") == total("usage", "prompt_tokens_details", "cached_tokens"), "cached tokens")
    for name, key in (("drafted_tokens_total", "num_draft_tokens"), ("drafts_total", "num_spec_steps"),
                      ("accepted_tokens_total", "num_accepted_draft_tokens"), ("late_tokens_total", "num_late_tokens"),
                      ("dropped_tokens_total", "num_dropped_tokens")):
        check(risen(name) == total("metrics", "speculative_decoding", key), name)
    for spec in (r["metrics"]["speculative_decoding"] for r in reports):
        kept = spec["acceptance_histogram"]
        check(len(kept) == spec["num_spec_tokens"] + 1 and sum(kept) == spec["num_spec_steps"], spec)
        check(sum(j * n for j, n in enumerate(kept)) == spec["num_accepted_draft_tokens"], spec)
    positions = sum(v for k, v in after.items() if k.startswith("pilotfish_accepted_tokens_at_total"))
    check(positions == after["pilotfish_accepted_tokens_total"] > 0, "positions")
    # Each token after an answer's first has one time; those that come together share theirs.
    firsts = total("usage", "completion_tokens") - len(reports)
    check(0 < risen("between_tokens_seconds_count") <= firsts, "times between tokens")
    check(risen("first_token_seconds_count") == risen("queue_seconds_count") == len(reports), "times of answers")
    text = server.get("/metrics?names=pilotfish")[2]
    tool = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    check(tool.returncode == 0 and not tool.stdout + tool.stderr, tool.stdout + tool.stderr)
    own, vllm, both = (server.metrics(f"/metrics{names}").keys() for names in ("?names=pilotfish", "?names=vllm", ""))
    check(all(name.startswith("vllm:") for name in vllm) and own | vllm == both and not own & vllm, "two sets of names")
    same = after['vllm:generation_tokens_total{model_name="big"}'] == after["pilotfish_generation_tokens_total"]
    check(same, "vLLM's names")
    check(server.get("/metrics?names=x")[0] == 400, "no other names")


def links_and_workers_are_counted(ranks):
    options = ("--little", LITTLE, "--guard", "off") + (("--tp", "2") if ranks else ())
    with Server(*options, ranks=ranks) as server:
        def values(name):
            labels = r'rank="(\d)",role="(\w+)",group="\d",stage="0",shard="(\d)",?(.*)'
            pattern = re.compile(rf"pilotfish_{name}{{{labels}}}")
            return {found.groups(): value for key, value in server.metrics().items() if (found := pattern.match(key))}
        before = values("link_bytes_total")
        server.get("/v1/completions", {"prompt": "hello", "max_tokens": 30, "ignore_eos": True})
        after, messages = values("link_bytes_total"), values("link_messages_total")
        check(len(after) == 2 * (3 if ranks else 2) and after.keys() == messages.keys(), f"{after}")
        risen = {(role, shard, way) for (_, role, shard, way), n in after.items() if n > before[_, role, shard, way]}
        speaks = {(role, "0", way) for role in ("drafter", "verifier") for way in ('way="to"', 'way="from"')}
        check(risen == speaks, f"only shard 0 and the drafter exchange messages with the coordinator: {risen}")
        check(all(after[key] > 4 * n > 0 for key, n in messages.items()), f"{after} {messages}")
        eventually(lambda: all(n > 0 for n in values("worker_seconds_total").values()), "all have been busy, and idle")
        check(len(values("worker_seconds_total")) == len(after), "busy and idle")
        eventually(lambda: len(values("round_trip_seconds")) == len(after) // 2, "round trips")


def a_queue_has_an_end():
    with Server(*SLOW, "--parallel", "1", "--queue", "2", "--template", "chatml") as server:
        long = {"prompt": "a", "max_tokens": 400, "ignore_eos": True}
        chat = {"messages": [{"role": "user", "content": "a"}], "max_tokens": 400}
        streams = [server.stream(long), server.stream(long), server.stream(chat, "/v1/chat/completions")]
        eventually(lambda: server.load() == (1, 2), "one runs, two wait")
        status, head, reply = server.get("/v1/completions", {"prompt": "x"})
        check(status == 429 and head["Retry-After"] and reply["error"]["code"] == "queue_full", reply)
        line = streams[2][1].readline()
        check(line == b": waiting\n", f"a sign of life while it waits, and no part before its first token: {line}")
        for connection, reply in streams:
            connection.close()
            reply.close()
        eventually(lambda: server.load() == (0, 0), "all have left")
        check(server.get("/v1/completions", {"prompt": "x", "max_tokens": 2})[0] == 200, "it serves on")
    with Server(*SLOW, "--parallel", "2") as server:
        many = server.stream({"prompt": "a", "n": 12, "max_tokens": 40, "ignore_eos": True})
        eventually(lambda: server.load()[1] > 4, "many wait")
        check(server.get("/v1/completions", {"prompt": "x", "max_tokens": 2})[0] == 200, "one beside them")
        check(server.load()[1] > 4, "it did not wait for all of them")
        got = [e for e in events(many[1]) if e]
        ended = [e["choices"][0]["index"] for e in got if e["choices"][0]["finish_reason"]]
        check(sorted(ended) == list(range(12)), ended)
    with Server(*SLOW, "--timeout", "1") as server:
        status, _, reply = server.get("/v1/completions", {"prompt": "x", "max_tokens": 900, "ignore_eos": True})
        check(status == 503 and "--timeout" in reply["error"]["message"], reply)


def a_client_measures_the_server(server):
    with open("prompts.jsonl", "w") as f:
        rows = mixed_rows(6) + [{"messages": [{"role": "user", "content": "x"}]}]
        f.writelines(json.dumps(row) + "\n" for row in rows)
    before = server.metrics()["pilotfish_generation_tokens_total"]
    command = [pilotfish, "bench", "serve", "--url", server.url + "/v1/", "--prompts", "prompts.jsonl", "--raw"]
    done = subprocess.run(command + ["--num-prompts", "12", "--max-concurrency", "3", "--max-tokens", "9", "-o",
                                     "jsonl", "--ignore-eos", "--request-rate", "100", "--goodput", "ttft:60000",
                                     "--min-goodput", "100"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
    check(done.returncode == 0 and not done.stderr, done.stderr)
    out = json.loads(done.stdout)
    check(out["completed"] == 12 and out["failed"] == 0, out)
    check(out["total_output_tokens"] == server.metrics()["pilotfish_generation_tokens_total"] - before, out)
    for name in ("ttft", "tpot", "itl", "e2el"):
        times = [out[f"{what}_{name}_ms"] for what in ("median", "p50", "p90", "p99")]
        check(times == sorted(times) and times[0] == times[1], f"{name}: {times}")
    check(0 < out["median_ttft_ms"] <= out["median_e2el_ms"], out)
    check(out["request_goodput"] == out["request_throughput"], out)
    for more, code, words in ((["--url", "http://127.0.0.1:1"], 2, "--url is given twice"),
                              (["--goodput", "ttft:0,e2el:60000", "--min-goodput", "1"], 6, "0.0 % of the requests"),
                              (["--goodput", "speed:1"], 2, "one of ttft, tpot, e2el")):
        done = subprocess.run(command + ["--num-prompts", "12", "--max-tokens", "5", *more], capture_output=True,
                              text=True, timeout=120)
        check(done.returncode == code and words in done.stderr, f"{more}: {done}")
    with open("bad.jsonl", "w") as f:
        f.write('{"prompt": "x", "seed": null}\n{"prompt": "x", "temperature": -1}\n{"prompt": "x", "min_p": 2}\n')
    done = subprocess.run(command[:5] + ["--prompts", "bad.jsonl", "--raw", "-n", "3"], capture_output=True, text=True,
                          timeout=120)
    check(done.returncode == 1 and f"2 of 3 requests failed, the first: {server.url}: 400" in done.stderr, done)


def what_was_measured_is_kept_after_ctrl_c(server):
    command = [pilotfish, "bench", "serve", "--url", server.url, "--prompts", "prompts.jsonl", "--raw", "-o", "jsonl",
               "--num-prompts", "100000", "--max-concurrency", "2", "-n", "4"]
    before = server.metrics()["pilotfish_generation_tokens_total"]
    bench = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)
    eventually(lambda: server.metrics()["pilotfish_generation_tokens_total"] > before + 40, "answers have ended")
    bench.send_signal(signal.SIGINT)
    out, said = bench.communicate(timeout=20)
    words = r"pilotfish: interrupted: \d+ of 100000 requests were answered, 0 failed"
    check(bench.returncode == 130 and re.search(words, said), said)
    check(json.loads(out)["completed"] > 0 and json.loads(out)["failed"] == 0, out)
    eventually(lambda: server.load() == (0, 0), "what ran is cancelled")


class Recorder(http.server.BaseHTTPRequestHandler):
    """Another server: it keeps the bodies of requests in the list `bodies`, and answers with a letter."""

    def reply(self, text):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text)

    def do_GET(self):
        self.reply(b'{"data": [{"id": "other"}]}')

    def do_POST(self):
        self.server.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.reply(b'data: {"choices": [{"text": "x"}]}\n\ndata: [DONE]\n\n')

    def log_message(self, *_):
        pass


def settings_of_a_line_go_to_the_server():
    rows = [({"n_predict": 0, "seed": -1, "top_p": 0.5, "accept": "bild"}, {"seed": 9, "top_p": 0.5, "accept": "bild"}),
            ({"max_tokens": 7, "seed": 3, "stop": "q", "temp": None}, {"max_tokens": 7, "seed": 3, "stop": "q"}),
            ({"temperature": 1, "draft_max": 2}, {"temperature": 1, "draft_max": 2, "seed": 9})]
    with open("settings.jsonl", "w") as f:
        f.writelines(json.dumps({"prompt": "a", **row}) + "\n" for row, _ in rows)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        for options, length in ((["-n", "-1"], {}), (["-n", "5"], {"max_tokens": 5}), ([], {"max_tokens": 128})):
            other.bodies = []
            command = [pilotfish, "bench", "serve", "--url", f"http://127.0.0.1:{other.server_port}", "--raw", "--seed",
                       "9", "--max-concurrency", "1", "--prompts", "settings.jsonl", *options]
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
            always = {"model": "other", "prompt": "a", "stream": True, "stream_options": {"include_usage": True}}
            want = [always | {"temperature": 0} | ({} if "n_predict" in row else length) | sent for row, sent in rows]
            check(done.returncode == 0 and other.bodies == want, f"{options}: {done} {other.bodies}")
        other.shutdown()


# ---- chat with a server ----


def chat(url, lines, *options):
    text = "".join(f"{line}\n" for line in lines)
    return subprocess.run([pilotfish, "chat", "--url", url, *options], input=text, capture_output=True, text=True,
                          timeout=120)


def a_chat_with_a_server_is_the_chat_of_its_model():
    lines = ["Name two colours.", "/stats", "Another one?", "/reset", "Name a fish."]
    own = subprocess.run([pilotfish, "chat", "--big", SMOL, "--system", "Be brief.", "-n", "12", "-o", "jsonl"],
                         input="\n".join(lines), capture_output=True, text=True, timeout=120)
    want = [json.loads(line) for line in own.stdout.splitlines()]
    with open("key", "w") as f:
        f.write("secret\n")
    with Server("--draft", "suffix", "--api-key-file", "key", big=SMOL) as server:
        ask = ("--system", "Be brief.", "-n", "12", "--api-key-file", "key")
        done = chat(server.url + "/v1", lines, *ask, "-o", "jsonl")
        got = [json.loads(line) for line in done.stdout.splitlines()]
        check(done.returncode == 0 and [a["text"] for a in got] == [a["text"] for a in want], done)
        check([a["usage"]["prompt_tokens"] for a in got] == [a["prompt_tokens"] for a in want], got)
        check("answers of SmolLM2" in done.stderr and "forgotten" in done.stderr, done.stderr)
        done = chat(server.url, lines, *ask)
        check(done.stdout == "".join(a["text"] + "\n" for a in want), done)
        done = chat(server.url, ["x", "/no"], *ask, "--top-p", "0.5", "--temp", "1", "--seed", "3")
        check(done.returncode == 2 and "no command /no" in done.stderr, done)
        done = chat(server.url, ["x"], "--api-key", "wrong")
        check(done.returncode == 2 and done.stderr.startswith(f"pilotfish: {server.url}: 401: "), done)
        for options, words in ((["--big", "b"], "--big: with --url"), (["--tp", "2"], "--tp: with --url")):
            done = chat(server.url, [], *options)
            check(done.returncode == 2 and words in done.stderr, done)
        done = chat(server.url, ["word " * 9000, "Hello"], "--api-key", "secret", "-n", "2")
        check(done.returncode == 2 and "1 of 2 messages" in done.stderr and done.stdout.strip(), done)
    done = chat(server.url, ["x"])
    check(done.returncode == 1 and f"{server.url}: no answer" in done.stderr and done.stderr.count("\n") == 1, done)


def an_answer_of_a_server_has_an_end():
    """By Ctrl-C, or with the server: then it is an error, with the text so far."""
    for ends_server in (False, True):
        with Server(*SLOW, "--template", "chatml", "--ignore-eos") as server:
            talk = subprocess.Popen([pilotfish, "chat", "--url", server.url, "-n", "2000"], stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            talk.stdin.write(b"Hello\n")
            talk.stdin.flush()
            check(talk.stdout.read(1), "the first letter")
            if ends_server:
                server.process.kill()
                server.process.wait()
                server.process.returncode = 0
                out, said = talk.communicate(timeout=20)
                check(talk.returncode == 1 and said.count(b"\n") == 1, f"exit {talk.returncode}: {said}")
                check(b"the server ended in the middle of an answer" in said and out.endswith(b"\n"), said)
            else:
                talk.send_signal(signal.SIGINT)
                eventually(lambda: server.load() == (0, 0), "it is cancelled")
                out, said = talk.communicate(b"/stats\n", timeout=20)
                check(talk.returncode == 0 and b"interrupted; " in said and b"1 answers of big" in said, said)


# ---- the end ----


def a_drain_lets_what_runs_end(ranks):
    options = ("--little", LITTLE, "--tp", "2") if ranks else ()
    server = Server(*options, *SLOW, "--parallel", "1", "--drain", "300", ranks=ranks)
    body = {"prompt": "a", "max_tokens": 120, "ignore_eos": True}
    running, waiting = server.stream(body), server.stream(body)
    first = running[1].readline()
    server.process.send_signal(signal.SIGTERM)
    eventually(lambda: server.get("/health")[0] == 503, "it drains")
    check(server.get("/v1/completions", {"prompt": "x"})[0] == 503, "no new request")
    got = [json.loads(first[6:])] + list(events(running[1]))
    check(got[-1] is None and got[-2]["choices"][0]["finish_reason"] == "length", f"what ran has ended: {got[-1]}")
    got = list(events(waiting[1]))
    check("shut down" in got[-1]["error"]["message"], f"what waited is refused: {got[-1]}")
    check(server.end(None) == 0, server.said)


def a_drain_has_an_end():
    server = Server(*SLOW, "--drain", "1")
    connection, reply = server.stream({"prompt": "a", "max_tokens": 2000, "ignore_eos": True})
    reply.readline()
    server.process.send_signal(signal.SIGTERM)
    check("--drain" in list(events(reply))[-1]["error"]["message"], "an error event")
    check(server.end(None) == 0, server.said)
    server = Server(*SLOW)
    connection, reply = server.stream({"prompt": "a", "max_tokens": 2000, "ignore_eos": True})
    reply.readline()
    check(server.end(signal.SIGINT) == 130, "Ctrl-C")
    check("interrupted" in list(events(reply))[-1]["error"]["message"], "an error event")


def children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(p) for p in found] + [q for p in found for q in children(int(p))]


def rank_of(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/environ", "rb") as f, open(f"/proc/{pid}/comm") as comm:
            found = re.search(rb"OMPI_COMM_WORLD_RANK=(\d+)", f.read())
            return int(found[1]) if found and comm.read() == "pilotfish\n" else None
    return None


def a_lost_worker_ends_answers_with_an_error(of_rank_3):
    """A stream whose client does not read it stays open for a while: meanwhile new requests are refused."""
    server = Server("--little", LITTLE, of_rank_3, "2", *SLOW, ranks=True)
    connection, reply = server.stream({"prompt": "a", "max_tokens": 2000, "ignore_eos": True})
    reply.readline()
    unread = unread_stream(server, n=3, max_tokens=2000)
    eventually(lambda: server.state()["tokens"] > 400, "more than the kernel keeps", 60)
    lost = [p for p in children(server.process.pid) if rank_of(p) == 3]
    check(len(lost) == 1, f"one process is rank 3: {lost}")
    os.kill(lost[0], signal.SIGKILL)
    last = list(events(reply))[-1]
    check(last and last["error"]["type"] == "unavailable_error", f"an error event: {last}")
    status, _, refused = server.get("/v1/completions", {"prompt": "x"})
    check((status, refused["error"]["message"]) == (503, last["error"]["message"]), refused)
    unread.close()
    check(server.end(None, 20) == 5, f"exit {server.process.returncode}: {server.said}")


# ---- rude clients ----


def raw(server, data=b""):
    s = socket.create_connection(server.address.rsplit(":", 1), timeout=30)
    s.sendall(data)
    return s


def post_head(n, more="", path="/v1/completions"):
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {n}\r\n{more}\r\n".encode()


def status_of(s):
    text = b""
    while b"\r\n" not in text and (more := s.recv(4096)):
        text += more
    return int(text.split()[1]) if text else 0


def unread_stream(server, **fields):
    """Its client takes no more than the kernel does; a token has 2 KB."""
    body = json.dumps({"messages": [{"role": "user", "content": "a"}], "ignore_eos": True, "stream": True,
                       "logprobs": True, "top_logprobs": 20, **fields}).encode()
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    host, port = server.address.rsplit(":", 1)
    s.connect((host, int(port)))
    s.sendall(post_head(len(body), path="/v1/chat/completions") + body)
    return s


def rude_clients_do_not_disturb_others():
    with Server("--parallel", "2") as server:
        want = server.get("/v1/completions", {"prompt": "hello", "max_tokens": 8})[2]["choices"]
        held = [raw(server, post_head(100)[:n]) for n in range(1, 60, 3)]  # heads that do not end
        held += [raw(server, post_head(100) + b'{"prompt"') for _ in range(20)]  # bodies that do not
        rss = memory_kib(server.process.pid)
        size = 64 << 20
        s = raw(server, post_head(size))
        for _ in range(64):
            s.sendall(b"x" * (1 << 20))
        check(status_of(s) == 413, "a body of 64 MiB")
        check_memory(server.process.pid, rss, 40 << 10, "it was not kept")
        check(status_of(raw(server, post_head(size, "Expect: 100-continue\r\n"))) == 413, "nor asked for")
        check(status_of(raw(server, post_head(1 << 40))) == 413, "nor read if it has no end")
        check(status_of(raw(server, b"GARBAGE\r\n\r\n")) in (0, 400), "no HTTP")
        check(status_of(raw(server, b"GET / HTTP/1.1\r\nX: " + b"y" * 100000)) in (0, 413, 431, 400), "a long head")
        chunked = b"POST /v1/completions HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        check(status_of(raw(server, chunked + b"d\r\n" + b'{"prompt":""}' + b"\r\n0\r\n\r\n")) == 400, "in chunks")
        check(status_of(raw(server, chunked + b"zz\r\n")) in (0, 400), "a bad chunk")
        again = server.get("/v1/completions", {"prompt": "hello", "max_tokens": 8})[2]["choices"]
        check(again == want, "others are answered as before")
        for s in held:
            s.close()


def who_does_not_end_a_request_is_cut_off():
    """Also one that sends a byte now and then: the whole request has a minute."""
    with Server() as server:
        s, began = raw(server), time.monotonic()
        s.settimeout(1)
        for byte in post_head(100) * 3:
            with contextlib.suppress(socket.timeout, BrokenPipeError, ConnectionResetError):
                s.sendall(bytes([byte]))
                if s.recv(1) == b"":
                    break
        check(50 < time.monotonic() - began < 75, f"cut off after {time.monotonic() - began:.0f} s")
        check(server.get("/health")[0] == 200, "others are answered")


def clients_that_send_no_more_are_answered():
    """As `nc -N` does; one that reads no more either is gone, whether it streams or not."""
    with Server(*SLOW, "--parallel", "4") as server:
        for version, is_stream, n_tokens in (("1.1", False, 20), ("1.1", True, 20), ("1.1", False, 3000),
                                             ("1.1", True, 3000), ("1.0", True, 20)):
            body = json.dumps({"prompt": "half", "max_tokens": n_tokens, "ignore_eos": True, "stream": is_stream})
            s = socket.create_connection(server.address.split(":"))
            s.sendall(f"POST /v1/completions HTTP/{version}\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n{body}"
                      .encode())
            eventually(lambda: server.load() == (1, 0), "it runs")
            s.shutdown(socket.SHUT_WR)
            if n_tokens < 1000:
                reply = b"".join(iter(lambda: s.recv(4096), b"")).decode()
                check(f"HTTP/{version} 200" in reply or "HTTP/1.1 200" in reply, reply)
                check("[DONE]" in reply if is_stream else f'"completion_tokens":{n_tokens}' in reply.replace(" ", ""),
                      reply)
            s.close()
            eventually(lambda: server.load() == (0, 0), "it is over")


def slow_readers_are_cut_off():
    with Server("--ctx", "16000", "--parallel", "2", "--little", LITTLE) as server:
        s = unread_stream(server, n=2, max_tokens=9000)
        eventually(lambda: server.load() == (2, 0), "it runs")
        rss = memory_kib(server.process.pid)
        eventually(lambda: server.load() == (0, 0), "a client that reads nothing is cut off", 60)
        check_memory(server.process.pid, rss, 20 << 10, "what it did not read was bounded")
        m = server.metrics()
        check(m['pilotfish_answers_total{end="aborted"}'] == 2, "its answers were cancelled")
        s.close()


def check_memory(pid, before_kib, most_kib, what):
    now = memory_kib(pid)
    check(is_sanitized or now - before_kib < most_kib, f"{what}: {before_kib} KiB, then {now} KiB")


def memory_kib(pid):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def files_of(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def nothing_is_left_behind():
    n = 2000 if is_long else 400
    with Server("--draft", "suffix", "--queue", "1000") as server:
        pid = server.process.pid

        def ask(i):
            if i % 10 == 9:
                connection, reply = server.stream({"prompt": "x", "max_tokens": 500, "ignore_eos": True})
                reply.readline()
                connection.close()
                return
            server.get("/v1/completions", {"prompt": f"hello {i % 5}", "max_tokens": 4, "n": 1 + i % 3})
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(ask, range(n // 2)))
            eventually(lambda: server.load() == (0, 0), "half is answered")
            files, rss = files_of(pid), memory_kib(pid)
            list(pool.map(ask, range(n // 2)))
            eventually(lambda: server.load() == (0, 0), "all is answered")
        eventually(lambda: files_of(pid) <= files, f"{files} open files, then {files_of(pid)}")
        check_memory(pid, rss, 2048, "nothing is left")
        with concurrent.futures.ThreadPoolExecutor(200) as pool:  # all at once
            got = list(pool.map(lambda i: server.get("/v1/completions", {"prompt": "x", "max_tokens": 2})[0],
                                range(200)))
        check(set(got) <= {200, 429} and got.count(200) > 100, f"200 at once: {sorted(set(got))}")


# ---- the page ----


def the_page_loads_nothing_else(server):
    status, head, page = server.get("/")
    check(status == 200 and head["Content-Type"].startswith("text/html"), head)
    links = re.findall(r"(?:src|href)=\"([^\"]*)\"|https?://([^\" ]*)", page)
    check(set(links) == {("data:,", ""), ("", "www.w3.org/2000/svg")}, links)
    state = server.state()
    check(state["model"] == "big" and state["workers"][0]["role"] == "verifier" and state["slots"] == 3, state)


# ---- the documentation ----


def is_like(got, shown, where):
    """All fields that are shown, of the same kinds; of a list the first."""
    kind = (int, float) if isinstance(shown, float) else type(shown)
    check(isinstance(got, kind), f"{where}: {got!r} is not like {shown!r}")
    if isinstance(shown, dict) and "top_logprobs" not in where:  # its keys are tokens
        for key, value in shown.items():
            check(key in got, f"{where}: no {key} in {got}")
            is_like(got[key], value, where + [key])
    elif isinstance(shown, list) and shown:
        check(bool(got), f"{where}: nothing in it")
        is_like(got[0], shown[0], where + ["0"])


def every_block_of_the_documentation_runs():
    with open(os.path.join(source, "docs/api.md"), encoding="utf-8") as f:
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", f.read(), re.M | re.S)
    check(len(blocks) > 15 and {kind for kind, _ in blocks} == {"sh", "json", "python"}, "blocks")
    with Server("--little", LITTLE) as server:
        printed = ""
        for kind, text in blocks:
            if kind == "json":
                is_like(json.loads(printed), json.loads(text), [text[:30]])
                continue
            text = text.replace("http://127.0.0.1:8080", server.url)
            command = ["bash", "-eo", "pipefail", "-c", text] if kind == "sh" else [sys.executable, "-c", text]
            done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120)
            printed = done.stdout
            check(done.returncode == 0 and printed.strip(), f"{text}: exit {done.returncode}: {done.stderr}")


def the_openapi_document_is_true():
    """What is valid by the document may still be refused: the last message must be the user's, for one."""
    with Server("--draft", "suffix", "--n-predict", "4", "--ctx", "400") as server:
        document = os.path.join(source, "docs/openapi.yaml")
        done = subprocess.run([sys.executable, "-m", "schemathesis.cli", "run", document, "--url", server.url,
                               "--checks", "all", "--exclude-checks", "positive_data_acceptance",
                               "--max-examples", "40" if is_long else "3"],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
        check(done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:])


# ---- what cannot be started ----


def what_cannot_be_served_ends_in_one_line():
    with Server() as server:
        for options, code, words in ((["--port", server.address.rsplit(":", 1)[1]], 1, "--port takes another"),
                                     (["--host", "no.such.host.invalid"], 2, "--host"),
                                     (["--api-key-file", "none"], 2, "--api-key-file none"),
                                     (["--raw", "--template", "chatml"], 2, "--template and --raw")):
            done = subprocess.run([pilotfish, "serve", "--big", BIG, *options], stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, timeout=120)
            said = [line for line in done.stderr.splitlines() if line.startswith("pilotfish: ")]
            check(done.returncode == code and len(said) == 1 and words in said[0], f"{options}: {done}")


def a_server_says_that_it_loads():
    server = Server(big=SMOL, waits=False)
    seen = server.get("/health")[0], server.get("/v1/completions", {"prompt": "x"})[0]
    check(seen in ((503, 503), (503, 200), (200, 200)), seen)
    eventually(lambda: server.get("/health")[0] == 200, "it is ready")
    check(server.end() == 0, server.said)


def one_server_for_many():
    with Server("--draft", "suffix", "--guard", "off", "--parallel", "3") as server:
        choices_are_those_of_generate_for_the_same_seed(server)
        choices_compute_a_long_prompt_once(server)
        prompts_may_be_texts_or_tokens(server)
        what_is_wrong_is_refused_with_the_field(server)
        reports_add_up_to_the_metrics(server)
        the_page_loads_nothing_else(server)
        a_client_measures_the_server(server)
        what_was_measured_is_kept_after_ctrl_c(server)


def texts_are_those_of_generate():
    for options in (("--little", LITTLE), ("--draft", "suffix"),
                    ("--little", LITTLE, "--groups", "2", "--drafters", "2")):
        texts_are_those_of_generate_whatever_else_is_served(*options)


def texts_of_ranks_are_those_of_generate():
    for options in (("--little", LITTLE, "--tp", "2"), ("--draft", "suffix", "--groups", "3", "--max-rows", "8")):
        texts_are_those_of_generate_whatever_else_is_served(*options, ranks=True)


def main():
    """Tests that mostly wait run beside those that compute; those that look at memory come last, alone. With
    --sanitized those alone that run one process with toys."""
    subprocess.run([tiny, BIG, "--ctx", "16384"], check=True)
    subprocess.run([tiny, LITTLE, "--ctx", "16384", "--left-out", "2"], check=True)
    beside = [
        a_queue_has_an_end,
        texts_are_those_of_generate,
        lambda: a_drain_lets_what_runs_end(False),
        clients_that_send_no_more_are_answered,
        slow_readers_are_cut_off,
        one_server_for_many,
        an_answer_of_a_server_has_an_end,
        a_drain_has_an_end,
        every_block_of_the_documentation_runs,
        settings_of_a_line_go_to_the_server,
        clients_that_know_nothing_of_this_server_are_answered,
        lambda: links_and_workers_are_counted(False),
        a_request_names_the_plan_that_drafts,
        a_request_chooses_the_depth,
        answers_name_the_emulated_network_and_the_plan,
        a_fingerprint_is_that_of_the_text_not_of_the_layout,
        a_key_is_needed_where_one_is_set,
        the_openapi_document_is_true,
    ]
    if not is_sanitized:
        beside[2:2] = [
            texts_of_ranks_are_those_of_generate,
            lambda: a_drain_lets_what_runs_end(True),
            lambda: links_and_workers_are_counted(True),
            a_real_model_answers_the_openai_client,
            lambda: a_lost_worker_ends_answers_with_an_error("--tp"),
            lambda: a_lost_worker_ends_answers_with_an_error("--groups"),
            a_chat_with_a_server_is_the_chat_of_its_model,
            a_server_says_that_it_loads,
            what_cannot_be_served_ends_in_one_line,  # TSan does not see libuv close a file: it would report a race
        ]
    if is_long:
        beside.append(who_does_not_end_a_request_is_cut_off)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for done in [pool.submit(test) for test in beside]:
            done.result()
    rude_clients_do_not_disturb_others()
    nothing_is_left_behind()
    print(f"{next(checks)} checks")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    main()
