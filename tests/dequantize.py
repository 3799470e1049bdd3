#!/usr/bin/env python3
"""Every format's rows against the package gguf's own dequantizers: random blocks, scales of every size and sign.
dequantize.py ROWS"""
import random
import subprocess
import sys

import gguf
import numpy as np

N_IN = 4096
SCALES = {  # where a block has its F16 scales
    "F16": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F32": [], "BF16": [],
}  # fmt: skip


def draw(name, random_):
    if name in ("F32", "BF16"):  # finite numbers; the upper half of a float is a BF16
        floats = np.array([random_.gauss(0, 1) * 10 ** random_.uniform(-9, 9) for _ in range(N_IN)], dtype="<f4")
        return floats.tobytes() if name == "F32" else floats.view("<u2")[1::2].tobytes()
    block, n_bytes = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[name]]
    row = bytearray(random_.randbytes(N_IN // block * n_bytes))
    for at in range(0, len(row), n_bytes):
        for scale in SCALES[name]:
            row[at + scale + 1] &= 0xBB  # neither inf nor NaN
    return bytes(row)


def main():
    random_ = random.Random(5)
    for name in SCALES:
        type_ = gguf.GGMLQuantizationType[name]
        row = draw(name, random_)
        command = [sys.argv[1], str(int(type_)), str(N_IN)]
        out = subprocess.run(command, input=row, stdout=subprocess.PIPE, check=True).stdout
        got = np.frombuffer(out, dtype="<f4")
        want = gguf.quants.dequantize(np.frombuffer(row, dtype=np.uint8).reshape(1, -1), type_).reshape(-1)
        assert len(got) == N_IN and np.isfinite(got).all() and np.any(got != 0), name
        assert np.array_equal(got, want), name  # products are exact: one fmaf, or a product and a sum, round alike
        print(f"{name}: {N_IN} equal")


main()
