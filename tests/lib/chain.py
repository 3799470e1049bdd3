"""chain.py -- toy models that say a fixed chain of pieces, as GGUF files and as directories: the right answer is known.

    chain = Chain([" a", "b", ("<|im_end|>",)])        # a tuple names a special token by its text
    chain.write_gguf("toy.gguf", eos="<|im_end|>", template=CHATML)
    chain.write_directory("toy", tokenizer_config={"eos_token": "<|im_end|>"})

Every token that is no piece is followed by the first piece, and the last piece by the first again. The vocabulary: 256
bytes, "zq", the special tokens, the pieces. Packages: numpy, gguf.
"""
import json
import os
import struct

import gguf
import numpy as np

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
CHATML = (
    "{% for message in messages %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIALS = {"<|endoftext|>": CONTROL, "<|im_start|>": CONTROL, "<|im_end|>": CONTROL}
QWEN2_WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
N_EMBD, N_HEAD, N_HEAD_KV, N_FF, N_CTX = 128, 4, 2, 128, 512


def byte_letters():
    """Byte-level BPE writes each byte as a printable character (GPT-2)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in printable}
    for n, b in enumerate(b for b in range(256) if b not in letters):
        letters[b] = chr(256 + n)
    return letters


LETTERS = byte_letters()


def token_text(piece):
    return "".join(LETTERS[b] for b in (piece if isinstance(piece, bytes) else piece.encode()))


class Chain:
    """`specials`: {text: token type}. `numbers`: the blocks' weights are drawn, else they are zero and only the chain
    speaks."""

    def __init__(self, pieces, specials=SPECIALS, blocks=1, scale=0.1, numbers=False, seed=1):
        rng = np.random.default_rng(seed)
        self.blocks = blocks
        self.tokens = [LETTERS[b] for b in range(256)] + ["zq"]
        self.types = [NORMAL] * len(self.tokens)
        self.ids = {}
        for text, kind in specials.items():
            self.ids[text] = len(self.tokens)
            self.tokens.append(text)
            self.types.append(kind)
        self.chain = []
        for piece in pieces:
            if isinstance(piece, tuple):
                self.chain.append(self.ids[piece[0]])
                continue
            self.chain.append(len(self.tokens))
            self.tokens.append(token_text(piece))
            self.types.append(NORMAL)
        self.specials = specials
        self.tensors = self._tensors(rng, scale, numbers)

    def _tensors(self, rng, scale, numbers):
        n_vocab, d_head = len(self.tokens), N_EMBD // N_HEAD
        other = rng.choice([-1.0, 1.0], N_EMBD)
        embd, head = np.tile(other, (n_vocab, 1)), np.zeros((n_vocab, N_EMBD))
        for piece in self.chain:
            embd[piece] = rng.choice([-1.0, 1.0], N_EMBD)
        head[self.chain[0]] += other
        for piece, behind in zip(self.chain, self.chain[1:] + self.chain[:1]):
            head[behind] += embd[piece]
        shapes = {
            "attn_q": (N_HEAD * d_head, N_EMBD), "attn_k": (N_HEAD_KV * d_head, N_EMBD),
            "attn_v": (N_HEAD_KV * d_head, N_EMBD), "attn_output": (N_EMBD, N_HEAD * d_head),
            "ffn_gate": (N_FF, N_EMBD), "ffn_up": (N_FF, N_EMBD), "ffn_down": (N_EMBD, N_FF),
        }  # fmt: skip
        tensors = {"token_embd.weight": embd, "output_norm.weight": np.ones(N_EMBD), "output.weight": head * scale}
        for i in range(self.blocks):
            tensors[f"blk.{i}.attn_norm.weight"] = tensors[f"blk.{i}.ffn_norm.weight"] = np.ones(N_EMBD)
            for name, shape in shapes.items():
                tensors[f"blk.{i}.{name}.weight"] = rng.standard_normal(shape) * 0.05 if numbers else np.zeros(shape)
        return {name: values.astype(np.float32) for name, values in tensors.items()}

    def write_gguf(self, path, arch="llama", eos="<|im_end|>", bos=None, pre="default", template=None, types=None,
                   keys=None, edit=None):
        """types: {text of a special token: another type}. keys: {key: (gguf's name of a type, value)}, "{arch}" in a
        key is replaced. edit(writer): last word on the writer before it writes."""
        w = gguf.GGUFWriter(path, arch)
        w.add_name("chain")
        w.add_context_length(N_CTX)
        w.add_embedding_length(N_EMBD)
        w.add_block_count(self.blocks)
        w.add_feed_forward_length(N_FF)
        w.add_head_count(N_HEAD)
        w.add_head_count_kv(N_HEAD_KV)
        w.add_layer_norm_rms_eps(1e-6)
        w.add_tokenizer_model("gpt2")
        w.add_tokenizer_pre(pre)
        token_types = list(self.types)
        for text, kind in (types or {}).items():
            token_types[self.ids[text]] = kind
        w.add_token_list(self.tokens)
        w.add_token_types(token_types)
        w.add_token_merges(["z q"])
        if eos:
            w.add_eos_token_id(self.ids[eos])
        if bos:
            w.add_bos_token_id(self.ids[bos])
        if template:
            w.add_chat_template(template)
        for key, (kind, value) in (keys or {}).items():
            getattr(w, "add_" + kind)(key.replace("{arch}", arch), value)
        if edit:
            edit(w)
        for name, values in self.tensors.items():
            w.add_tensor(name, values)
        w.write_header_to_file()
        w.write_kv_data_to_file()
        w.write_tensors_to_file()
        w.close()

    def write_directory(self, path, model_type="qwen2", config=None, tokenizer_config=None, generation_config=None,
                        added=None, edit=None):
        """config, tokenizer_config: keys that replace or join those written. added: {text of a special token: its
        other flags}. edit(tokenizer): last word on tokenizer.json."""
        os.makedirs(path, exist_ok=True)

        def put(name, value):
            with open(os.path.join(path, name), "w", encoding="utf-8") as f:
                json.dump(value, f)

        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        added_tokens = [{"id": self.ids[t], "content": t, **flags, **(added or {}).get(t, {})} for t in self.specials]
        split = {"type": "Split", "pattern": {"Regex": QWEN2_WORDS}, "behavior": "Isolated", "invert": False}
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        vocab = {text: i for i, text in enumerate(self.tokens) if text not in self.specials}
        tokenizer = {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens,
            "normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, level]},
            "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                      "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "vocab": vocab,
                      "merges": [["z", "q"]]},
        }  # fmt: skip
        if edit:
            edit(tokenizer)
        put("tokenizer.json", tokenizer)
        put("tokenizer_config.json", {"eos_token": "<|im_end|>", **(tokenizer_config or {})})
        if generation_config is not None:
            put("generation_config.json", generation_config)
        put("config.json", {
            "model_type": model_type, "hidden_size": N_EMBD, "num_attention_heads": N_HEAD,
            "num_key_value_heads": N_HEAD_KV, "num_hidden_layers": self.blocks, "intermediate_size": N_FF,
            "vocab_size": len(self.tokens), "rms_norm_eps": 1e-6, "max_position_embeddings": N_CTX,
            "rope_theta": 10000.0, "tie_word_embeddings": False, "hidden_act": "silu",
            "use_sliding_window": False, **(config or {}),
        })  # fmt: skip
        tensors = {directory_name(n): v for n, v in self.tensors.items()}
        write_safetensors(os.path.join(path, "model.safetensors"), tensors)


BLOCK_NAMES = {
    "attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}  # fmt: skip
WHOLE_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}


def directory_name(name):
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{BLOCK_NAMES[parts[2]]}.weight"
    return WHOLE_NAMES[parts[0]] + ".weight"


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [at, at + values.nbytes]}
        at += values.nbytes
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for values in tensors.values():
            f.write(np.ascontiguousarray(values).tobytes())
