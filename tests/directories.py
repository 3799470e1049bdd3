#!/usr/bin/env python3
"""A directory as transformers keeps models writes the same text as the GGUF file made of it, and its tokenizer.json
gives the ids that the package tokenizers, which transformers uses, and llama.cpp give.

  directories.py PILOTFISH TINY IDS

Directories are made here of GGUF files: toys of each architecture, SmolLM2, Gemma's vocabulary and those of
llama.cpp.
"""
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile

import gguf
import mlx.core as mx
import mlx.utils
import mlx_lm.utils
import numpy as np
import tokenizers

N_TOKENS = 24
TEST_DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "tokenizer")
MODEL_TYPES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "qwen3moe": "qwen3_moe", "gemma3": "gemma3_text"}
BLOCK = {
    "attn_norm": "input_layernorm", "attn_output": "self_attn.o_proj",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    "ffn_gate_inp": "mlp.gate", "ffn_gate_exps": "mlp.experts.{}.gate_proj",
    "ffn_up_exps": "mlp.experts.{}.up_proj", "ffn_down_exps": "mlp.experts.{}.down_proj",
}  # fmt: skip
GEMMA = {"ffn_norm": "pre_feedforward_layernorm", "post_attention_norm": "post_attention_layernorm",
         "post_ffw_norm": "post_feedforward_layernorm"}  # fmt: skip
MIXTRAL = {"ffn_gate_inp": "block_sparse_moe.gate", "ffn_gate_exps": "block_sparse_moe.experts.{}.w1",
           "ffn_up_exps": "block_sparse_moe.experts.{}.w3",
           "ffn_down_exps": "block_sparse_moe.experts.{}.w2"}  # fmt: skip
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS"
         r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
MARKS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}"
         r"| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SPACE = "\u2581"


class Source:
    """A GGUF file. Its keys are read here: the package's reader takes seconds for a vocabulary."""

    FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
    STRING, ARRAY = 8, 9

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            self.bytes = f.read()
        self.at, self.keys, self.types = 16, {}, {}
        for _ in range(self.value(10)):
            key, kind = self.value(self.STRING), self.value(4)
            of_items = int.from_bytes(self.bytes[self.at : self.at + 4], "little") if kind == self.ARRAY else None
            self.types[key] = (kind, of_items)
            self.keys[key] = self.value(kind)
        del self.bytes
        self.arch = self.get("general.architecture")

    def value(self, kind):
        if kind == self.STRING:
            n = self.value(10)
            self.at += n
            return self.bytes[self.at - n : self.at].decode()
        if kind == self.ARRAY:
            item, n = self.value(4), self.value(10)
            return [self.value(item) for _ in range(n)]
        value = struct.unpack_from("<" + self.FORMATS[kind], self.bytes, self.at)[0]
        self.at += struct.calcsize("<" + self.FORMATS[kind])
        return value

    def get(self, key, fallback=None):
        return self.keys.get(key, fallback)

    def own(self, key, fallback=None):
        return self.get(f"{self.arch}.{key}", fallback)

    def tensors(self):
        return gguf.GGUFReader(self.path).tensors


# ---- tokenizer.json ----


def split(expression):
    return {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}


def pre_tokenizer(pre):
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    # And more, that no string here has.
    letters = r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿ]+"
    signs = r"\s?[!-/:-~！-／：-～‘-‟　-。]+"
    digits = {"type": "Digits", "individual_digits": True}
    han = "[一-龥ࠀ-一가-퟿]+"
    steps = {
        "gpt-2": [], "smollm": [digits], "starcoder": [digits], "refact": [digits], "command-r": [digits],
        "qwen2": [split(WORDS.replace("DIGITS", ""))], "llama-bpe": [split(WORDS.replace("DIGITS", "{1,3}"))],
        "qwen35": [split(MARKS)],
        "deepseek-coder": [split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(han), digits],
        "deepseek-llm": [split("[\r\n]"), split(letters), split(signs), split(r"\s+$"), split(han), digits],
    }[pre]  # fmt: skip
    level["use_regex"] = pre not in ("qwen2", "llama-bpe", "qwen35", "deepseek-coder", "deepseek-llm")
    return {"type": "Sequence", "pretokenizers": [*steps, level]} if steps else level


def merges_of_scores(tokens, types, scores):
    """As transformers finds them: every pair of tokens that is a token, the best score first."""
    rank = {text: i for i, (text, kind) in enumerate(zip(tokens, types)) if kind in (1, 4)}
    merges = []
    for text, id_ in rank.items():
        pairs = [(text[:i], text[i:]) for i in range(1, len(text)) if text[:i] in rank and text[i:] in rank]
        merges += [(-scores[id_], rank[left], rank[right], left, right) for left, right in pairs]
    return [list(merge[3:]) for merge in sorted(merges)]


def tokenizer_json(source, add_bos, merges_in_pairs):
    key = "tokenizer.ggml."
    tokens, types = source.get(key + "tokens"), source.get(key + "token_type")
    added = [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": kind != 4}
             for i, (text, kind) in enumerate(zip(tokens, types)) if kind in (2, 3, 4) and text]
    piece = source.get(key + "model") == "llama"
    in_added = {token["content"] for token in added}
    vocab = {text: i for i, (text, kind) in enumerate(zip(tokens, types))
             if kind != 5 and (piece or text not in in_added)}
    if piece:
        merges = merges_of_scores(tokens, types, source.get(key + "scores"))
    else:
        merges = [m.split(" ") for m in source.get(key + "merges")]
    model = {"type": "BPE", "dropout": None,
             "unk_token": tokens[source.get(key + "unknown_token_id", 0)] if piece else None,
             "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": piece, "byte_fallback": piece,
             "ignore_merges": source.get(key + "pre") == "llama-bpe", "vocab": vocab,
             "merges": merges if merges_in_pairs else [" ".join(merge) for merge in merges]}  # fmt: skip
    spaces = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    prefix = [{"type": "Prepend", "prepend": SPACE}] if source.get(key + "add_space_prefix", True) else []
    out = {"version": "1.0", "added_tokens": added, "model": model, "post_processor": None}
    out["normalizer"] = {"type": "Sequence", "normalizers": [*prefix, spaces]} if piece else None
    out["pre_tokenizer"] = None if piece else pre_tokenizer(source.get(key + "pre"))
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
    out["decoder"] = None if piece else level
    if add_bos:
        bos = tokens[source.get(key + "bos_token_id")]
        out["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": bos, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {bos: {"id": bos, "ids": [source.get(key + "bos_token_id")], "tokens": [bos]}},
        }  # fmt: skip
    return out


# ---- config.json, tensors ----


def config_json(source, kind, names):
    heads = source.own("attention.head_count")
    out = {
        "model_type": kind, "num_hidden_layers": source.own("block_count"),
        "hidden_size": source.own("embedding_length"), "intermediate_size": source.own("feed_forward_length"),
        "num_attention_heads": heads, "num_key_value_heads": source.own("attention.head_count_kv", heads),
        "max_position_embeddings": source.own("context_length"),
        "rms_norm_eps": float(f"{source.own('attention.layer_norm_rms_epsilon'):.6g}"),
        "rope_theta": source.own("rope.freq_base"),
        "head_dim": source.own("attention.key_length", source.own("embedding_length") // heads),
        "vocab_size": len(source.get("tokenizer.ggml.tokens")),
        "eos_token_id": [source.get("tokenizer.ggml.eos_token_id")],
        "bos_token_id": source.get("tokenizer.ggml.bos_token_id"), "hidden_act": "silu", "sliding_window": None,
        "tie_word_embeddings": "output.weight" not in names,
    }  # fmt: skip
    if kind == "gemma3_text":
        window, pattern = source.own("attention.sliding_window"), source.own("attention.sliding_window_pattern")
        full = [(i + 1) % pattern == 0 for i in range(out["num_hidden_layers"])]
        out |= {"sliding_window": window, "hidden_activation": "gelu_pytorch_tanh", "rope_local_base_freq": 10000,
                "_sliding_window_pattern": pattern, "sliding_window_pattern": pattern,
                "layer_types": ["full_attention" if f else "sliding_attention" for f in full],
                "query_pre_attn_scalar": out["head_dim"]}  # fmt: skip
    if source.own("expert_count"):
        out |= {"num_local_experts" if kind == "mixtral" else "num_experts": source.own("expert_count"),
                "num_experts_per_tok": source.own("expert_used_count"), "norm_topk_prob": True,
                "decoder_sparse_step": 1, "mlp_only_layers": [],
                "moe_intermediate_size": source.own("expert_feed_forward_length")}  # fmt: skip
    if "rope_freqs.weight" in names:
        out["rope_scaling"] = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                               "original_max_position_embeddings": 64}  # fmt: skip
    return out


def llama3_factors(config):
    d, scaling = config["head_dim"], config["rope_scaling"]
    waves = 2 * np.pi * config["rope_theta"] ** (np.arange(0, d, 2, dtype=np.float64) / d)
    before, factor = scaling["original_max_position_embeddings"], scaling["factor"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    smooth = np.clip((before / waves - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def rounded(x, dtype):
    """As the dtype has it, and the bytes of that."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    if dtype == "F16":
        return x.astype("<f2").astype(np.float32), x.astype("<f2").tobytes()
    bits = x.view(np.uint32)
    high = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype("<u2")
    return (high.astype(np.uint32) << 16).view(np.float32), high.tobytes()


def halves(x, n_head):
    """The rows of q or k of llama as they are there: the pairs of a GGUF file are the two halves of a head."""
    d = len(x) // n_head
    return x.reshape(n_head, d // 2, 2, -1).swapaxes(1, 2).reshape(x.shape)


def their_name(name, kind, experts):
    if not name.startswith("blk."):
        return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
                "output.weight": "lm_head.weight"}[name]
    _, block, part, ending = name.split(".")
    names = {**BLOCK, **(GEMMA if kind == "gemma3_text" else {}), **(MIXTRAL if kind == "mixtral" else {})}
    return [f"model.layers.{block}.{names[part].format(i)}.{ending}" for i in range(experts)] if "_exps" in part else \
        f"model.layers.{block}.{names[part]}.{ending}"  # fmt: skip


def safetensors(path, tensors, dtype):
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as out:
        out.write(len(text).to_bytes(8, "little") + text)
        for _, data in tensors.values():
            out.write(data)


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as out:
        out.write(json.dumps(value, ensure_ascii=False))


def write_tokenizer(folder, source, merges_in_pairs=False):
    """Returns what a text begins with."""
    add_bos = bool(source.get("tokenizer.ggml.add_bos_token", source.get("tokenizer.ggml.model") == "llama"))
    write_json(os.path.join(folder, "tokenizer.json"), tokenizer_json(source, add_bos, merges_in_pairs))
    tokens, eos = source.get("tokenizer.ggml.tokens"), source.get("tokenizer.ggml.eos_token_id")
    # Both spellings are in use.
    config = {"eos_token": {"__type": "AddedToken", "content": tokens[eos]} if merges_in_pairs else tokens[eos]}
    if source.get("tokenizer.chat_template"):
        config["chat_template"] = source.get("tokenizer.chat_template")
    write_json(os.path.join(folder, "tokenizer_config.json"), config)
    return [source.get("tokenizer.ggml.bos_token_id")] if add_bos else []


def write_both(source, kind, dtype, folder, file, n_shards):
    """The directory, and the GGUF file that a converter would make of it."""
    os.makedirs(folder)
    tensors = source.tensors()
    config = config_json(source, kind, {t.name for t in tensors})
    write_json(os.path.join(folder, "config.json"), config)
    write_tokenizer(folder, source)
    writer = gguf.GGUFWriter(file, source.arch)
    for name, value in source.keys.items():
        if name != "general.architecture":
            of, of_items = source.types[name]
            items = None if of_items is None else gguf.GGUFValueType(of_items)
            writer.add_key_value(name, value, gguf.GGUFValueType(of), items)
    type_, theirs = gguf.GGMLQuantizationType[dtype], {}
    for t in tensors:
        x = gguf.quants.dequantize(t.data, t.tensor_type).reshape([int(n) for n in t.shape[::-1]])
        if t.name == "rope_freqs.weight":
            writer.add_tensor(t.name, llama3_factors(config))
            continue
        is_gemma_norm = kind == "gemma3_text" and t.name.endswith("norm.weight")
        x, data = rounded(x - 1 if is_gemma_norm else x, dtype)
        own = np.frombuffer(data, dtype=np.uint8).reshape(*x.shape[:-1], -1)
        if x.ndim == 1 or "ffn_gate_inp" in t.name:  # as converters keep them
            writer.add_tensor(t.name, x + np.float32(1) if is_gemma_norm else x)
        elif dtype == "F16":
            writer.add_tensor(t.name, own.view(np.float16), raw_dtype=type_)
        else:
            writer.add_tensor(t.name, own, raw_shape=own.shape, raw_dtype=type_)
        if source.arch == "llama" and (".attn_q." in t.name or ".attn_k." in t.name):
            own = halves(own, config["num_attention_heads" if ".attn_q." in t.name else "num_key_value_heads"])
        names = their_name(t.name, kind, config.get("num_experts", config.get("num_local_experts", 0)))
        if isinstance(names, list):
            theirs |= {name: (x.shape[1:], own[i].tobytes()) for i, name in enumerate(names)}
        else:
            theirs[names] = (x.shape, own.tobytes())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    names = list(theirs)
    for i in range(n_shards):
        file = "model.safetensors" if n_shards == 1 else f"model-{i + 1:05}-of-{n_shards:05}.safetensors"
        safetensors(os.path.join(folder, file), {name: theirs[name] for name in names[i::n_shards]}, dtype)


# ---- comparing ----


def run(command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **more).stdout


def written(pilotfish, model, prompts, *options):
    command = [pilotfish, "generate", "--big", model, "--prompts", prompts, "--raw", "--ignore-eos", "-o", "jsonl",
               "-n", str(N_TOKENS), *options]
    rows = [json.loads(line) for line in run(command, stderr=subprocess.DEVNULL).splitlines()]
    return [(row["prompt_ids"], row["ids"], row["text"]) for row in rows]


def peer_writes(rows):
    """The greedy ids of mlx-lm, which reads the directory itself, in F32. It reads each text at once, and what it would
    write at each place shows whether the text is its own."""
    model, _ = mlx_lm.utils.load_model(pathlib.Path("directory"))
    model.update(mlx.utils.tree_map(lambda x: x.astype(mx.float32), model.parameters()))
    return [mx.argmax(model(mx.array([prompt + ids]))[0, len(prompt) - 1 : -1], axis=-1).tolist()
            for prompt, ids, _ in rows]


def check_model(pilotfish, source, kind, dtype, what, n_shards=1, with_peer=True):
    write_both(source, kind, dtype, "directory", "file.gguf", n_shards)
    prompts = ["Once upon a time", "The little girl was very happy", "She said that they would play",
               "123 <|im_end|> é\n\n x"]
    with open("prompts.jsonl", "w", encoding="utf-8") as out:
        for text in prompts:
            print(json.dumps({"prompt": text}), file=out)
    own, theirs = (written(pilotfish, model, "prompts.jsonl", "--no-draft") for model in ("file.gguf", "directory"))
    drafted = written(pilotfish, "directory", "prompts.jsonl", "--little", "file.gguf")
    shared = written(pilotfish, "directory", "prompts.jsonl", "--no-draft", "--tp", "3", "--pp", "2")
    facts = [json.loads(run([pilotfish, "inspect", model, "-o", "json"])) for model in ("file.gguf", "directory")]
    same = [facts[0][key] == facts[1][key]
            for key in ("architecture", "shape", "parameters", "tokenizer", "template", "runs")]
    peer = peer_writes(own) if with_peer else []
    right = len({text for *_, text in own}) == len(own) and own == theirs == drafted == shared and all(same)
    right = right and (not with_peer or peer == [ids for _, ids, _ in own])
    print(f"{what}, {dtype}: {sum(a == b for a, b in zip(own, theirs))} of {len(own)} texts are the same", end="")
    print(f", and of mlx-lm {sum(ids == own[i][1] for i, ids in enumerate(peer))}" if with_peer else "")
    if not right:
        print(*peer, *own, *theirs, *drafted, *shared, *facts, same, sep="\n  ")
    subprocess.run(["rm", "-rf", "directory", "file.gguf"], check=True)
    return right


def strings(name):
    with open(os.path.join(TEST_DATA, name + ".inp"), encoding="utf-8", newline="") as f:
        return f.read().split("\n__ggml_vocab_test__\n")[:-1]  # the last one is empty and has no line


def write_vocabulary(source, merges_in_pairs):
    """A directory with almost no weights. Returns what a text begins with, and the package's tokenizer."""
    os.makedirs("directory")
    bos = write_tokenizer("directory", source, merges_in_pairs)
    n_vocab = len(source.get("tokenizer.ggml.tokens"))
    write_json("directory/config.json", {
        "model_type": "llama", "num_hidden_layers": 1, "hidden_size": 64, "intermediate_size": 64,
        "num_attention_heads": 1, "max_position_embeddings": 64, "vocab_size": n_vocab})  # fmt: skip
    safetensors("directory/model.safetensors", {"model.norm.weight": ([64], bytes(128))}, "BF16")
    return bos, tokenizers.Tokenizer.from_file("directory/tokenizer.json")


def tokenized(pilotfish, text):
    return [int(i) for i in run([pilotfish, "tokenize", "--model", "directory"], input=text.encode()).split()]


def check_vocabulary(pilotfish, ids_of, vocabularies, name, inp):
    """llama.cpp's strings, without BOS and special tokens, and a text with both."""
    source = Source(os.path.join(vocabularies, f"ggml-vocab-{name}.gguf"))
    bos, reference = write_vocabulary(source, merges_in_pairs=name == "qwen2")
    with open(os.path.join(TEST_DATA, name + ".out"), encoding="utf-8") as f:
        expected = [[int(i) for i in line.split()] for line in f]
    texts = strings(inp)
    said = run([ids_of, "directory"], input="".join(text + "\0" for text in texts).encode())
    n_own = sum([int(i) for i in line.split()] == ids for line, ids in zip(said.splitlines(), expected, strict=True))
    n_theirs = sum(reference.encode(text, add_special_tokens=False).ids == ids
                   for text, ids in zip(texts, expected, strict=True))
    text = "Hello world" + source.get("tokenizer.ggml.tokens")[source.get("tokenizer.ggml.eos_token_id")]
    begun = tokenized(pilotfish, text)
    same = begun == reference.encode(text).ids and begun[: len(bos)] == bos
    print(f"{name}: {n_own} of {len(texts)} strings have llama.cpp's ids, and of the package tokenizers {n_theirs}")
    subprocess.run(["rm", "-r", "directory"], check=True)
    return n_own == n_theirs == len(texts) and same


def check_gemma(pilotfish, models):
    """262144 tokens, and the prompts of its golden file."""
    name = "gemma-3-270m-q4_k_m"
    _, reference = write_vocabulary(Source(os.path.join(models, name + ".gguf")), merges_in_pairs=True)
    with open(os.path.join(TEST_DATA, "..", "..", "golden", name + ".jsonl"), encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    n_own = sum(tokenized(pilotfish, row["text"]) == row["prompt_ids"] for row in rows)
    n_theirs = sum(reference.encode(row["text"]).ids == row["prompt_ids"] for row in rows)
    print(f"gemma: {n_own} of {len(rows)} prompts have llama.cpp's ids, and of the package tokenizers {n_theirs}")
    subprocess.run(["rm", "-r", "directory"], check=True)
    return n_own == n_theirs == len(rows)


def edited(name, **changes):
    with open(os.path.join("directory", name), encoding="utf-8") as f:
        value = json.load(f)
    for key, change in changes.items():
        value[key] = value[key] | change if isinstance(change, dict) and isinstance(value.get(key), dict) else change
        if change is None:
            del value[key]
    write_json(os.path.join("directory", name), value)


def weights_of(**tensors):
    """Another file of them."""
    more = {name: ([len(data) // 2], data) for name, data in tensors.items()}
    safetensors("directory/model-more.safetensors", more, "BF16")


def unaligned():
    """The same weights one byte further on."""
    with open("directory/model.safetensors", "r+b") as f:
        data = f.read()
        n = int.from_bytes(data[:8], "little")
        f.seek(0)
        f.write((n + 1).to_bytes(8, "little") + data[8 : 8 + n] + b" " + data[8 + n :])


def overwritten(name, text):
    with open(os.path.join("directory", name), "r+b") as out:
        out.write(text)


def check_errors(pilotfish, source):
    """One line, of the file that is wrong, and exit status 3."""
    cut = "directory/model.safetensors"
    rows = [
        (lambda: os.remove("directory/config.json"),
         "directory: a directory without config.json; give a GGUF file, or a directory of a model"),
        (lambda: overwritten("config.json", b"{,"), "directory/config.json:1: string or '}' expected near ','"),
        (lambda: edited("config.json", model_type="phi3"),
         "config.json: model_type phi3 is not supported; llama mistral mixtral qwen2"),
        (lambda: edited("config.json", vocab_size=None), "config.json: no vocab_size"),
        (lambda: edited("config.json", hidden_size=-1), "config.json: hidden_size is not a number from 1 to"),
        (lambda: edited("config.json", hidden_act="gelu"), "config.json: activation gelu is not supported; silu is"),
        (lambda: edited("config.json", quantization_config={"bits": 4}),
         "config.json: weights that are quantized already"),
        (lambda: edited("config.json", rope_scaling={"rope_type": "yarn"}),
         "rotary positions scaled by yarn are not supported; linear is"),
        (lambda: edited("config.json", tie_word_embeddings=False),
         "no tensor lm_head.weight, though tie_word_embeddings is false"),
        (lambda: edited("config.json", num_attention_heads=6), "attn_q.weight is [1, 72, 72], expected [1, 48, 72]"),
        (lambda: os.remove("directory/tokenizer.json"), "directory/tokenizer.json: there is no such file"),
        (lambda: edited("tokenizer.json", model={"type": "Unigram"}),
         "tokenizer.json: a tokenizer of type Unigram is not supported; BPE is"),
        (lambda: edited("tokenizer.json", model={"merges": ["ab"]}), "tokenizer.json: merge 0 is not two tokens"),
        (lambda: edited("tokenizer.json", pre_tokenizer={"type": "Split", "pattern": {"String": "x"},
                                                  "behavior": "Isolated", "pretokenizers": 0}),
         "tokenizer.json: its pre-tokenizer, x, is not supported (known: those of qwen2"),
        (lambda: edited("tokenizer.json", pre_tokenizer={"type": "Split", "pattern": {"String": "x"},
                                                  "behavior": "Removed", "pretokenizers": 0}),
         "tokenizer.json: its pre-tokenizer, Split that does not isolate, is not supported"),
        (lambda: edited("tokenizer.json",
                        pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "pretokenizers": 0}),
         "tokenizer.json: its pre-tokenizer, ByteLevel that adds a space, is not supported"),
        (lambda: edited("tokenizer.json", model={"byte_fallback": True}),
         "tokenizer.json: its pre-tokenizer, Split, is not supported with byte_fallback"),
        (unaligned, "does not lie where its numbers can be read; the file is damaged: fetch it again"),
        (lambda: edited("tokenizer.json", normalizer={"type": "Lowercase"}),
         "tokenizer.json: its normalizer, Lowercase, is not supported"),
        (lambda: os.remove(cut), "directory: no model*.safetensors there"),
        (lambda: os.rename(cut, "directory/model-00001-of-00002.safetensors"),
         "directory: 1 files of weights where model-00001-of-00002.safetensors says 2; fetch the model again"),
        (lambda: os.truncate(cut, 100), "model.safetensors: the file ends inside its header"),
        (lambda: os.truncate(cut, os.path.getsize(cut) - 2),
         "lies outside the file; the file is damaged: fetch it again"),
        (lambda: weights_of(**{"model.norm.weight": bytes(144)}),
         "directory: tensor 'model.norm.weight' is there twice"),
        (lambda: weights_of(**{"vision.weight": bytes(2)}),
         "directory: tensor vision.weight has no place in the architecture qwen2"),
        (lambda: os.truncate("directory/tokenizer_config.json", 0),
         "tokenizer_config.json: the file is empty; fetch it again"),
    ]  # fmt: skip
    wrong = []
    for change, expected in rows:
        write_both(source, "qwen2", "BF16", "directory", "file.gguf", 1)
        change()
        command = [pilotfish, "generate", "--big", "directory", "--no-draft", "-p", "Once", "-n", "1"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 3 or expected not in done.stderr or done.stdout or done.stderr.count("\n") != 1:
            wrong.append((expected, done.returncode, done.stdout, done.stderr))
        subprocess.run(["rm", "-rf", "directory", "file.gguf"], check=True)
    print(f"errors: {len(rows) - len(wrong)} of {len(rows)} are as they should be", *wrong, sep="\n  ")
    return not wrong


def main():
    pilotfish, tiny, ids_of = (os.path.realpath(path) for path in sys.argv[1:4])
    models = os.path.realpath(os.environ.get("PILOTFISH_MODELS", "models"))
    vocabularies = os.path.join(os.path.realpath(os.environ.get("PILOTFISH_DATA", "data")), "tokenizers")
    # Of Gemma mlx-lm rounds the root of the embedding's length to BF16: 64 has one that stays.
    toys = [("qwen2", "qwen2"), ("qwen3", "qwen3", "--head-size", "16"), ("llama", "llama"),
            ("llama", "llama", "--rope-factors", "--tied"), ("llama", "mistral"),
            ("gemma3", "gemma3_text", "--head-size", "16", "--embd", "64"),
            ("llama", "mixtral", "--experts", "4", "--used", "2"),
            ("qwen3moe", "qwen3_moe", "--head-size", "16", "--experts", "6", "--used", "2")]  # fmt: skip
    right = []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for i, (arch, kind, *options) in enumerate(toys):
            run([tiny, "toy.gguf", "--arch", arch, *options])
            right.append(check_model(pilotfish, Source("toy.gguf"), kind, ("BF16", "F16")[i % 2], kind, 1 + i % 3))
        run([tiny, "toy.gguf", "--tied"])
        right.append(check_errors(pilotfish, Source("toy.gguf")))
        real = Source(os.path.join(models, "SmolLM2-135M-Instruct.Q4_1.gguf"))
        right.append(check_model(pilotfish, real, "llama", "BF16", "SmolLM2", 2, with_peer=False))
        for name in ("gpt-2", "qwen2", "llama-bpe", "llama-spm", "phi-3", "command-r", "deepseek-coder",
                     "deepseek-llm"):
            right.append(check_vocabulary(pilotfish, ids_of, vocabularies, name, "all"))
        right.append(check_vocabulary(pilotfish, ids_of, vocabularies, "qwen35", "qwen35"))
        right.append(check_gemma(pilotfish, models))
        os.chdir("/")
    sys.exit(not all(right))


main()
