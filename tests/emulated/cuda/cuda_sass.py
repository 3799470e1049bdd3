#!/usr/bin/env python3
"""The products' hot loops as ptxas left them: no local memory, and so many instructions of a lane for each weight.

    cuda_sass.py MODULE CUOBJDUMP

Prints a table by format, rows, panels of a warp, and whether blocks go by clusters, which sm_80 has not. A hot loop is
the innermost loop around tensor instructions.
Budgets are the issue slots that a Hopper card has while it reads a weight at full speed (4 schedulers, 132
multiprocessors at 1.98 GHz, 4.4 TB/s); aims are what a hand-made loop of this arithmetic takes with two panels a warp
(PERFORMANCE.md), and 1.2 times that is the bound. Forms without an aim must have no more than in November 2026 (MOST).
Wide tiles (mm_wide.cuh) are counted for 128 token rows, by panels of a tile; the highest one's decode a weight once.
"""
import collections
import os
import re
import subprocess
import sys

FORMS = {1: "F16", 2: "Q4_0", 6: "Q5_0", 8: "Q8_0", 10: "Q2_K", 11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K",
         30: "BF16"}  # enum quant
BITS = {"F16": 16, "BF16": 16, "Q8_0": 8, "Q6_K": 6, "Q5_0": 5, "Q5_K": 5}  # others 4
BUDGETS = {4: 4.28, 5: 5.23, 6: 6.24, 8: 8.08, 16: 15.2}
AIMS = {  # by rows, of two panels
    "Q4_K": {8: 2.18, 16: 2.36, 32: 2.67}, "Q4_0": {8: 2.01, 32: 2.49}, "Q5_0": {8: 2.45, 32: 2.94},
    "Q6_K": {8: 2.74, 32: 3.24}, "Q8_0": {8: 1.89, 32: 2.36}, "BF16": {8: 0.39, 32: 0.84},
}
MOST = {  # by rows and panels, by bits
    (8, 1): {4: 3.1, 5: 3.4, 6: 3.45, 8: 3.0, 16: 1.5}, (8, 2): {4: 2.32, 5: 2.6, 16: .468},
    (16, 2): {4: 2.45, 5: 2.75, 6: 2.8, 8: 2.3, 16: .62}, (32, 2): {4: 2.75, 5: 3.05, 16: .93},
    (16, 1): {16: 1.6}, (32, 1): {16: 2.0}, (64, 1): {4: 4.5, 5: 4.8, 6: 4.75, 8: 4.3, 16: 2.7},
    (128, 16): {4: 5.1, 5: 5.4, 6: 5.4, 8: 4.95, 16: 3.45}, (128, 8): {4: 7.6, 5: 8.2, 6: 8.25, 8: 7.35, 16: 4.25},
    (128, 4): {4: 9.6, 5: 10.2, 6: 10.3, 8: 9.35, 16: 6.5},
}
CLUSTERS_64 = {4: 4.85, 5: 5.15, 6: 5.3, 8: 4.8, 16: 3.15}  # others as without clusters


def sass(module, cuobjdump):
    """{(architecture, kernel): [(address, instruction)]}"""
    folder = os.path.dirname(cuobjdump)
    out = subprocess.run([cuobjdump, "-sass", module], capture_output=True, text=True, check=True,
                         env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}).stdout
    found, arch, body = {}, None, None
    for line in out.splitlines():
        if match := re.match(r"\s*code for (sm_\w+)", line):
            arch = match[1]
        elif match := re.match(r"\s*Function : (\S+)", line):
            body = found[arch, match[1]] = []
        elif match := re.match(r"\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", line):
            body.append((int(match[1], 16), match[2]))
    return found


def hot_loop(arch, body):
    """Instructions of the innermost loop with most tensor instructions, and of such the longest; []: there is none."""
    loops = []
    back = r"^@.*\bBRA\b" if arch == "sm_90a" else r"\bBRA\b"  # there those without a condition come back from a wait
    for address, text in body:
        match = re.search(back + ".*?(0x[0-9a-f]+)", text)
        if match and int(match[1], 16) < address:
            inside = [t for a, t in body if int(match[1], 16) <= a <= address]
            if any("HMMA" in t for t in inside):
                loops.append((int(match[1], 16), address, inside))
    inner = [loop for loop in loops
             if not any(other is not loop and loop[0] <= other[0] and other[1] <= loop[1] for other in loops)]
    return max((loop[2] for loop in inner), key=lambda inside: (sum("HMMA" in t for t in inside), len(inside)),
               default=[])


def main():
    module, cuobjdump = sys.argv[1], sys.argv[2]
    if not os.path.exists(module) or not os.path.exists(cuobjdump):
        print(f"skipped: no {module}, or no cuobjdump")
        sys.exit(77)
    wrong, rows, n_products = [], {}, collections.Counter()
    for (arch, name), body in sass(module, cuobjdump).items():
        inside = hot_loop(arch, body)
        match = re.match(r"_Z\w*?(2mm|7mm_wide|10mm_cluster)IL5quant(\d+)ELi(\d+)ELi(\d+)E", name)
        form, n_rows, n_panels = (FORMS[int(match[2])], 8 * int(match[3]), int(match[4])) if match else (name, 0, 0)
        clusters = bool(match) and match[1] == "10mm_cluster"
        if match and match[1] == "7mm_wide":
            n_rows, n_panels = 128, n_panels * n_rows // 16  # 8 warps above each other, or 4 in two columns
        if any(re.search(r"\b(LDL|STL)\b", text) for text in inside):
            wrong.append(f"{arch} {form}, {n_rows} rows: local memory in its hot loop")
        if not match:
            continue
        n_products[arch] += 1
        n, n_mma = sum(not text.startswith("NOP") for text in inside), sum("HMMA" in text for text in inside)
        if clusters and arch == "sm_80":
            continue
        if n_mma:
            of_weight = n * n_rows / (64 * n_mma)  # a mma: 256 weights, 8 rows, by 32 lanes
            rows[form, n_rows, n_panels, clusters, arch] = of_weight
        else:
            wrong.append(f"{arch} {form}, {n_rows} rows: no loop with tensor instructions")
    print("instructions of a lane for each weight\n"
          f"{'format':8}{'rows':>6}{'panels':>8}{'':10}{'sm_80':>8}{'sm_90a':>8}{'a row':>8}{'aim':>8}{'budget':>8}")
    for form, n_rows, n_panels, clusters in sorted({key[:4] for key in rows}):
        key = form, n_rows, n_panels, clusters
        got, aim = rows.get((*key, "sm_90a"), 0), AIMS.get(form, {}).get(n_rows)
        aim, bits = aim if n_panels == 2 else None, BITS.get(form, 4)
        most = max(MOST[n_rows, n_panels].get(bits, 0), 1.2 * (aim or 0))
        if clusters and n_rows == 64:
            most = CLUSTERS_64[bits]
        print(f"{form:8}{n_rows:6}{n_panels:8}{'  clusters' if clusters else '':10}"
              f"{rows.get((*key, 'sm_80'), 0):8.2f}{got:8.2f}{got / n_rows:8.3f}"
              f"{f'{aim:.2f}' if aim else '-':>8}{BUDGETS[bits]:8.2f}"
              f"{'   misses 1.2 times the aim' if aim and got > 1.2 * aim else ''}"
              f"{'   over the budget' if n_rows <= 64 and got > BUDGETS[bits] else ''}")
        if got > most:
            wrong.append(f"{form}, {n_rows} rows, {n_panels} panels{', clusters' if clusters else ''}: "
                         f"{got:.2f} instructions a weight, over {most:.2f}")
    if not n_products["sm_90a"] or n_products["sm_90a"] != n_products["sm_80"]:
        wrong.append(f"products: {dict(n_products)}, expected as many for sm_80 as for sm_90a")
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(bool(wrong))


main()
