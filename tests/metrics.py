#!/usr/bin/env python3
"""BLEU and ROUGE as `eval compare` computes them, against sacrebleu and rouge-score: drawn texts, the hard places of
their tokenizers often; and the numbers that answer word problems. metrics.py METRICS"""
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
    done = subprocess.run([program], input=lines, stdout=subprocess.PIPE, text=True, check=True)
    out = [[float(x) for x in line.split()] for line in done.stdout.splitlines()]
    return out[:-1], out[-1][0]


ROUGES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
ANSWERS = [  # a text, a solution, whether the text has its number; -1: the solution has none
    ("The answer is 42.", "6 * 7 = <<6*7=42>>42\n#### 42", 1),
    ("It is 42, not 41", "#### 42", 0),
    ("So she has $1,250.00.", "#### 1250", 1),
    ("1250", "#### 1,250", 1),
    ("a loss of -5 dollars", "#### -5", 1),
    ("10-5", "#### 5", 1),
    ("half: 0.5...", "#### .5", 0),  # a number begins with a digit
    ("half: 0.5...", "#### 0.5", 1),
    ("I do not know.", "#### 7", 0),
    ("7", "#### 1\n#### 7", 1),
    ("7", "The answer is 7", -1),
    ("7", "#### none", -1),
]


def main():
    random_ = random.Random(7)
    scorer = rouge_scorer.RougeScorer(ROUGES)
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
            scores = scorer.score(reference, text)
            for name, is_ in zip(ROUGES, rouge):
                if abs(scores[name].fmeasure - is_) > 1e-9:
                    n_wrong += 1
                    print(f"{name} {is_}, rouge-score {scores[name].fmeasure}: {text!r:.200} / {reference!r:.200}")
    answers, _ = ours(sys.argv[1], [row[:2] for row in ANSWERS])
    for row, answer in zip(ANSWERS, answers):
        if answer[4] != row[2]:
            n_wrong += 1
            print(f"{row}: {answer[4]}")
    print(f"{n_texts} texts in 200 corpora, {n_wrong} numbers differ")
    sys.exit(n_wrong > 0)


main()
