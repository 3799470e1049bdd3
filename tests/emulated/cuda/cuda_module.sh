#!/usr/bin/env bash
# The modules export pf_* alone; nvcc's holds each kernel for both architectures, with at most 64 bytes of spills.
#
#   cuda_module.sh NM MODULE_FOLDER
set -eu
nm=$1 module=$2/pilotfish_cuda.so

for so in "$2"/pilotfish_cuda*.so; do
    [ -e "$so" ] || continue
    exported=$("$nm" -D --defined-only "$so" | awk '{ print $3 }')
    [ "$exported" = pf_device ] || { printf '%s exports:\n%s\n' "$so" "$exported"; exit 1; }
done
if [ ! -e "$module" ]; then
    echo "skipped: no nvcc here, so there is no $module"
    exit 77
fi

for so in "$module" "$2/pilotfish_cuda_cpu.so"; do
    "$nm" -D --undefined-only "$so" | grep -E ' cu[A-Z]' && { echo "$so needs the driver's library"; exit 1; }
done
awk '
    /Compiling entry function/ { kernel = $(NF - 3); of[$NF]++ }
    /bytes spill stores/ {
        n = $5
        if (n > 64) { print kernel ": " n " bytes of spills"; bad = 1 }
    }
    END {
        n = 0
        for (arch in of) { print arch ": " of[arch] " kernels"; n++ }
        sm_80 = of["\x27sm_80\x27"]; sm_90a = of["\x27sm_90a\x27"]
        if (n != 2 || sm_80 < 40 || sm_80 != sm_90a) { print "expected sm_80 and sm_90a alike"; bad = 1 }
        exit bad
    }' "$module.txt"
