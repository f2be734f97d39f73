"""An ONNX graph whose weights are elsewhere: the tensors of a file replaced by their places in memory that vramd holds.

Weights are the initializers of the graph and its Constant nodes, which vramd calls as the graph does. Those of subgraphs stay where they are, for
onnxruntime-web cannot take them from outside. Only what a graph needs is known of protobuf here, and what is not changed is copied as it is.
"""
GRAPH, NODE, INITIALIZER, ATTRIBUTE, VALUE = 7, 1, 5, 5, 5
LOCATION, LEAST_BYTES = "weights", 128
# Of a TensorProto: its data in each of the forms that it has, and where the data lies outside.
DATA, NAME, OUTSIDE, IS_OUTSIDE = {4, 5, 6, 7, 9, 10, 11, 13, 14}, 8, 13, 14


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def fields(message):
    """Each field: its number, its value (bytes where it has a length, else None), and all of it as it stands."""
    at = 0
    while at < len(message):
        begin, value = at, None
        tag, at = varint(message, at)
        if tag & 7 == 0:
            _, at = varint(message, at)
        elif tag & 7 == 2:
            size, at = varint(message, at)
            value = message[at:at + size]
            at += size
        else:
            at += {1: 8, 5: 4}[tag & 7]
        yield tag >> 3, value, message[begin:at]


def put_varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def put(number, value):
    """A field of bytes, or of a number."""
    if isinstance(value, int):
        return put_varint(number << 3) + put_varint(value)
    return put_varint(number << 3 | 2) + put_varint(len(value)) + bytes(value)


def text(message, number):
    """The first text with that number, or none."""
    return next((bytes(value).decode() for found, value, _ in fields(message) if found == number and len(value)), "")


class Places:
    """Rewrites messages; `moved_bytes` are those that are not in the graph any more."""

    def __init__(self, tensors):
        self.tensors = {tensor["name"]: tensor for tensor in tensors}
        self.moved_bytes = 0

    def graph(self, message):
        change = {NODE: self.node, INITIALIZER: lambda value: self.tensor(value, text(value, NAME))}
        return b"".join(put(number, change[number](value)) if number in change else whole for number, value, whole in fields(message))

    def node(self, message):
        if text(message, 4) != "Constant":
            return message
        output = text(message, 2)
        return b"".join(put(ATTRIBUTE, self.attribute(value, output)) if number == ATTRIBUTE else whole for number, value, whole in fields(message))

    def attribute(self, message, output):
        return b"".join(put(VALUE, self.tensor(value, output)) if number == VALUE else whole for number, value, whole in fields(message))

    def tensor(self, message, name):
        """The same tensor without its data. What says how to compute (shapes, axes, small numbers) stays: a runtime reads it before there are weights."""
        told = self.tensors[name]
        if told["dtype"] not in ("f16", "bf16", "f32", "f64") or told["sizeBytes"] < LEAST_BYTES:
            return message
        self.moved_bytes += told["sizeBytes"]
        entries = (("location", LOCATION), ("offset", told["offsetBytes"]), ("length", told["sizeBytes"]))
        return (b"".join(whole for number, _, whole in fields(message) if number not in DATA)
                + b"".join(put(OUTSIDE, put(1, key.encode()) + put(2, str(value).encode())) for key, value in entries) + put(IS_OUTSIDE, 1))


def graph_without_weights(model, tensors):
    """The file's model with every weight at its offset in memory, and how many bytes those are. `model`: the file; `tensors`: what `attach` tells."""
    places = Places(tensors)
    return b"".join(put(GRAPH, places.graph(value)) if number == GRAPH else whole
                    for number, value, whole in fields(memoryview(model))), places.moved_bytes
