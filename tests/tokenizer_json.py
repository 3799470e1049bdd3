#!/usr/bin/env python3
"""What tokenizer.json says of pre-tokenizers, added tokens and normalization gives the ids that the package tokenizers
gives.

  tokenizer_json.py IDS

The vocabularies are trained here, without a pre-tokenizer, so that their tokens reach over every border that one sets.
"""
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

DATA = os.path.join(os.path.dirname(os.path.realpath(__file__)), "data", "tokenizer")
CASED = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+ENDINGS"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*ENDINGS"
         r"|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")  # fmt: skip
ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORDS = ENDINGS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PRE = {  # as the models' files have them
    "llama 3": [WORDS.replace("DIGITS", r"\p{N}{1,3}")],
    "qwen 2, R1 distills": [WORDS.replace("DIGITS", r"\p{N}")],
    "tekken": [CASED.replace("ENDINGS", "").replace("DIGITS", r"\p{N}")],
    "o200k, llama 4": [CASED.replace("ENDINGS", ENDINGS + "?").replace("DIGITS", r"\p{N}{1,3}")],
    "deepseek 3": [r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
                   r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|""" + "[^\r\n"
                   + r"\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+" + "[\r\n]*" + r"|\s*" + "[\r\n]+"
                   + r"|\s+(?!\S)|\s+"],
}  # fmt: skip
MORE = ["getHttpXMLRequest HTTPServer's x/y//\n\n /z",
        "e\u0301a\u0308 \u212b \u1e9b\u0323 \uac01 \u1100\u1161\u11a8 \ufb01 q\u0307\u0323", "don'T we'LL  I'M'S",
        "12345678 ٣٤٥٦ ½", "日本語のテキスト、カタカナ。漢字かな交じり文", ".method(arg)\r\n\t$var+=1",
        "नमस्ते दुनिया ภาษาไทย"]  # fmt: skip
FLAGS = {"<a>": {}, "<l>": {"lstrip": True}, "<r>": {"rstrip": True}, "<b>": {"lstrip": True, "rstrip": True},
         "wort": {"single_word": True}, "<n>": {"normalized": True}, "a<": {"normalized": True},
         "<u>": {"special": False}, " <r": {"special": False},
         "<rs>": {"rstrip": True, "single_word": True}}  # fmt: skip
PARTS = [*FLAGS, *FLAGS, " ", "  ", "\n", "\t \n", "\u3000", "\u00a0", "a", "é", "w", "wor", "_", "e\u0301", "\u200d",
         "1", "!", "<", ">", "x y", "\u0301"]


def strings(name):
    with open(os.path.join(DATA, name + ".inp"), encoding="utf-8", newline="") as f:
        return f.read().split("\n__ggml_vocab_test__\n")


def trained(texts):
    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=3000, min_frequency=1, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([*texts, *texts], trainer)
    return json.loads(tokenizer.to_str())


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as f:
        json.dump(value, f)


def write(folder, value):
    """A directory with almost no weights."""
    os.makedirs(folder, exist_ok=True)
    n_vocab = 1 + max([*value["model"]["vocab"].values(), *(token["id"] for token in value["added_tokens"])])
    write_json(folder + "/tokenizer.json", value)
    write_json(folder + "/tokenizer_config.json", {})
    write_json(folder + "/config.json", {
        "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 64,
        "num_attention_heads": 1, "max_position_embeddings": 64, "vocab_size": n_vocab})  # fmt: skip
    header = json.dumps({"model.norm.weight": {"dtype": "BF16", "shape": [64], "data_offsets": [0, 128]}}).encode()
    header += b" " * (-len(header) % 8)
    with open(folder + "/model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + bytes(128))


def check(ids_of, what, value, texts, special):
    with tempfile.TemporaryDirectory() as folder:
        write(folder, value)
        reference = tokenizers.Tokenizer.from_file(folder + "/tokenizer.json")
        said = subprocess.run([ids_of, folder, *(["special"] if special else [])], stdout=subprocess.PIPE, check=True,
                              input="".join(text + "\0" for text in texts).encode())
    wrong = 0
    for text, line in zip(texts, said.stdout.split(b"\n")[:-1], strict=True):
        got, want = [int(i) for i in line.split()], reference.encode(text, add_special_tokens=False).ids
        if got != want and (wrong := wrong + 1) <= 3:
            print(f"{what}: {text!r}\n  {got}\n  {want}")
    print(f"{what}: {len(texts) - wrong} of {len(texts)} texts have the ids of the package tokenizers")
    return wrong == 0


def main():
    ids_of = os.path.realpath(sys.argv[1])
    texts = [*strings("qwen35")[:-1], *MORE]
    value, right, draw = trained(texts), [], random.Random(1)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    for name, expressions in PRE.items():
        steps = [{"type": "Split", "pattern": {"Regex": e}, "behavior": "Isolated", "invert": False}
                 for e in expressions]
        value["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*steps, level]}
        right.append(check(ids_of, name, value, texts, False))
    words = {"type": "Split", "pattern": {"Regex": PRE["llama 3"][0]}, "behavior": "Isolated", "invert": False}
    value["pre_tokenizer"]["pretokenizers"] = [words, level]
    value["normalizer"] = {"type": "NFC"}
    right.append(check(ids_of, "NFC", value, texts, False))
    usual = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    n_vocab = len(value["model"]["vocab"])
    value["added_tokens"] = [{"id": n_vocab + i, "content": text, **usual, **flags}
                             for i, (text, flags) in enumerate(FLAGS.items())]
    mixed = ["".join(draw.choice(PARTS) for _ in range(draw.randrange(1, 14))) for _ in range(3000)]
    for normalizer in (None, {"type": "NFC"}):
        value["normalizer"] = normalizer
        right.append(check(ids_of, f"flags of added tokens, normalizer {normalizer}", value, mixed, True))
    sys.exit(not all(right))


main()
