#!/usr/bin/env python3
"""BLEU and ROUGE-L as `eval compare` computes them, against sacrebleu and rouge-score: drawn texts, the hard places of
their tokenizers often. metrics.py METRICS"""
import json
import random
import subprocess
import sys

import sacrebleu
from rouge_score import rouge_scorer

PIECES = (
    "the The big BIG little fish fishes runs 1 2 10 1,000 1.5 3-4 5- -6 a.b A.B. U.S. e.g., .. ... ,, ., .- -- isn't "
    "don't \"quoted\" (in brackets) [x] {y} a/b x=y 100% $5 #tag @you *bold* _under_ `code` ~ ^ | \\ <tag> &amp; "
    "&quot; &lt; &gt; &amp;lt; <skipped> & naïve über 日本語 日本。 你好, ½ € … — ’s 🐟 x\u00a0y \u2028 \u3000 \x1f \x85"
).split(" ") + ["-\n", "\n", "\n\n", "\t", "", "end-\nline", "a\r\nb"]


def draw(random_, n):
    return "".join(random_.choice(PIECES) + random_.choice([" ", " ", " ", "", "\n"]) for _ in range(n))


def near(random_, text):
    """The text with some of it gone, doubled or changed."""
    words = text.split(" ")
    out = []
    for word in words:
        turn = random_.random()
        if turn < 0.7:
            out.append(word)
        elif turn < 0.8:
            out += [word, word]
        elif turn < 0.9:
            out.append(random_.choice(PIECES))
    return " ".join(out)


def pairs(random_):
    reference = draw(random_, random_.choice([0, 1, 2, 5, 20, 60]))
    kind = random_.randrange(5)
    if kind == 0:
        return reference, reference
    if kind == 1:
        return draw(random_, random_.choice([0, 1, 3, 30])), reference
    return near(random_, reference), reference


def ours(program, corpus):
    lines = "".join(json.dumps({"text": text, "reference": reference}) + "\n" for text, reference in corpus)
    out = subprocess.run([program], input=lines, stdout=subprocess.PIPE, text=True, check=True).stdout.split()
    return [float(x) for x in out[:-1]], float(out[-1])


def main():
    random_ = random.Random(7)
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    n_wrong = n_texts = 0
    for _ in range(200):
        corpus = [pairs(random_) for _ in range(random_.choice([1, 1, 2, 8]))]
        rouges, bleu = ours(sys.argv[1], corpus)
        expected = sacrebleu.corpus_bleu([a for a, _ in corpus], [[b for _, b in corpus]]).score
        if abs(expected - bleu) > 1e-9:
            n_wrong += 1
            print(f"BLEU {bleu}, sacrebleu {expected}: {corpus!r:.400}")
        for (text, reference), rouge in zip(corpus, rouges):
            n_texts += 1
            expected = scorer.score(reference, text)["rougeL"].fmeasure
            if abs(expected - rouge) > 1e-9:
                n_wrong += 1
                print(f"ROUGE-L {rouge}, rouge-score {expected}: {text!r:.200} / {reference!r:.200}")
    print(f"{n_texts} texts in 200 corpora, {n_wrong} numbers differ")
    sys.exit(n_wrong > 0)


main()
