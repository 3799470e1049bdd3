#!/usr/bin/env bash
# Ranks: 3 and 4. scripts/gpu-check on the emulated device, so that all but the card is tested; and without a card.
#   gpu_check.sh BUILD SCRIPTS
set -u
build=$1 check=$2/gpu-check pilotfish=$1/pilotfish
. "$(dirname "$0")/lib/cli.bash"
unset PILOTFISH_CUDA PILOTFISH_DEVICE_MODULE CUDA_EMULATED_BYTES CUDA_EMULATED_LOST

# checks CODE ARGUMENT...
checks() {
    n_checks=$((n_checks + 1))
    timeout 220 "$check" "${@:2}" --build "$build" --records records > out 2> err
    rc=$?
    [ "$rc" = "$1" ] || wrong "gpu-check ${*:2}: exit $rc, not $1"
}

if [ ! -e /dev/nvidiactl ]; then
    checks 77 bits
    { [ "$(wc -l < err)" = 1 ] && grep -q '^gpu-check: no card answers: ' err && [ ! -s out ]; } ||
        wrong "without a card: not one line"
fi
checks 2 bit
export PILOTFISH_CUDA=emulated
for name in bits speed cluster; do
    checks 0 $name
    python3 - $name << 'END' || wrong "gpu-check $name: its records"
import json, sys
lines = [json.loads(line) for line in open("out")]
assert lines and lines == [json.loads(line) for line in open("records")][-len(lines):]
for line in lines:
    assert line["check"] == sys.argv[1] and line["card"] == "emulated"
    assert all(line[key] for key in ("machine", "driver", "date", "step"))
    assert line.get("ok") is not False
assert any("ok" in line for line in lines) == (sys.argv[1] != "speed")
END
done
CUDA_EMULATED_LOST=2000 checks 1 bits
grep -q 'is lost' out err || wrong "a lost device: it is not said"
verdict
