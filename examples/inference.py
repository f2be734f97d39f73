#!/usr/bin/env python3
"""Runs an ONNX model with its weights from memory that vramd holds:

    python3 examples/inference.py SOCKET MODEL.onnx RUNTIME INPUT=SHAPE…        such as x=1,3,48,192

The file gives the graph alone. The weights are the daemon's: this process attaches the model, and node inherits the descriptor of that memory and
hands what it reads there to onnxruntime. RUNTIME is the folder with onnxruntime-web (`./dev samples` fetches it). The inputs are images, of rows of marks.
"""
import base64
import json
import math
import os
import socket
import struct
import subprocess
import sys

from onnx_weights import LOCATION, graph_without_weights

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inference.mjs")
LETTERS = {"float32": "f", "int64": "q"}


def call(link, method, **params):
    """One call of docs/attach-protocol.md: the result, and the descriptors beside it."""
    link.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode())
    while True:
        packet, descriptors, _, _ = socket.recv_fds(link, 65536, 8)
        if not packet:
            raise ConnectionError("the daemon has closed the connection")
        told = json.loads(packet)
        if "error" in told:
            raise RuntimeError(told["error"]["message"])
        if "result" in told:  # Else it is how far a load is.
            return told["result"], descriptors


class Attached:
    """A model that is attached: `descriptor` of its memory, `size_bytes`, and where its `tensors` lie in it. Held until the end of its `with`."""

    def __init__(self, socket_path, model):
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.connect(socket_path)
        call(self.link, "hello", version=1, client="inference")
        result, descriptors = call(self.link, "attach", model=model)
        self.descriptor = descriptors.pop(result["memory"]["descriptor"])
        self.size_bytes = result["memory"]["sizeBytes"]
        self.tensors = result.get("tensors")
        if self.tensors is None:  # Too many for a packet: they are in memory of their own, whose descriptor is the other one.
            self.tensors = json.loads(os.pread(descriptors[0], result["tensorTable"]["sizeBytes"], 0))
        for descriptor in descriptors:
            os.close(descriptor)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.descriptor)
        self.link.close()


def numbers(dtype, shape, values):
    """A feed: the values as onnxruntime takes them."""
    return {"dtype": dtype, "shape": shape, "data": base64.b64encode(struct.pack(f"<{len(values)}{LETTERS[dtype]}", *values)).decode()}


def page(shape):
    """An image: white, with rows of dark marks, in which networks that read find something."""
    height, width = shape[-2:]

    def pixel(x, y):
        return -2.0 if 10 <= y % 32 < 22 and width < 10 * x < 9 * width and (x // 3 * 7 + y % 32 // 3 * 5) % 11 < 5 else 2.0

    return numbers("float32", shape, [pixel(x, y) for y in range(height) for x in range(width)] * math.prod(shape[:-2]))


def infer(runtime, graph, feeds, descriptor=None, size_bytes=0, errors=None):
    """The outputs by name. `descriptor`: where the weights are, if the graph has none. `errors`: where node's go, stderr unless told."""
    asked = {"graph": base64.b64encode(graph).decode(), "feeds": feeds}
    if descriptor is not None:
        asked["weights"] = {"location": LOCATION, "descriptor": descriptor, "sizeBytes": size_bytes}
    done = subprocess.run(["node", SCRIPT, runtime], input=json.dumps(asked).encode(), stdout=subprocess.PIPE, stderr=errors, check=True,
                          pass_fds=[] if descriptor is None else [descriptor])
    return json.loads(done.stdout)


def values_of(output):
    data = base64.b64decode(output["data"])
    return struct.unpack(f"<{len(data) // struct.calcsize(LETTERS[output['dtype']])}{LETTERS[output['dtype']]}", data)


def main(socket_path, path, runtime, *inputs):
    with open(path, "rb") as file:
        model = file.read()
    feeds = {name: page([int(extent) for extent in shape.split(",")]) for name, shape in (word.split("=") for word in inputs)}
    with Attached(socket_path, os.path.basename(path)) as attached:
        graph, moved_bytes = graph_without_weights(model, attached.tensors)
        outputs = infer(runtime, graph, feeds, attached.descriptor, attached.size_bytes)
    print(f"{moved_bytes} bytes of weights from vramd, {len(graph)} of graph from the file")
    for name, output in outputs.items():
        print(name, output["shape"], " ".join(f"{value:.6f}" for value in values_of(output)[:8]))


if __name__ == "__main__":
    if len(sys.argv) < 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
