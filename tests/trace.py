"""--trace of generate: what is in the file belongs together, in one process, over groups and over ranks; it is whole
however the process ends; and the round trips in JSON lines.
   trace.py PILOTFISH TINY SCRIPTS
"""
import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

pilotfish, tiny, scripts = sys.argv[1:]


def call(*words, code=0):
    done = subprocess.run(words, capture_output=True, text=True, timeout=100)
    assert done.returncode == code, (words, done)
    return done


def spans_of(events):
    """{(name, category, id): [(begin, end)]}; each that begins ends, later or at once."""
    spans = collections.defaultdict(list)
    for event in events:
        if event["ph"] in "be":
            spans[event["name"], event["cat"], event["id"]].append((event["ph"], event["ts"]))
    for key, marks in spans.items():
        assert [phase for phase, _ in marks] == ["b", "e"] * (len(marks) // 2), (key, marks)
        times = [ts for _, ts in marks]
        assert times == sorted(times), (key, marks)
    return {key: [(marks[i][1], marks[i + 1][1]) for i in range(0, len(marks), 2)] for key, marks in spans.items()}


def check(path, rows):
    events = json.load(open(path, encoding="utf-8"))["traceEvents"]
    assert {event["pid"] for event in events} == {1}
    names = {e["args"]["name"] for e in events if e["name"] == "thread_name"}
    spans = spans_of(events)
    verifies = {key[2]: its[0] for key, its in spans.items() if key[0] == "verify"}
    for (name, category, number), its in spans.items():
        assert len(its) == 1, "numbers are used once"
        if name == "queued":
            outer = verifies[number]
            assert category == "verify" and outer[0] <= its[0][0] + 1 and its[0][1] <= outer[1] + 1, (its, outer)
    tracks = collections.defaultdict(list)
    for event in events:
        if event["ph"] == "X":
            tracks[event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    for track, computed in tracks.items():
        computed.sort()
        assert all(a[1] <= b[0] + 0.01 for a, b in zip(computed, computed[1:])), track
    # A verdict whose text was not over counts as a verify; of the prompt's it says so too.
    asked = sum(row["stats"]["verifies"] + 1 for row in rows)
    seen = len(verifies) + sum(1 for e in events if e["name"] == "pass, by itself")
    return {"names": names, "tracks": tracks, "verifies": len(verifies), "seen": seen, "asked": asked,
            "rollbacks": [e["args"] for e in events if e["name"] == "rollback"],
            "asks": sum(1 for key in spans if key[0] == "ask")}


def whole_when_killed(number, *words):
    run = subprocess.Popen([pilotfish, *words, "--trace", "killed.json"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    give_up, n = time.monotonic() + 60, 0
    while n < 100 and time.monotonic() < give_up:
        time.sleep(0.2)
        if os.path.exists("killed.json"):
            with open("killed.json", encoding="utf-8") as f:
                n = f.read().count('"name": "pass')
    run.send_signal(number)
    run.communicate(timeout=120)
    assert run.returncode in (-number, 128 + number), (number, run.returncode)
    with open("killed.json", encoding="utf-8") as f:
        names = [event["name"] for event in json.load(f)["traceEvents"]]
    assert names[0] == "process_name" and sum(name.startswith("pass") for name in names) >= n >= 100, names[:9]


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        call(tiny, "big.gguf")
        call(tiny, "little.gguf", "--left-out", "2")
        with open("prompts", "w", encoding="utf-8") as out:
            for i in range(4):
                print(json.dumps({"prompt": f"The little friend said {i}"}), file=out)
        pair = ["--big", "big.gguf", "--little", "little.gguf"]
        few = ["--raw", "--ignore-eos", "-o", "jsonl", "--trace", "trace.json"]
        # Two seconds: a bare Ping comes each second, and counts only while the coordinator is not held up.
        bild = ["-n", "200", "--net-delay", "10", "--accept", "bild", "--fallback", "0.003", "--rollback", "5.5",
                "--draft-max", "4"]
        many = ["--prompts", "prompts", "--parallel", "2"]
        short = ["-n", "24", *many]

        def drawn(*words, launch=()):
            done = call(*launch, pilotfish, "generate", *few, *words)
            rows = [json.loads(line) for line in done.stdout.splitlines()]
            return check("trace.json", rows), rows

        # In turns, every verify of a text is one of its parts, and every rollback one of the method's.
        for ahead in "0", "8":
            seen, rows = drawn(*pair, *bild, "--draft-ahead", ahead, *many)
            assert seen["names"] == {"coordinator", "drafter", "verifiers"}
            assert seen["verifies"] == seen["asked"], seen
            assert len(seen["rollbacks"]) == sum(row["stats"]["rollbacks"] for row in rows) > 0, seen
            links = rows[-1]["stats"]["links"]
            assert [link["role"] for link in links] == ["drafter", "verifier"] and links[1]["rtt_ms"] > 19.9, links
            assert set(seen["tracks"]) == {2, 3} and seen["asks"] > 0
        seen, rows = drawn(*pair, "--draft-ahead", "8", "--guard", "off", *short)
        assert seen["verifies"] > 4 and seen["asks"] > 0
        # Two drafters compute beside each other: each has a row, and answers what it was asked.
        seen, rows = drawn(*pair, "--drafters", "2", *bild, *many)
        assert seen["names"] == {"coordinator", "drafter 1", "drafter 2", "verifiers"}, seen["names"]
        assert seen["verifies"] == seen["asked"] and set(seen["tracks"]) == {2, 3, 4}, set(seen["tracks"])
        seen, _ = drawn("--big", "big.gguf", "--draft", "suffix", "--groups", "2", "--threads", "1", *short)
        assert {"verifiers, group 1", "verifiers, group 2"} < seen["names"] and set(seen["tracks"]) >= {3, 4}
        seen, rows = drawn(*pair, "--pp", "2", *bild, *many, launch=(os.path.join(scripts, "mpirun"), "-n", "4"))
        assert seen["verifies"] == seen["asked"] and set(seen["tracks"]) == {2, 3}
        places = [(link["role"], link["rank"], link["stage"]) for link in rows[-1]["stats"]["links"]]
        assert len({rank for _, rank, _ in places}) == 3, places

        call(tiny, "long.gguf", "--ctx", "1048576")
        for number in signal.SIGHUP, signal.SIGTERM, signal.SIGKILL:
            whole_when_killed(number, "generate", "--big", "long.gguf", "--raw", "--ignore-eos", "--ctx", "1048576",
                              "hello")
            os.remove("killed.json")
        line = f"mkfifo pipe; {pilotfish} generate --big big.gguf --raw -n 8 --trace pipe hello > text & cat pipe"
        piped = call("bash", "-c", line)
        assert json.loads(piped.stdout)["traceEvents"], piped
        done = call(pilotfish, "generate", *pair, "-n", "4", "--raw", "--trace", "/dev/full", "x", code=1)
        assert "--trace /dev/full: No space left on device" in done.stderr, done.stderr
        done = call(pilotfish, "generate", *pair, "-n", "4", "--raw", "--trace", "no/such", "x", code=2)
        assert done.stderr == "pilotfish: --trace no/such: No such file or directory\n", done.stderr
        assert not done.stdout
    print("ok")


main()
