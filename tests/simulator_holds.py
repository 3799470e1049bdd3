"""The cluster with timed waits against the simulator: the same texts, the same luck, token/s within 10 % at each of
eight points, plain and sequential and by default. It takes 20 minutes (scripts/test --long runs it), next to no
computing, and a quiet machine; on a busy one chrt -f 5 python3 simulator_holds.py ... has its threads woken in time.
Sequential drafts have the length that is best in the simulator.
   simulator_holds.py PILOTFISH [POINT...]
"""
import json
import subprocess
import sys

pilotfish, *chosen = sys.argv[1:]
MOST = 0.10
TEXTS = ["-n", "300", "--texts", "2", "-o", "jsonl"]
# name: the pair, the acceptance, the network
POINTS = {
    "near": ("tD=4,tT=20", ["--accept-rate", "0.8"], ["--net-delay", "0"]),
    "2 ms": ("tD=4,tT=20", ["--accept-rate", "0.8"], ["--net-delay", "1"]),
    "20 ms": ("tD=4,tT=20", ["--accept-rate", "0.8"], ["--net-delay", "10"]),
    "80 ms": ("tD=4,tT=20", ["--accept-rate", "0.8"], ["--net-delay", "40"]),
    "mostly wrong": ("tD=4,tT=20", ["--accept-rate", "0.2"], ["--net-delay", "5"]),
    "mostly right": ("tD=2,tT=20,slope=8", ["--accept-rate", "0.95"], ["--net-delay", "5"]),
    "a curve": ("tD=8,tT=30:30:30:30:33,slope=8", ["--accept-curve", "0.93,0.87,0.82,0.78"], ["--net-delay", "10"]),
    "jitter and a rate": ("tD=4,tT=20", ["--accept-rate", "0.8"],
                          ["--net-delay", "5", "--net-jitter", "4", "--net-rate", "1"]),
}


def rows_of(*words):
    done = subprocess.run([pilotfish, *words], stdout=subprocess.PIPE, text=True, check=True)
    return {row["mode"]: row for row in map(json.loads, done.stdout.splitlines())}


def main():
    n_wrong = 0
    print(f"{'point':<20}{'mode':<12}{'simulated':>10}{'timed':>10}{'ratio':>7}")
    for name in chosen or POINTS:
        pair, accept, network = POINTS[name]
        words = ["--synthetic", pair, *accept, *network, *TEXTS]
        simulated = rows_of("simulate", *words, "--baseline", "1-12")
        best = str(simulated["sequential"]["draft_length"])
        timed = rows_of("bench", "spec", *words, "--baseline", best, "--repeat", "5")
        for mode, row in simulated.items():
            expected, speed = row["tokens_per_s"], timed[mode]["tokens_per_s"]
            wrong = abs(speed / expected - 1) > MOST
            n_wrong += wrong
            print(f"{name:<20}{mode:<12}{expected:>10.2f}{speed:>10.2f}{speed / expected:>7.3f}{' WRONG' * wrong}",
                  flush=True)
    return n_wrong > 0


sys.exit(main())
