"""A benchmark client that is not ours, unchanged, against `pilotfish serve`: aiperf, which knows no more of the server
than its address. It prints what it measured, with its section on speculative decoding; each of its counts must be the
server's own, by the reports of its requests and by /metrics.
   bench_client.py PILOTFISH MODELS      with aiperf among Python's packages
"""
import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request

import tokenizers
import transformers

pilotfish, models = sys.argv[1:3]
MODEL = "SmolLM2-135M-Instruct.Q4_1"
N_REQUESTS, N_TOKENS = 24, 32


def make_tokenizer(folder):
    """The client makes its prompts with it: a word a token. Lengths are then the server's to tell."""
    words = ["<unk>", *"the of a to in is and river mill stone bridge ran old past new house green hill".split()]
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="<unk>").save_pretrained(folder)


def serve():
    command = [pilotfish, "serve", "--big", f"{models}/{MODEL}.gguf", "--draft", "suffix", "--guard", "off"]
    command += ["--parallel", "4", "--port", "0"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        if found := re.search(r"listening on (http://\S+)", line):
            return process, found[1]
    sys.exit("serve has ended")


def metrics(url):
    with urllib.request.urlopen(url + "/metrics?names=vllm") as reply:
        lines = reply.read().decode().splitlines()
    values = (line.rsplit(" ", 1) for line in lines if line[0] != "#")
    return {re.sub(r'model_name="[^"]*",?', "", name).replace("{}", ""): float(value) for name, value in values}


def profile(url, endpoint):
    """(what it prints, its totals, its requests)"""
    command = [sys.executable, "-m", "aiperf", "profile", "--model", MODEL, "--url", url, "--endpoint-type", endpoint,
               "--streaming", "--concurrency", "4", "--request-count", str(N_REQUESTS), "--random-seed", "1",
               "--synthetic-input-tokens-mean", "24", "--output-tokens-mean", str(N_TOKENS), "--extra-inputs",
               "ignore_eos:true", "--tokenizer", "./tokenizer", "--use-server-token-count", "--ui", "none",
               "--artifact-dir", endpoint]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300)
    if done.returncode:
        sys.exit(f"aiperf gave {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    with open(os.path.join(endpoint, "profile_export_aiperf.json"), encoding="utf-8") as f:
        totals = json.load(f)
    with open(os.path.join(endpoint, "profile_export.jsonl"), encoding="utf-8") as f:
        return done.stdout, totals, [json.loads(line) for line in f]


def check_counts(endpoint, totals, requests, risen):
    spec = [request["spec_decode_acceptance"] for request in requests]
    pooled = {int(j): n for j, n in totals["pooled_spec_decode_acceptance_histogram"].items()}
    at = {int(re.search(r'"(\d+)"', name)[1]): n for name, n in risen.items() if "per_pos_total" in name}
    rows = [("requests", totals["request_count"]["avg"], N_REQUESTS),
            ("errors", totals["error_summary"], []),
            ("tokens of prompts", totals["total_isl"]["avg"], risen["vllm:prompt_tokens_total"]),
            ("tokens of answers", totals["total_osl"]["avg"], risen["vllm:generation_tokens_total"]),
            ("tokens of answers, as asked for", totals["total_osl"]["avg"], N_REQUESTS * N_TOKENS),
            ("verifies", sum(s["num_spec_steps"] for s in spec), risen["vllm:spec_decode_num_drafts_total"]),
            ("drafts", sum(s["num_draft_tokens"] for s in spec), risen["vllm:spec_decode_num_draft_tokens_total"]),
            ("accepted", sum(s["num_accepted_draft_tokens"] for s in spec),
             risen["vllm:spec_decode_num_accepted_tokens_total"]),
            ("the histogram's verifies", sum(pooled.values()), risen["vllm:spec_decode_num_drafts_total"]),
            ("by place", {i: sum(n for j, n in pooled.items() if j > i) for i in at}, at)]
    wrong = [f"{endpoint}: {what}: aiperf has {its}, the server {ours}" for what, its, ours in rows if its != ours]
    if wrong or not risen["vllm:spec_decode_num_accepted_tokens_total"]:
        sys.exit("\n".join(wrong) or f"{endpoint}: no draft was accepted")
    return len(rows)


def main():
    make_tokenizer("tokenizer")
    process, url = serve()
    n = 0
    try:
        for endpoint in ("chat", "completions"):
            before = metrics(url)
            said, totals, requests = profile(url, endpoint)
            section = said[said.find("LLM Metrics: Spec Decode"):].split("\n\n")[0]
            print(section, "\n")
            after = metrics(url)
            n += check_counts(endpoint, totals, requests, {k: x - before.get(k, 0) for k, x in after.items()})
            if "Spec Decode Steps" not in section:
                sys.exit(f"{endpoint}: no section on speculative decoding: {said[-3000:]}")
    finally:
        process.terminate()
        process.wait(30)
    print(f"{n} counts agree")


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    main()
