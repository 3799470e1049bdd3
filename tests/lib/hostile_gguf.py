#!/usr/bin/env python3
"""Writes NAME.gguf for each way in which a model file can lie, made from a toy.

    hostile_gguf.py TOY.gguf FOLDER

On standard output, a line each: the name, a tab, what the program must say of it. Beside them a model split over three
files as it should be, whole-0000N-of-00003.gguf, and other_word.gguf, a model of another vocabulary. Formats: ggml's
docs/gguf.md; of parts, llama.cpp's gguf-split.
"""
import struct
import sys

from gguf_file import ARRAY, F32, STRING, U32, U64, Toy, string

HUGE = 2**63 - 1
A_TENSOR = "blk.0.ffn_down.weight"


def tensor(field, value):
    def edit(toy):
        toy.tensors[A_TENSOR][field] = value

    return edit


def value(key, kind, raw):
    def edit(toy):
        toy.values[key] = (kind, raw)

    return edit


# name: (what is said of it, what is done to the toy)
CASES = {
    "sizes_overflow": (A_TENSOR, tensor(0, [2**33, 2**33])),
    "size_zero": (A_TENSOR, tensor(0, [0, 72])),
    "nine_dims": (A_TENSOR, tensor(0, [1] * 9)),
    "other_shape": (A_TENSOR, tensor(0, [86, 144])),
    "data_outside": (A_TENSOR, tensor(2, 2**62)),
    "data_unaligned": (A_TENSOR, tensor(2, 33)),
    "no_such_type": (A_TENSOR, tensor(1, 9999)),
    "format_not_read": ("has the format I8, which is not supported; F32 F16 BF16 Q4_0", tensor(1, 24)),
    "tensor_gone": ("no tensor " + A_TENSOR, lambda t: t.tensors.pop(A_TENSOR)),
    "long_string": ("ends at byte .* inside key", value("a.b", STRING, struct.pack("<Q", HUGE))),
    "long_list": ("a.b", value("a.b", ARRAY, struct.pack("<IQ", U32, HUGE))),
    "wrapping_list": ("a.b", value("a.b", ARRAY, struct.pack("<IQ", U64, 2**61))),
    "lists_in_lists": ("a.b", value("a.b", ARRAY, struct.pack("<IQIQ", ARRAY, 1, ARRAY, 1))),
    "no_such_value": ("a.b", value("a.b", 77, b"")),
    "alignment_zero": ("general.alignment", lambda t: t.u32("general.alignment", 0)),
    "alignment_odd": ("general.alignment", lambda t: t.u32("general.alignment", 3)),
    "architecture": ("architecture mamba is not supported; llama qwen2 qwen3 gemma3 qwen3moe are",
                     value("general.architecture", STRING, string("mamba"))),
    "no_architecture": ("no general.architecture", lambda t: t.drop("general.architecture")),
    "no_heads": ("head_count is 0", lambda t: t.u32("qwen2.attention.head_count", 0)),
    "heads_do_not_divide": ("heads", lambda t: t.u32("qwen2.attention.head_count", 7)),
    "many_blocks": ("block_count", lambda t: t.u32("qwen2.block_count", 10**9)),
    "blocks_not_there": ("no tensor blk.4.", lambda t: t.u32("qwen2.block_count", 5)),
    "blocks_beyond": ("tensor blk.3.[a-z_.]* has no place", lambda t: t.u32("qwen2.block_count", 3)),
    "bias_left_over": ("tensor blk.1.attn_output.bias has no place",
                       lambda t: t.tensors.update({"blk.1.attn_output.bias": t.tensors["blk.1.attn_norm.weight"]})),
    "left_over": ("tensor output.bias has no place",
                  lambda t: t.tensors.update({"output.bias": t.tensors["output_norm.weight"]})),
    "epsilon_nan": ("epsilon", lambda t: t.f32("qwen2.attention.layer_norm_rms_epsilon", float("nan"))),
    "no_vocabulary": ("tokenizer.ggml", lambda t: t.drop("tokenizer.ggml.tokens")),
    "other_tokenizer": ("tokenizer \"bert\" is not supported", value("tokenizer.ggml.model", STRING, string("bert"))),
    "other_splitter": ("pre-tokenizer \"odd\" is not supported", value("tokenizer.ggml.pre", STRING, string("odd"))),
    "end_outside": ("eos_token_id is 70000, the vocabulary ends at",
                    lambda t: t.u32("tokenizer.ggml.eos_token_id", 70000)),
    "merge_of_nothing": ("merge 0", value("tokenizer.ggml.merges", ARRAY,
                                          struct.pack("<IQ", STRING, 1) + string("zq"))),
}

def split(name, leave_out=None, edit=lambda part, number: None):
    """The toy over three files: metadata alone, then each half of the tensors. `edit` sees a part before it is
    written."""
    whole = Toy(sys.argv[1])
    names = list(whole.tensors)
    shares = [[], names[: len(names) // 2], names[len(names) // 2 :]]
    for number, share in enumerate(shares):
        part = Toy(sys.argv[1])
        if number:
            part.values = {}
        part.tensors = {key: whole.tensors[key] for key in share}
        part.u32("split.no", number)
        part.u32("split.count", len(shares))
        part.u32("split.tensors.count", len(names))
        edit(part, number)
        if number != leave_out:
            part.write(f"{sys.argv[2]}/{name}-{number + 1:05}-of-{len(shares):05}.gguf")


def put(number, key, value):
    return lambda part, n: part.u32(key, value) if n == number else None


for name, (said, edit) in CASES.items():
    toy = Toy(sys.argv[1])
    edit(toy)
    toy.write(f"{sys.argv[2]}/{name}.gguf")
    print(name, said, sep="\t")

toy = Toy(sys.argv[1])  # of a pair: a word where the other one has a control token
kind, types = toy.values["tokenizer.ggml.token_type"]
toy.values["tokenizer.ggml.token_type"] = (kind, types[: 12 + 4 * 512] + struct.pack("<i", 1) + types[16 + 4 * 512 :])
kind, tokens = toy.values["tokenizer.ggml.tokens"]
toy.values["tokenizer.ggml.tokens"] = (kind, tokens.replace(b"<|endoftext|>", b"<|EndOfText|>"))
toy.write(f"{sys.argv[2]}/other_word.gguf")

split("whole")
print("whole-00002-of-00003", "part 2 of 3 of a model; give the first, .*whole-00001-of-00003.gguf", sep="\t")
for name, said, how in [
    ("lacks", "lacks-00002-of-00003.gguf: cannot be opened", {"leave_out": 1}),
    ("mixed", "mixed-00003-of-00003.gguf: says that it is part 2 of 3", {"edit": put(2, "split.no", 1)}),
    ("other", "other-00003-of-00003.gguf: says that it is part 3 of 4", {"edit": put(2, "split.count", 4)}),
    ("fewer", "tensors in 3 parts, but split.tensors.count is 99", {"edit": put(0, "split.tensors.count", 99)}),
    ("endless", "part 1 of 4000000000 of a model cannot be", {"edit": put(0, "split.count", 4000000000)}),
    ("named", "the first of 4 parts; its name must end in -00001-of-00004.gguf", {"edit": put(0, "split.count", 4)}),
    ("twice", "is there twice", {"edit": lambda part, n:
                                 n == 2 and part.tensors.update({"token_embd.weight": part.tensors.popitem()[1]})}),
]:
    split(name, **how)
    print(f"{name}-00001-of-00003", said, sep="\t")
