"""blocks.py -- blocks of a llama or qwen2 out of its GGUF file, forward and backward, by numpy: what balcony.py and
bild.py share. Rows of several texts stand one behind the other; cuts: [(from, to)], where each begins and ends."""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))
from training import gguf, np
from fetch import Failure

VECTORS = ["attn_norm", "ffn_norm"]
MATRICES = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]
BIASES = ["attn_q.bias", "attn_k.bias", "attn_v.bias"]


def full_name(name):
    """Of a tensor in a file: a weight, unless it is a bias."""
    return name if name.endswith(".bias") else f"{name}.weight"


class File:
    """What a model file says, and its numbers as float32."""

    def __init__(self, path):
        try:
            self.reader = gguf.GGUFReader(path)
        except ValueError as e:
            raise Failure(f"{path}: no GGUF file that can be read: {e}") from e
        self.fields = self.reader.fields
        self.tensors = {t.name: t for t in self.reader.tensors}
        self.arch = bytes(self.field("general.architecture")).decode()
        if self.arch not in ("llama", "qwen2") or f"{self.arch}.expert_count" in self.fields:
            raise Failure(f"{path}: this is {self.arch}; blocks of llama and qwen2 without experts alone are trained")
        self.n_blocks = int(self.own("block_count")[0])
        self.n_head, self.n_kv = int(self.own("attention.head_count")[0]), int(self.own("attention.head_count_kv")[0])
        self.eps = float(self.own("attention.layer_norm_rms_epsilon")[0])
        freq = f"{self.arch}.rope.freq_base"
        self.rope_base = float(self.field(freq)[0]) if freq in self.fields else 10000.0
        self.factors = self.numbers("rope_freqs.weight") if "rope_freqs.weight" in self.tensors else 1
        self.head_name = "output.weight" if "output.weight" in self.tensors else "token_embd.weight"
        self.d = int(self.tensors["blk.0.attn_q.weight"].shape[1]) // self.n_head

    def field(self, key):
        field = self.fields[key]
        return field.parts[field.data[0]]

    def own(self, key):
        return self.field(f"{self.arch}.{key}")

    def numbers(self, name, rows=None):
        """rows: those of a matrix, or all."""
        t = self.tensors[name]
        return gguf.quants.dequantize(t.data if rows is None else t.data[rows], t.tensor_type).astype(np.float32)

    def block(self, i):
        names = VECTORS + MATRICES + [n for n in BIASES if f"blk.{i}.{n}" in self.tensors]
        return {name: self.numbers(f"blk.{i}.{full_name(name)}") for name in names}


def norm(x, w, eps):
    r = 1 / np.sqrt(np.mean(x * x, -1, keepdims=True) + eps)
    return x * r * w, r


def norm_back(dy, x, r, w):
    g = dy * w
    return r * g - x * r**3 * np.mean(g * x, -1, keepdims=True), (dy * x * r).sum(0)


class Block:
    """The arithmetic of a file's blocks. Weights {name: array} come in with each call."""

    def __init__(self, file):
        self.f = file

    def rotate(self, x, sign):
        """x [n, heads, d]: element i with i + d/2, or 2i with 2i + 1 (llama)."""
        n, _, d = x.shape
        angle = np.outer(np.arange(n), self.f.rope_base ** (-2.0 * np.arange(d // 2) / d) / self.f.factors)
        cos, sin = np.cos(angle)[:, None].astype("f4"), sign * np.sin(angle)[:, None].astype("f4")
        out = np.empty_like(x)
        at = (slice(0, None, 2), slice(1, None, 2)) if self.f.arch == "llama" else (slice(0, d // 2), slice(d // 2, d))
        a, b = x[..., at[0]], x[..., at[1]]
        out[..., at[0]], out[..., at[1]] = a * cos - b * sin, a * sin + b * cos
        return out

    def attend(self, q, k, v):
        """Of one text; returns the heads' sums, and what the way back needs."""
        n, d, n_kv, group = len(q), self.f.d, self.f.n_kv, self.f.n_head // self.f.n_kv
        q, k = self.rotate(q, 1), self.rotate(k, 1)
        q = q.reshape(n, n_kv, group, d).transpose(1, 2, 0, 3).reshape(n_kv, group * n, d)
        k, v = k.transpose(1, 0, 2), v.transpose(1, 0, 2)
        s = (q @ k.transpose(0, 2, 1) / np.sqrt(d).astype("f4")).reshape(n_kv, group, n, n)
        s[..., np.triu(np.ones((n, n), bool), 1)] = -np.inf
        p = np.exp(s - s.max(-1, keepdims=True))
        p = (p / p.sum(-1, keepdims=True)).reshape(n_kv, group * n, n)
        out = (p @ v).reshape(n_kv, group, n, d).transpose(2, 0, 1, 3)
        return out.reshape(n, -1), (q, k, v, p)

    def attend_back(self, dout, kept):
        q, k, v, p = kept
        n, d, n_kv, group = len(dout), self.f.d, self.f.n_kv, self.f.n_head // self.f.n_kv
        do = dout.reshape(n, n_kv, group, d).transpose(1, 2, 0, 3).reshape(q.shape)
        dp = do @ v.transpose(0, 2, 1)
        ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(d).astype("f4")
        dq = (ds @ k).reshape(n_kv, group, n, d).transpose(2, 0, 1, 3).reshape(n, -1, d)
        dk, dv = ((m.transpose(0, 2, 1) @ y).transpose(1, 0, 2) for m, y in ((ds, q), (p, do)))
        return self.rotate(dq, -1).reshape(n, -1), self.rotate(dk, -1).reshape(n, -1), dv.reshape(n, -1)

    def forward(self, w, x, cuts):
        """The rows behind the block, and what the way back needs."""
        eps, c = self.f.eps, {"x": x}
        c["h"], c["r1"] = norm(x, w["attn_norm"], eps)
        q, k, v = (c["h"] @ w[m].T + w.get(m + ".bias", 0) for m in ("attn_q", "attn_k", "attn_v"))
        parts = [self.attend(*(y[a:b].reshape(b - a, -1, self.f.d) for y in (q, k, v))) for a, b in cuts]
        c["attn"], c["kept"] = np.concatenate([out for out, _ in parts]), [kept for _, kept in parts]
        c["x2"] = x + c["attn"] @ w["attn_output"].T
        c["h2"], c["r2"] = norm(c["x2"], w["ffn_norm"], eps)
        c["gate"], c["up"] = c["h2"] @ w["ffn_gate"].T, c["h2"] @ w["ffn_up"].T
        c["sig"] = 1 / (1 + np.exp(-c["gate"]))
        c["ff"] = c["gate"] * c["sig"] * c["up"]
        return c["x2"] + c["ff"] @ w["ffn_down"].T, c

    def backward(self, w, c, cuts, d):
        """d: by the rows behind the block. By those before it, and {name: by this weight}."""
        g = {"ffn_down": d.T @ c["ff"]}
        dff = d @ w["ffn_down"]
        dup = dff * c["gate"] * c["sig"]
        dgate = dff * c["up"] * c["sig"] * (1 + c["gate"] * (1 - c["sig"]))
        g["ffn_gate"], g["ffn_up"] = dgate.T @ c["h2"], dup.T @ c["h2"]
        dx, g["ffn_norm"] = norm_back(dgate @ w["ffn_gate"] + dup @ w["ffn_up"], c["x2"], c["r2"], w["ffn_norm"])
        d = d + dx
        g["attn_output"], dattn = d.T @ c["attn"], d @ w["attn_output"]
        back = [self.attend_back(dattn[a:b], kept) for (a, b), kept in zip(cuts, c["kept"])]
        dh = 0
        for m, dy in zip(("attn_q", "attn_k", "attn_v"), (np.concatenate(parts) for parts in zip(*back))):
            g[m] = dy.T @ c["h"]
            if m + ".bias" in w:
                g[m + ".bias"] = dy.sum(0)
            dh = dh + dy @ w[m]
        dx, g["attn_norm"] = norm_back(dh, c["x"], c["r1"], w["attn_norm"])
        return d + dx, g


def cuts_of(texts):
    """Of texts that will stand one behind the other."""
    ends = np.cumsum([0, *(len(t) for t in texts)])
    return list(zip(ends, ends[1:]))
