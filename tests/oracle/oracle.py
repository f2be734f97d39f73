#!/usr/bin/env python3
"""Decides what is in a model file, without the product: oracle.py FOLDER SAMPLE.onnx…

Reads every FOLDER/SAMPLE.onnx with a protobuf reader of its own (read_onnx.py), takes out every tensor, writes the same tensors into FOLDER in every
other form (safetensors, sharded/*.safetensors.index.json, GGUF 2 and 3, external/*.onnx, every-type.onnx, every-type.gguf), and last
FOLDER/expected.json: per file, in any order, each tensor's name, dtype, shape (outermost first), size and SHA-256 of its bytes.
oracle.py --corpus FOLDER writes small files of every format for the fuzzers instead. Standard library only; shares no line with the
product.
"""
import hashlib
import json
import os
import struct
import sys

from read_onnx import ONNX_TYPES, Tensor, read_onnx

SAFETENSORS_TYPES = {"bool": "BOOL", "u8": "U8", "i8": "I8", "u16": "U16", "i16": "I16", "u32": "U32", "i32": "I32", "u64": "U64",
                     "i64": "I64", "f16": "F16", "bf16": "BF16", "f32": "F32", "f64": "F64"}
# ggml_type: (name, elements in a block, bytes in a block). The bytes are sums of the block's parts, as ggml-common.h lists them.
GGML_TYPES = {
    0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 2 + 16), 3: ("q4_1", 32, 2 + 2 + 16), 6: ("q5_0", 32, 2 + 4 + 16),
    7: ("q5_1", 32, 2 + 2 + 4 + 16), 8: ("q8_0", 32, 2 + 32), 9: ("q8_1", 32, 2 + 2 + 32), 10: ("q2_k", 256, 16 + 64 + 2 + 2),
    11: ("q3_k", 256, 32 + 64 + 12 + 2), 12: ("q4_k", 256, 2 + 2 + 12 + 128), 13: ("q5_k", 256, 2 + 2 + 12 + 32 + 128),
    14: ("q6_k", 256, 128 + 64 + 16 + 2), 15: ("q8_k", 256, 4 + 256 + 32), 16: ("iq2_xxs", 256, 2 + 64), 17: ("iq2_xs", 256, 2 + 64 + 8),
    18: ("iq3_xxs", 256, 2 + 96), 19: ("iq1_s", 256, 2 + 32 + 16), 20: ("iq4_nl", 32, 2 + 16), 21: ("iq3_s", 256, 2 + 64 + 8 + 32 + 4),
    22: ("iq2_s", 256, 2 + 64 + 8 + 8), 23: ("iq4_xs", 256, 2 + 2 + 4 + 128), 24: ("i8", 1, 1), 25: ("i16", 1, 2), 26: ("i32", 1, 4),
    27: ("i64", 1, 8), 28: ("f64", 1, 8), 29: ("iq1_m", 256, 32 + 16 + 8), 30: ("bf16", 1, 2), 34: ("tq1_0", 256, 48 + 4 + 2),
    35: ("tq2_0", 256, 64 + 2), 39: ("mxfp4", 32, 1 + 16), 40: ("nvfp4", 64, 4 + 32),
}


# --- safetensors ------------------------------------------------------------------------------------------------------------------------
def safetensors_bytes(tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for tensor in tensors:
        header[tensor.name] = {"dtype": SAFETENSORS_TYPES[tensor.dtype], "shape": list(tensor.shape),
                               "data_offsets": [offset, offset + len(tensor.data)]}
        offset += len(tensor.data)
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + b"".join(tensor.data for tensor in tensors)


# --- GGUF -------------------------------------------------------------------------------------------------------------------------------
def gguf_text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_bytes(version, alignment, tensors, tied=()):
    """tensors: (name, ggml_type, shape outermost first, data); tied: (name, index of the tensor whose bytes it shares)."""
    pairs = [gguf_text("general.architecture") + struct.pack("<I", 8) + gguf_text("samples"),
             gguf_text("general.alignment") + struct.pack("<II", 4, alignment),
             gguf_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + gguf_text("a") + gguf_text("") + gguf_text("ß"),
             gguf_text("some.scores") + struct.pack("<IIQ3f", 9, 6, 3, 1.0, 0.5, -2.0), gguf_text("some.bool") + struct.pack("<IB", 7, 1),
             gguf_text("some.f64") + struct.pack("<Id", 12, 0.25), gguf_text("some.i64") + struct.pack("<Iq", 11, -3)]
    body, infos, placed = b"", b"", []
    for name, kind, shape, data in tensors:
        body += b"\xee" * (-len(body) % alignment)
        placed.append((kind, shape, len(body)))
        infos += gguf_info(name, kind, shape, len(body))
        body += data
    for name, index in tied:
        infos += gguf_info(name, *placed[index])
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors) + len(tied), len(pairs)) + b"".join(pairs) + infos
    return head + b"\xee" * (-len(head) % alignment) + body


def gguf_info(name, kind, shape, offset):
    return gguf_text(name) + struct.pack("<I", len(shape)) + b"".join(struct.pack("<Q", d) for d in reversed(shape)) + struct.pack("<IQ", kind, offset)


def gguf_type(dtype):
    return {"bool": 24, "u8": 24, "u4": 24}.get(dtype) or next((number for number, row in GGML_TYPES.items() if row[0] == dtype), 24)


# --- protobuf and ONNX, written ---------------------------------------------------------------------------------------------------------
def put_varint(value):
    out = b""
    value &= (1 << 64) - 1
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def put(number, value):
    if isinstance(value, int):
        return put_varint(number << 3) + put_varint(value)
    value = value.encode() if isinstance(value, str) else value
    return put_varint(number << 3 | 2) + put_varint(len(value)) + value


def onnx_model(graph):
    return put(1, 8) + put(2, "oracle") + put(7, graph) + put(8, put(2, 17))


def external_entry(key, value):
    return put(13, put(1, key) + put(2, str(value)))


def onnx_head(tensor, with_name=True):
    kind = next(number for number, row in ONNX_TYPES.items() if row[0] == tensor.dtype)
    return b"".join(put(1, d) for d in tensor.shape) + put(2, kind) + (put(8, tensor.name) if with_name else b"")


def external_onnx(tensors, stem):
    """The model, and its two data files. The first tensor is there twice, tied; every other one says no length or offset 0 if it can."""
    files, graph = {stem + ".data": b"", "more/" + stem + ".data": b""}, b""
    names = list(files)
    tied = None
    for index, tensor in enumerate(tensors):
        location = names[index % 2]
        files[location] += b"\xdd" * (-len(files[location]) % 64)
        offset = len(files[location])
        files[location] += tensor.data
        entry = external_entry("location", location if index % 3 else "./" + location)
        if offset:
            entry += external_entry("offset", offset)
        if index % 5:
            entry += external_entry("length", len(tensor.data))
        graph += put(5, onnx_head(tensor) + entry + put(14, 1))
        if tied is None and len(tensor.data):
            tied = Tensor("tied." + tensor.name, tensor.dtype, tensor.shape, tensor.data)
            graph += put(5, onnx_head(tied) + entry + put(14, 1))
    return onnx_model(graph), files, ([tied] if tied else [])


def typed_message(tensor, packed, with_name=True):
    """The tensor with its values in int32_data and its like, where its dtype has such a field."""
    bits = next(row[1] for row in ONNX_TYPES.values() if row[0] == tensor.dtype)
    head = onnx_head(tensor, with_name)
    if tensor.dtype in ("f32", "c64", "f64", "c128"):
        number, width = (4, 4) if tensor.dtype in ("f32", "c64") else (10, 8)
        if packed:
            return head + put(number, tensor.data)
        tag = put_varint(number << 3 | (5 if width == 4 else 1))
        return head + b"".join(tag + tensor.data[i:i + width] for i in range(0, len(tensor.data), width))
    width = max(bits, 8) // 8
    number = {"i64": 7, "u64": 11, "u32": 11}.get(tensor.dtype, 5)
    signed = tensor.dtype.startswith("i")
    values = [int.from_bytes(tensor.data[i:i + width], "little", signed=signed) for i in range(0, len(tensor.data), width)]
    if packed:
        return head + put(number, b"".join(put_varint(v) for v in values))
    return head + b"".join(put(number, v) for v in values)


def every_type_onnx(material):
    """A small model with every dtype in every place that a tensor can lie in, made of bytes of real weights."""
    def tensor(name, dtype, shape, at):
        bits = next(row[1] for row in ONNX_TYPES.values() if row[0] == dtype)
        count = 1
        for d in shape:
            count *= d
        data = bytes(material[at:at + (count * bits + 7) // 8])
        return Tensor(name, dtype, shape, bytes(b & 1 for b in data) if dtype == "bool" else data)

    expected, graph, at = [], b"", 0
    for row in ONNX_TYPES.values():
        for form in ("raw", "packed", "single"):
            made = tensor(f"{row[0]}.{form}", row[0], (3, 7), at)
            at += 64
            expected.append(made)
            graph += put(5, onnx_head(made) + put(9, made.data) if form == "raw" else typed_message(made, form == "packed"))

    def attribute(name, content):
        return put(5, put(1, name) + content)

    def node(op, output, *attributes):
        return put(1, (put(2, output) if output else b"") + put(4, op) + b"".join(attributes))

    inner = tensor("w", "f32", (5,), 4000)
    other = tensor("w", "f16", (5, 2), 4100)
    deep = node("Constant", "deep", attribute("value", put(5, onnx_head(inner, False) + put(9, inner.data))))
    branch_a = put(5, onnx_head(inner) + put(9, inner.data)) + node("Loop", "l", attribute("body", put(6, deep)))
    branch_b = put(5, onnx_head(other) + put(9, other.data))
    graph += node("If", "y", attribute("then_branch", put(6, branch_a)), attribute("else_branch", put(6, branch_b)))
    expected += [Tensor("y.then_branch/w", inner.dtype, inner.shape, inner.data), Tensor("y.else_branch/w", other.dtype, other.shape, other.data),
                 Tensor("y.then_branch/l.body/deep", inner.dtype, inner.shape, inner.data)]
    graph += node("Constant", "cf", attribute("value_float", put_varint(2 << 3 | 5) + struct.pack("<f", 1.5)))
    graph += node("Constant", "ci", attribute("value_int", put(3, -7)))
    graph += node("Constant", "ci0", attribute("value_int", b""))
    graph += node("Constant", "cfs", attribute("value_floats", b"".join(put_varint(7 << 3 | 5) + struct.pack("<f", x) for x in (1, 2, 3))))
    graph += node("Constant", "cis", attribute("value_ints", b"".join(put(8, x) for x in (1, -1, 1 << 40))))
    graph += node("Constant", "cs", attribute("value_string", put(4, "text")))
    graph += node("ConstantOfShape", "fill", attribute("value", put(5, onnx_head(Tensor("", "i64", (1,), b"")) + put(7, put_varint(9)))))
    graph += node("Print", "", attribute("list", put(10, onnx_head(inner) + put(9, inner.data)) + put(10, onnx_head(other) + put(9, other.data))))
    expected += [Tensor("cf", "f32", (), struct.pack("<f", 1.5)), Tensor("ci", "i64", (), struct.pack("<q", -7)),
                 Tensor("ci0", "i64", (), bytes(8)), Tensor("cfs", "f32", (3,), struct.pack("<3f", 1, 2, 3)),
                 Tensor("cis", "i64", (3,), struct.pack("<3q", 1, -1, 1 << 40)), Tensor("cs", "string", (), b""),
                 Tensor("fill.value", "i64", (1,), struct.pack("<q", 9)), Tensor("Print#8.list[0]", inner.dtype, inner.shape, inner.data),
                 Tensor("Print#8.list[1]", other.dtype, other.shape, other.data)]
    values, indices = tensor("s", "f32", (2,), 4300), Tensor("", "i64", (2,), struct.pack("<2q", 3, 8))
    graph += put(15, put(1, onnx_head(values) + put(9, values.data)) + put(2, onnx_head(indices, False) + put(7, put_varint(3) + put_varint(8))) + put(3, 12))
    expected += [Tensor("s.values", "f32", (2,), values.data), Tensor("s.indices", "i64", (2,), indices.data)]
    graph += put(5, put(1, 2) + put(2, 8) + put(8, "words") + put(6, b"one") + put(6, b"two"))
    graph += put(5, onnx_head(Tensor("empty", "f32", (0, 4), b"")))
    expected += [Tensor("words", "string", (2,), b""), Tensor("empty", "f32", (0, 4), b"")]
    function = put(1, "Scale") + put(10, "org.oracle") + put(7, put(2, "k") + put(4, "Constant") + attribute("value", put(5, onnx_head(inner, False) + put(9, inner.data))))
    expected.append(Tensor("org.oracle.Scale/k", inner.dtype, inner.shape, inner.data))
    return onnx_model(graph) + put(25, function), expected


# --- all of it --------------------------------------------------------------------------------------------------------------------------
class Out:
    def __init__(self, folder):
        self.folder, self.expected = folder, {}

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)

    def add(self, name, data, expected):
        self.write(name, data)
        self.expected[name] = expected


def convert(out, stem, tensors):
    usable = [t for t in tensors if t.dtype in SAFETENSORS_TYPES]
    told = [t.expected() for t in usable]
    out.add(f"{stem}.safetensors", safetensors_bytes(usable, {"format": "pt", "source": stem}), told)
    count = 3
    weight_map = {}
    for part in range(count):
        name = f"{stem}-{part + 1:05}-of-{count:05}.safetensors"
        chosen = usable[part::count]
        out.write(f"sharded/{name}", safetensors_bytes(chosen, {"format": "pt"}))
        weight_map.update({t.name: name for t in chosen})
    index = {"metadata": {"total_size": sum(len(t.data) for t in usable)}, "weight_map": weight_map}
    out.add(f"sharded/{stem}.safetensors.index.json", json.dumps(index, indent=2).encode(), told)
    rows = [(t.name, gguf_type(t.dtype), t.shape if len(t.shape) <= 4 and gguf_type(t.dtype) != 24 else (len(t.data),), t.data) for t in usable]
    rows = [row if row[1] != 24 else (row[0], 24, (len(row[3]),), row[3]) for row in rows]
    told = [Tensor(name, GGML_TYPES[kind][0], shape, data).expected() for name, kind, shape, data in rows]
    first = next(i for i, row in enumerate(rows) if row[3])
    tied = [Tensor("tied.output", told[first]["dtype"], told[first]["shape"], rows[first][3]).expected()]
    out.add(f"{stem}.gguf", gguf_bytes(3, 32, rows, [("tied.output", first)]), told + tied)
    out.add(f"{stem}.v2.gguf", gguf_bytes(2, 4096, rows), told)
    model, files, tied = external_onnx(usable, stem)
    for name, data in files.items():
        out.write(f"external/{name}", data)
    out.add(f"external/{stem}.onnx", model, [t.expected() for t in usable + tied])


def quantised(material, blocks):
    """A tensor of every ggml type, of `blocks` blocks."""
    return [(f"blk.{number}.{row[0]}", number, (blocks, row[1]), material[number * 97:number * 97 + blocks * row[2]]) for number, row in GGML_TYPES.items()]


def write_corpus(folder):
    """Small files from bytes that mean nothing."""
    out = Out(folder)
    material = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(160)) * 2
    out.write("formats_onnx/every-type", every_type_onnx(material)[0])
    small = [Tensor("a", "f32", (2, 3), material[:24]), Tensor("b", "u8", (5,), material[:5]), Tensor("c", "i64", (), material[:8]), Tensor("d", "f16", (0,), b"")]
    outside = external_entry("location", "w.bin") + external_entry("offset", 4) + external_entry("length", 5) + put(14, 1)
    out.write("formats_onnx/external", onnx_model(put(5, onnx_head(small[1]) + outside)))
    out.write("formats_onnx/small", onnx_model(b"".join(put(5, onnx_head(t) + put(9, t.data)) for t in small)))
    out.write("formats_gguf/every-type", gguf_bytes(3, 32, quantised(material, 1)))
    out.write("formats_gguf/tied", gguf_bytes(2, 8, [("a", 0, (2, 3), material[:24]), ("b", 24, (5,), material[:5])], [("c", 0)]))
    out.write("formats_gguf/metadata", gguf_bytes(3, 64, []))
    out.write("formats_safetensors/small", safetensors_bytes(small, {"format": "pt"}))
    every = [Tensor(name, name, (3,), material[:3 * bits // 8]) for name, bits in sorted({row for row in ONNX_TYPES.values() if row[0] in SAFETENSORS_TYPES})]
    out.write("formats_safetensors/every-type", safetensors_bytes(every, {}))
    out.write("formats_safetensors/index", json.dumps({"metadata": {"total_size": 8}, "weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}).encode())


def main():
    if sys.argv[1] == "--corpus":
        write_corpus(sys.argv[2])
        return
    folder, samples = sys.argv[1], sys.argv[2:]
    out = Out(folder)
    material = b""
    for file in samples:
        tensors = read_onnx(os.path.join(folder, file))
        out.expected[file] = [t.expected() for t in tensors]
        convert(out, file[:-len(".onnx")], tensors)
        if len(material) < 1 << 16:
            material += b"".join(t.data for t in tensors if len(t.data) > 4096)[:1 << 16]
        print(f"{file}: {len(tensors)} tensors, {sum(len(t.data) for t in tensors)} bytes")
    model, expected = every_type_onnx(material)
    out.add("every-type.onnx", model, [t.expected() for t in expected])
    rows = quantised(material, 12)
    told = [Tensor(name, GGML_TYPES[kind][0], shape, data).expected() for name, kind, shape, data in rows]
    out.add("every-type.gguf", gguf_bytes(3, 32, rows), told)
    out.write("expected.json", json.dumps(out.expected, indent=1, ensure_ascii=False).encode())


if __name__ == "__main__":
    main()
