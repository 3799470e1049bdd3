"""gguf_file.py -- a GGUF file taken apart, to be put together again otherwise. Format: ggml's docs/gguf.md."""
import struct

SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
U32, F32, STRING, ARRAY, U64 = 4, 6, 8, 9, 10


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


class Toy:
    """A file taken apart: values {key: (type, bytes)}, tensors {name: [dims, type, offset]}, and the data."""

    def __init__(self, path):
        with open(path, "rb") as f:
            self.bytes = f.read()
        self.at = 4
        self.version, n_tensors, n_values = self.take("<I"), self.take("<Q"), self.take("<Q")
        self.values = {}
        for _ in range(n_values):
            key, kind, start = self.text(), self.take("<I"), 0
            start = self.at
            self.skip(kind)
            self.values[key] = (kind, self.bytes[start : self.at])
        self.tensors = {}
        for _ in range(n_tensors):
            name = self.text()
            dims = [self.take("<Q") for _ in range(self.take("<I"))]
            self.tensors[name] = [dims, self.take("<I"), self.take("<Q")]
        self.data = self.bytes[(self.at + 31) // 32 * 32 :]

    def take(self, form):
        (value,) = struct.unpack_from(form, self.bytes, self.at)
        self.at += struct.calcsize(form)
        return value

    def text(self):
        n = self.take("<Q")
        self.at += n
        return self.bytes[self.at - n : self.at].decode()

    def skip(self, kind):
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            item, n = self.take("<I"), self.take("<Q")
            for _ in range(n):
                self.skip(item)
        else:
            self.at += SIZES[kind]

    def u32(self, key, value):
        self.values[key] = (U32, struct.pack("<I", value))

    def f32(self, key, value):
        self.values[key] = (F32, struct.pack("<f", value))

    def drop(self, key):
        del self.values[key]

    def write(self, path):
        out = b"GGUF" + struct.pack("<IQQ", self.version, len(self.tensors), len(self.values))
        for key, (kind, value) in self.values.items():
            out += string(key) + struct.pack("<I", kind) + value
        for name, (dims, kind, offset) in self.tensors.items():
            out += string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
        with open(path, "wb") as f:
            f.write(out + b"\0" * (-len(out) % 32) + self.data)
