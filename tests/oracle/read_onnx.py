"""Reads an ONNX file's tensors, all of them, from its protobuf: the tests' own reader. Standard library only; shares no line with the product."""
import hashlib

# number in TensorProto.DataType: (vramd's name, bits)
ONNX_TYPES = {
    1: ("f32", 32), 2: ("u8", 8), 3: ("i8", 8), 4: ("u16", 16), 5: ("i16", 16), 6: ("i32", 32), 7: ("i64", 64), 9: ("bool", 8),
    10: ("f16", 16), 11: ("f64", 64), 12: ("u32", 32), 13: ("u64", 64), 14: ("c64", 64), 15: ("c128", 128), 16: ("bf16", 16),
    17: ("f8_e4m3", 8), 18: ("f8_e4m3fnuz", 8), 19: ("f8_e5m2", 8), 20: ("f8_e5m2fnuz", 8), 21: ("u4", 4), 22: ("i4", 4),
    23: ("f4_e2m1", 4), 24: ("f8_e8m0", 8),
}


class Tensor:
    def __init__(self, name, dtype, shape, data):
        self.name, self.dtype, self.shape, self.data = name, dtype, tuple(shape), data

    def expected(self, name=None, dtype=None, shape=None):
        return {"name": self.name if name is None else name, "dtype": dtype or self.dtype,
                "shape": list(self.shape if shape is None else shape), "size": len(self.data),
                "sha256": hashlib.sha256(self.data).hexdigest()}


# --- protobuf, read -------------------------------------------------------------------------------------------------------------------
def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(data):
    """(number, type, value) of each field; the value of a type-2 field is a memoryview."""
    at = 0
    while at < len(data):
        tag, at = varint(data, at)
        kind = tag & 7
        if kind == 0:
            value, at = varint(data, at)
        elif kind == 2:
            size, at = varint(data, at)
            value = data[at:at + size]
            at += size
        else:
            size = {1: 8, 5: 4}[kind]
            value = data[at:at + size]
            at += size
        yield tag >> 3, kind, value


def numbers(kind, value):
    if kind == 0:
        return [value]
    out, at = [], 0
    while at < len(value):
        number, at = varint(value, at)
        out.append(number)
    return out


def text(value):
    return bytes(value).decode()


def read_tensor(message, name=None):
    """A TensorProto; None for a tensor of strings."""
    dims, kind, raw, floats, typed, own_name = [], 0, None, b"", [], ""
    for number, wire, value in fields(message):
        if number == 1:
            dims += numbers(wire, value)
        elif number == 2:
            kind = value
        elif number in (4, 10):
            floats += bytes(value)
        elif number in (5, 7, 11):
            typed += numbers(wire, value)
        elif number == 8:
            own_name = text(value)
        elif number == 9:
            raw = bytes(value)
        elif number == 14 and value:
            raise ValueError("external data in a sample")
    name = own_name if name is None else name
    if kind == 8:
        return Tensor(name, "string", dims, b"")
    dtype, bits = ONNX_TYPES[kind]
    count = 1
    for dimension in dims:
        count *= dimension
    size = (count * bits + 7) // 8
    if raw is not None:
        data = raw
    elif floats:
        data = floats
    else:
        width = max(bits, 8) // 8
        data = b"".join((number & ((1 << (8 * width)) - 1)).to_bytes(width, "little") for number in typed)
    if len(data) != size:
        raise ValueError(f"{name}: {len(data)} bytes, not {size}")
    return Tensor(name, dtype, dims, data)


def read_attribute(message, path, output, constant, out):
    parts = list(fields(message))
    name = next((text(v) for n, _, v in parts if n == 1), "")
    if any(n == 21 for n, _, _ in parts):
        return
    here = path + output if constant else f"{path}{output}.{name}"
    if constant and name in ("value_float", "value_floats"):
        data = b"".join(bytes(v) for n, _, v in parts if n == (7 if name[-1] == "s" else 2))
        out.append(Tensor(here, "f32", [len(data) // 4] if name[-1] == "s" else [], data))
        return
    if constant and name in ("value_int", "value_ints"):
        values = [x for n, w, v in parts if n == (8 if name[-1] == "s" else 3) for x in numbers(w, v)]
        data = b"".join(x.to_bytes(8, "little") for x in values)
        out.append(Tensor(here, "i64", [len(values)] if name[-1] == "s" else [], data))
        return
    index = 0
    for number, _, value in parts:
        if number == 5:
            out.append(read_tensor(value, here))
        elif number == 6:
            read_graph(value, here + "/", out)
        elif number == 10:
            out.append(read_tensor(value, f"{here}[{index}]"))
            index += 1
        elif number == 11:
            read_graph(value, f"{here}[{index}]/", out)
            index += 1


def read_node(message, path, index, out):
    parts = list(fields(message))
    op = next((text(v) for n, _, v in parts if n == 4), "")
    output = next((text(v) for n, _, v in parts if n == 2 and len(v)), "") or f"{op}#{index}"
    for number, _, value in parts:
        if number == 5:
            read_attribute(value, path, output, op == "Constant", out)


def read_graph(message, path, out):
    index = 0
    for number, _, value in fields(message):
        if number == 1:
            read_node(value, path, index, out)
            index += 1
        elif number == 5:
            tensor = read_tensor(value)
            tensor.name = path + tensor.name
            out.append(tensor)


def read_onnx(path):
    with open(path, "rb") as file:
        data = memoryview(file.read())
    out = []
    for number, _, value in fields(data):
        if number == 7:
            read_graph(value, "", out)
    return out
