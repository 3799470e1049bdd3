#!/usr/bin/env python3
"""What the keys of a model file change: a key is obeyed, changes nothing, or is refused by name; and one of another
type is not a missing one.

  model_keys.py PILOTFISH

Toys that say a chain of pieces (lib/chain.py), so that the right answer is known. Where numbers count, blocks have
weights.
"""
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
from chain import CHATML, CONTROL, NORMAL, SPECIALS, UNUSED, USER_DEFINED, Chain  # noqa: E402

PILOTFISH = os.path.realpath(sys.argv[1])
n_checks, wrong = 0, []


def run(*arguments, stdin=""):
    return subprocess.run([PILOTFISH, *arguments], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=120)


def expect(what, right, shown):
    global n_checks
    n_checks += 1
    if not right:
        wrong.append(f"{what}: {shown}")


def written(model, *options, prompt="Q"):
    """The line of jsonl."""
    done = run("generate", "--big", model, "-n", "14", "-o", "jsonl", *options, prompt)
    failed = {"text": done.stderr, "ids": [], "logprobs": [], "prompt_tokens": 0}
    return json.loads(done.stdout) if done.returncode == 0 else failed


def runs(what, model):
    """inspect's yes."""
    line = run("inspect", model).stdout.splitlines()[-1:]
    expect(what, line == ["  runs here     yes"], line)


def refused(what, model, said):
    """generate's exit status 3 with one line, and the same cause from inspect: what it is, and that it does not run;
    or, where that much cannot be read, the same line."""
    done, inspected = run("generate", "--big", model, "--raw", "-n", "1", "Q"), run("inspect", model)
    cause = done.stderr.removeprefix("pilotfish: ").strip()
    right = done.returncode == 3 and re.search(said, cause) and not done.stdout and done.stderr.count("\n") == 1
    if inspected.returncode == 0:
        told = inspected.stdout.endswith(f"  runs here     no: {cause}\n")
    else:
        told = inspected.stderr == done.stderr
    expect(what, right and told, (done.returncode, done.stderr, inspected.stdout[-300:], inspected.stderr))


# ---- what changes the numbers ----

NUMBERS = Chain([f"aa{i}" for i in range(8)], blocks=2, scale=0.05, numbers=True)
FEW = Chain(["Hi", " there", " you"], blocks=2)


def toy(name, chain=FEW, **options):
    chain.write_gguf(name, **options)
    return name


def rotary_scaling():
    rope = {
        "none": {}, "typed": {"type": "linear", "factor": 4.0}, "untyped": {"factor": 4.0},
        "unscaled": {"type": "none", "factor": 4.0},
    }  # fmt: skip
    lp = {}
    for name, scaling in rope.items():
        keys = {"{arch}.rope.scaling." + key: ("string" if key == "type" else "float32", value)
                for key, value in scaling.items()}
        lp[name] = written(toy("rope.gguf", NUMBERS, keys=keys), "--raw")["logprobs"]
    old = {"{arch}.rope.scale_linear": ("float32", 4.0)}
    lp["old"] = written(toy("rope.gguf", NUMBERS, keys=old), "--raw")["logprobs"]
    expect("rotary positions are scaled as each of three spellings says",
           lp["typed"] == lp["untyped"] == lp["old"] != lp["none"], lp)
    expect("a type of none is no scaling", lp["unscaled"] == lp["none"] != [], lp)


def other_keys():
    harmless = {
        "{arch}.vocab_size": ("uint32", 263), "{arch}.rope.dimension_count": ("uint32", 32),
        "{arch}.logit_scale": ("float32", 1.0), "{arch}.attention.clamp_kqv": ("float32", 0.0),
        "{arch}.attention.causal": ("bool", True), "general.file_type": ("uint32", 7),
        "{arch}.attention.scale": ("float32", 32**-0.5), "quantize.imatrix.file": ("string", "x"),
        "anyone.else": ("uint32", 1), "tokenizer.ggml.padding_token_id": ("uint32", 3),
        "tokenizer.ggml.add_eos_token": ("bool", False),
    }  # fmt: skip
    with_keys = written(toy("keys.gguf", NUMBERS, keys=harmless), "--raw")["logprobs"]
    same = with_keys == written(toy("plain.gguf", NUMBERS), "--raw")["logprobs"]
    expect("keys that change nothing change nothing", same, "other logprobs")
    for key, kind, value, said in [
        ("logit_scale", "float32", 0.5, "llama.logit_scale 0.5 is not supported; 1 is"),
        ("embedding_scale", "float32", 12, "llama.embedding_scale 12 is not supported"),
        ("residual_scale", "float32", 0.22, "llama.residual_scale 0.22 is not supported"),
        ("attention.scale", "float32", 0.015625, "llama.attention.scale 0.015625 is not supported; 0.17"),
        ("attention.clamp_kqv", "float32", 8, "llama.attention.clamp_kqv 8 is not supported; 0 is"),
        ("attn_logit_softcapping", "float32", 50, "llama.attn_logit_softcapping 50 is not supported"),
        ("final_logit_softcapping", "float32", 30, "llama.final_logit_softcapping 30 is not supported"),
        ("attention.causal", "bool", False, "llama.attention.causal 0 is not supported"),
        ("rope.scaling.attn_factor", "float32", 1.2, "llama.rope.scaling.attn_factor 1.2 is not supported"),
        ("rope.scaling.type", "string", "yarn", "rotary positions scaled by yarn are not supported; linear is"),
        ("rope.dimension_count", "uint32", 16, "rotary positions over 16 of 32 dimensions are not supported"),
        ("rope.dimension_sections", "array", [1, 2], "llama.rope.dimension_sections is not known here"),
        ("something.new", "float32", 1, "llama.something.new is not known here, and may change the numbers"),
        ("rope.freq_base", "string", "1e6", "llama.rope.freq_base has type string, expected a number"),
        ("rope.scaling.type", "uint32", 1, "llama.rope.scaling.type has type u32, expected a string"),
        ("attention.key_length", "float32", 32, "llama.attention.key_length has type f32, expected an integer"),
        ("expert_count", "array", [0, 4], "llama.expert_count has type array of i32 that differ, expected an integer"),
    ]:  # fmt: skip
        refused(f"{key} {value}", toy("keys.gguf", keys={"{arch}." + key: (kind, value)}), said)


def replaced(key, value):
    """An edit of the writer: the key as it is has another type."""

    def edit(writer):
        del writer.kv_data[0][key]
        writer.add_array(key, value) if isinstance(value, list) else writer.add_string(key, value)

    return edit


def lists_of_one_value():
    for key, value in [("llama.attention.head_count_kv", 2), ("llama.feed_forward_length", 128)]:
        model = toy("list.gguf", edit=replaced(key, [value, value]))
        text = written(model, "--raw")["text"]
        expect(f"{key} as a list of equal values", text.startswith("Hi there you"), "another text")
        refused(f"{key} as a list", toy("list.gguf", edit=replaced(key, [value, 2 * value])),
                f"{key} has type array of i32 that differ")
    refused("block_count as a text", toy("list.gguf", edit=replaced("llama.block_count", "2")),
            "llama.block_count has type string, expected an in")


def window_of_all_blocks():
    model = toy("window.gguf", keys={"{arch}.attention.sliding_window": ("uint32", 40)})
    done = run("generate", "--big", model, "--raw", "-n", "1", "Q" * 50)
    said = "50 tokens, the model's context 40"
    expect("a window that all blocks see bounds the context", done.returncode == 2 and said in done.stderr, done.stderr)
    with open("prompts.jsonl", "w") as f:
        f.writelines(json.dumps({"id": n, "prompt": "Q" * n}) + "\n" for n in (50, 5))
    done = run("generate", "--big", model, "--raw", "-n", "1", "-o", "jsonl", "--prompts", "prompts.jsonl")
    right = done.returncode == 2 and '"id": "5"' in done.stdout
    expect("and one prompt beyond it does not end the others", right, done.stdout)
    expect("inspect says so", "context       40 tokens" in run("inspect", model).stdout, run("inspect", model).stdout)


# ---- tensors ----


def rows_for_all_tokens():
    chain = Chain(["Hi", " there"])
    chain.tokens.append("<|more|>")
    chain.types.append(3)
    refused("a token without a row", toy("more.gguf", chain), "263 tokens, but token_embd.weight has 262 rows")


def numbers_that_are_no_weights():
    for name, place, value in [
        ("token_embd", (77, 5), np.nan), ("blk.0.ffn_up", (3, 5), np.inf), ("blk.1.attn_norm", 9, 2e6),
        ("output", (200, 1), -1e30),
    ]:  # fmt: skip
        chain = Chain(["Hi", " there", " you"], blocks=2)
        chain.tensors["blk.1.attn_norm.weight"] = chain.tensors["blk.1.attn_norm.weight"].copy()
        chain.tensors[name + ".weight"][place] = value
        refused(f"{value} in {name}", toy("weights.gguf", chain),
                f"tensor {name}.weight has a number that is no weight")
    refused("the same in a directory", directory(chain), "tensor output.weight has a number that is no weight")
    for value in (0, np.nan, -1):
        chain = Chain(["Hi", " there", " you"])
        chain.tensors["rope_freqs.weight"] = np.full(16, value, np.float32)
        refused(f"rotary factors of {value}", toy("weights.gguf", chain), "factor 0 of rope_freqs.weight is")


def many_blocks():
    """Linear, so that it ends long before the limit of `run`."""
    dims = struct.pack("<IQQ", 2, 2, 2)
    n = 10000
    parts = ["attn_norm", "ffn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
    names = ["token_embd.weight", "output_norm.weight"] + [f"blk.{i}.{part}.weight" for i in range(n) for part in parts]

    def string(text):
        return struct.pack("<Q", len(text)) + text.encode()

    keys = [("general.architecture", 8, string("llama")), ("tokenizer.ggml.model", 8, string("gpt2")),
            ("tokenizer.ggml.tokens", 9, struct.pack("<IQ", 8, 2) + string("a") + string("b")),
            ("tokenizer.ggml.merges", 9, struct.pack("<IQ", 8, 0))]  # fmt: skip
    for key, value in [("block_count", n), ("context_length", 8), ("embedding_length", 2), ("feed_forward_length", 2),
                       ("attention.head_count", 1)]:
        keys.append(("llama." + key, 4, struct.pack("<I", value)))
    with open("many.gguf", "wb") as f:
        head = b"GGUF" + struct.pack("<IQQ", 3, len(names), len(keys))
        head += b"".join(string(key) + struct.pack("<I", kind) + value for key, kind, value in keys)
        head += b"".join(string(x) + (struct.pack("<IQ", 1, 2) if "norm" in x else dims) + struct.pack("<IQ", 0, 0)
                         for x in names)
        f.write(head + b"\0" * (-len(head) % 32) + struct.pack("<4f", 1, 1, 1, 1))
    runs("10000 blocks", "many.gguf")


# ---- ends of an answer, and what begins a text ----

PHI = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}"
    "{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)


def ends(what, model, *options, text="Hi there", **more):
    done = written(model, *options, **more)
    expect(what, (done["text"], done.get("end")) == (text, "end_id"), (done["text"], done.get("end")))


def answer(end, *others, kind=CONTROL):
    """Says "Hi there", ends with `end`, and would go on."""
    specials = {text: CONTROL for text in ("<|endoftext|>", "<|im_start|>", *others)}
    return Chain(["Hi", " there", (end,), "Ill", " go", " on"], specials={**specials, end: kind})


def ends_by_name():
    phi = answer("<|end|>", "<|user|>", "<|assistant|>")
    ends("the end of a template that no key names", toy("ends.gguf", phi, eos="<|endoftext|>", template=PHI))
    for kind in (CONTROL, USER_DEFINED, NORMAL, UNUSED):
        model = toy("ends.gguf", answer("<|im_end|>", kind=kind), eos="<|endoftext|>", template=CHATML)
        ends(f"the template's end, of type {kind}", model)
    whale = "<\uff5cend\u2581of\u2581sentence\uff5c>"
    for text in ("<|eom_id|>", "<|eot_id|>", "<|eot|>", "<EOT>", "<eos>", "</s>", "<end_of_turn>", "[EOS]", whale):
        ends(text, toy("ends.gguf", answer(text), eos="<|endoftext|>"), "--raw")
    model = toy("ends.gguf", answer("</s>", kind=USER_DEFINED), eos="<|endoftext|>")
    expect("a word </s> ends nothing", "Ill go on" in written(model, "--raw")["text"], "an end")
    ends("a template named ends an answer", model, "--template", "zephyr")
    model = toy("ends.gguf", answer("<|end|>", "<|return|>"), eos="<|endoftext|>")
    expect("where <|return|> ends, <|end|> does not", "Ill go on" in written(model, "--raw")["text"], "an end")


def ends_by_key():
    chain = answer("<stop_c>", "<stop_a>", "<stop_b>")
    ids = [chain.ids[text] for text in ("<stop_a>", "<stop_b>", "<stop_c>")]
    listed = {"tokenizer.ggml.eos_token_id": ("array", ids)}
    ends("a list of ends", toy("ends.gguf", chain, eos=None, keys=listed), "--raw")
    many = {"tokenizer.ggml.eos_token_id": ("array", list(range(100, 200)) + ids)}
    ends("a hundred ends, and drafts", toy("ends.gguf", chain, eos=None, keys=many),
         "--raw", "--little", "ends.gguf", "--guard", "off")
    outside = {"tokenizer.ggml.eos_token_id": ("array", [1, 99999])}
    refused("an end that is no id", toy("ends.gguf", chain, eos=None, keys=outside),
            "tokenizer.ggml.eos_token_id is 99999, the vocabulary ends at")
    typed = {"tokenizer.ggml.eos_token_id": ("string", "</s>")}
    refused("an end of another type", toy("ends.gguf", chain, eos=None, keys=typed),
            "tokenizer.ggml.eos_token_id has type string, expected an integer")
    for key, kind, value in [("add_eos_token", "bool", True), ("suppress_tokens", "array", [1]),
                             ("normalizer.lowercase", "bool", True)]:
        refused(key, toy("ends.gguf", keys={"tokenizer.ggml." + key: (kind, value)}),
                f"tokenizer.ggml.{key} changes texts, and is not supported")
    refused("add_bos_token as a text", toy("ends.gguf", keys={"tokenizer.ggml.add_bos_token": ("string", "true")}),
            "tokenizer.ggml.add_bos_token has type string, expected an integer")


def defaults_of_pre_tokenizers():
    for pre, n in [("llama-bpe", 2), ("qwen2", 1), ("default", 1), ("gpt-2", 1), ("smollm", 1), ("deepseek-llm", 1)]:
        model = toy("pre.gguf", bos="<|endoftext|>", pre=pre)
        expect(f"{pre} begins a text", written(model, "--raw")["prompt_tokens"] == n, written(model, "--raw"))
    no_bos = {"tokenizer.ggml.add_bos_token": ("bool", False)}
    model = toy("pre.gguf", bos="<|endoftext|>", pre="llama-bpe", keys=no_bos)
    expect("what the file says counts more", written(model, "--raw")["prompt_tokens"] == 1, written(model, "--raw"))


def pairs():
    tool = Chain(["Hi", " there", " you"], specials={**SPECIALS, "<tool_call>": USER_DEFINED, "<pad_a>": UNUSED})
    renamed = Chain(["Hi", " there", " you"], specials={**SPECIALS, "<tool_call>": USER_DEFINED, "<pad_b>": UNUSED})
    word = Chain(["Hi", " then", " you"], specials={**SPECIALS, "<tool_call>": USER_DEFINED, "<pad_a>": UNUSED})
    for what, chain, types in [("types differ", tool, {"<tool_call>": CONTROL}),
                               ("names of padding differ", renamed, None)]:
        toy("little.gguf", chain, types=types)
        done = written(toy("big.gguf", tool), "--raw", "--little", "little.gguf", "--guard", "off", "--check")
        right = done["text"].startswith("Hi there you") and done["stats"]["accepted"] == done["stats"]["judged"] > 0
        expect(f"a pair whose {what}", right, done)
    done = run("generate", "--big", "big.gguf", "--little", toy("little.gguf", word), "--raw", "Q")
    expect("another word", done.returncode == 3 and "in the big model" in done.stderr, done.stderr)


# ---- directories ----


def directory(chain=FEW, **options):
    shutil.rmtree("directory", ignore_errors=True)
    chain.write_directory("directory", **options)
    return "directory"


def directories_of_many_ends():
    chain = answer("<stop_c>", "<stop_a>", "<stop_b>", "<|im_end|>")
    a, b, c = (chain.ids[text] for text in ("<stop_a>", "<stop_b>", "<stop_c>"))
    ends("ends of generation_config.json", directory(chain, generation_config={"eos_token_id": [a, b, c]}), "--raw")
    ends("ends of config.json, beside another of tokenizer_config.json",
         directory(chain, config={"eos_token_id": [a, c]}), "--raw")
    ends("an end of config.json, beside others",
         directory(chain, config={"eos_token_id": c}, generation_config={"eos_token_id": [a, b]}), "--raw")
    for value in ("</s>", [a, "x"], {"id": a}):
        refused(f"ends {value}", directory(chain, config={"eos_token_id": value}),
                "the configuration's eos_token_id is no id and no list of ids")


def configurations():
    plain = written(directory(NUMBERS), "--raw")["logprobs"]
    harmless = {
        "architectures": ["Qwen2ForCausalLM"], "torch_dtype": "bfloat16", "attention_dropout": 0.1,
        "initializer_range": 0.02, "max_window_layers": 21, "pretraining_tp": 1, "use_cache": True,
        "_name_or_path": "x", "rope_scaling": None, "attention_bias": True, "layer_types": ["full_attention"] * 2,
        "logits_scaling": 1.0, "pad_token_id": 3, "something_off": False, "something": 0,
    }  # fmt: skip
    with_settings = written(directory(NUMBERS, config=harmless), "--raw")["logprobs"]
    expect("settings that change nothing", with_settings == plain != [], "other logprobs")
    old = {"rope_scaling": {"type": "linear", "factor": 4}}
    scaled = written(directory(NUMBERS, config=old), "--raw")["logprobs"]
    new = {"rope_parameters": {"rope_type": "linear", "factor": 4, "rope_theta": 10000}}
    newer = written(directory(NUMBERS, config=new), "--raw")["logprobs"]
    expect("rotary positions are scaled by old and new settings alike", scaled == newer != plain, (scaled, newer))
    for config, said in [
        ({"rope_scaling": {"factor": 4.0}}, "rotary positions are scaled by a factor without a rope_type"),
        ({"rope_scaling": {"rope_type": "linear", "factor": "4"}}, "factor has type string, expected a number"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 4, "mscale": 2}},
         "mscale of rotary positions is not known here"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4, "beta_fast": 32}}, "scaled by yarn are not supported"),
        ({"rope_scaling": [4]}, "rope_scaling has type array, expected an object"),
        ({"rope_theta": "1e6"}, "rope_theta has type string, expected a number"),
        ({"hidden_size": 128.0}, "hidden_size has type real, expected an integer"),
        ({"hidden_act": 1}, "hidden_act has type integer, expected a string"),
        ({"use_sliding_window": "no"}, "use_sliding_window has type string, expected true or false"),
        ({"partial_rotary_factor": 0.5}, "rotary positions over 16 of 32 dimensions are not supported"),
        ({"layer_types": ["linear_attention", "full_attention"]},
         "layer_types has linear_attention; full_attention and"),
        ({"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is not known here, and may change the numbers"),
        ({"embedding_multiplier": 12}, "embedding_multiplier is not known here"),
        ({"something_new": True},
         "something_new is not known here, and may change the numbers; if it does not, take it out"),
        ({"no_rope_layers": [1, 0]}, "no_rope_layers is not known here"),
        ({"quantization": {"bits": 4}}, "weights that are quantized already .quantization. are not supported"),
    ]:  # fmt: skip
        refused(str(config), directory(config=config), said)
    with_eos = {"type": "TemplateProcessing",
                "single": [{"Sequence": {"id": "A"}}, {"SpecialToken": {"id": "<|im_end|>"}}]}
    for what, options, said in [
        ("texts that end with a token", {"edit": lambda t: t.update(post_processor=with_eos)},
         "texts that end with a token"),
        ("add_eos_token", {"tokenizer_config": {"add_eos_token": True}}, "texts that end with a token"),
        ("dropout", {"edit": lambda t: t["model"].update(dropout=0.1)}, "dropout"),
        ("a suffix", {"edit": lambda t: t["model"].update(end_of_word_suffix="</w>")}, "end_of_word_suffix"),
        ("fewer rows than vocab_size", {"config": {"vocab_size": 300}},
         "vocab_size is 300, but model.embed_tokens.weight has 263 rows"),
    ]:  # fmt: skip
        refused(what, directory(**options), said)


def pieces_that_are_not_merged():
    for whole, n in [(True, 1), (False, 2)]:
        directory(edit=lambda t, whole=whole: t["model"].update(ignore_merges=whole))
        ids = run("tokenize", "--model", "directory", stdin="Hi").stdout.split()
        expect(f"ignore_merges {whole}", len(ids) == n, ids)


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for check in [
            rotary_scaling, other_keys, lists_of_one_value, window_of_all_blocks, rows_for_all_tokens,
            numbers_that_are_no_weights, many_blocks, ends_by_name, ends_by_key, defaults_of_pre_tokenizers,
            pairs, directories_of_many_ends, configurations, pieces_that_are_not_merged,
        ]:
            check()
        os.chdir("/")
    print(f"{n_checks} checks, {len(wrong)} wrong", *wrong, sep="\n  ")
    sys.exit(bool(wrong))


main()
