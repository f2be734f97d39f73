#!/usr/bin/env python3
"""Real networks computed with their weights in memory that vramd gave: to the bit what they compute from their files.

examples/inference.py does it: the graph comes from the file, the weights by a descriptor that node inherits. onnxruntime computes both times, on one thread,
so equal weights give equal bits; a single bit of a weight that is another gives others, which shows that it is those weights that count.
"""
import json
import mmap
import os
import shutil
import subprocess
import sys
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(ROOT, "examples"))
from daemon import Served  # noqa: E402
from inference import Attached, infer, page, values_of  # noqa: E402
from onnx_weights import graph_without_weights  # noqa: E402

SAMPLES = os.environ.get("VRAMD_SAMPLES", os.path.join(ROOT, ".cache", "samples"))
RUNTIME = os.path.join(SAMPLES, "onnxruntime-web")
SHAPES = {"ch_ppocr_mobile_v2.0_cls_infer.onnx": [1, 3, 48, 192], "ch_PP-OCRv4_det_infer.onnx": [1, 3, 64, 64], "ch_PP-OCRv4_rec_infer.onnx": [1, 3, 48, 96]}
SMALL = "ch_ppocr_mobile_v2.0_cls_infer.onnx"


def file_of(name):
    with open(os.path.join(SAMPLES, name), "rb") as file:
        return file.read()


def with_a_bit_flipped(attached):
    """A copy of the attached memory in which the largest weight's first number has its sign turned."""
    largest = max(attached.tensors, key=lambda tensor: tensor["sizeBytes"])
    copy = os.memfd_create("flipped")
    with mmap.mmap(attached.descriptor, attached.size_bytes, mmap.MAP_SHARED, mmap.PROT_READ) as memory:
        data = bytearray(memory)
    data[largest["offsetBytes"] + 3] ^= 0x80
    os.write(copy, data)
    return copy


@unittest.skipIf(shutil.which("node") is None, "no node on this machine: ./dev install brings Debian's")
@unittest.skipUnless(os.path.exists(os.path.join(RUNTIME, "ort.wasm.min.mjs")), f"no onnxruntime-web in {SAMPLES}: ./dev samples fetches it")
class Inference(Served):
    served = {"devices": ["host:a=64MiB"], "model_dirs": [SAMPLES]}

    def test_weights_from_attached_memory_compute_what_those_of_the_file_do(self):
        for name, shape in SHAPES.items():
            with self.subTest(name):
                model, feeds = file_of(name), {"x": page(shape)}
                told = infer(RUNTIME, model, feeds)
                with Attached(self.daemon.socket_path, name) as attached:
                    graph, moved_bytes = graph_without_weights(model, attached.tensors)
                    self.assertGreater(moved_bytes, 0.99 * sum(tensor["sizeBytes"] for tensor in attached.tensors))
                    self.assertLess(len(graph), len(model) - 0.98 * moved_bytes)
                    self.assertEqual(self.daemon.get(f"/api/model/info?name={name}").ok()["attachedClients"], 1)
                    self.assertTrue(infer(RUNTIME, graph, feeds, attached.descriptor, attached.size_bytes) == told, "another output than from the file")
                (output,) = told.values()
                self.assertGreater(len(set(values_of(output))), 1, "an output that says nothing")
                print(f"\n{name}: {moved_bytes} bytes of weights from vramd, {len(graph)} of graph; output {output['shape']} equal to the bit")

    def test_one_bit_of_one_weight_is_seen_in_what_comes_out(self):
        for name, shape in SHAPES.items():
            with self.subTest(name), Attached(self.daemon.socket_path, name) as attached:
                graph, _ = graph_without_weights(file_of(name), attached.tensors)
                flipped = with_a_bit_flipped(attached)
                try:
                    right, wrong = (infer(RUNTIME, graph, {"x": page(shape)}, descriptor, attached.size_bytes) for descriptor in (attached.descriptor, flipped))
                finally:
                    os.close(flipped)
                self.assertTrue(right != wrong, "the same output by another weight")
                self.assertEqual([output["shape"] for output in right.values()], [output["shape"] for output in wrong.values()])

    def test_without_weights_there_is_no_answer(self):
        with Attached(self.daemon.socket_path, SMALL) as attached:
            graph, _ = graph_without_weights(file_of(SMALL), attached.tensors)
        short = os.memfd_create("short")
        try:
            for weights in ((), (short, 4096)):
                with self.assertRaises(subprocess.CalledProcessError):
                    infer(RUNTIME, graph, {"x": page(SHAPES[SMALL])}, *weights, errors=subprocess.DEVNULL)
        finally:
            os.close(short)

    def test_the_example_says_what_the_network_says(self):
        done = subprocess.run([sys.executable, os.path.join(ROOT, "examples", "inference.py"), self.daemon.socket_path, os.path.join(SAMPLES, SMALL), RUNTIME,
                               "x=1,3,48,192"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        (output,) = infer(RUNTIME, file_of(SMALL), {"x": page(SHAPES[SMALL])}).values()
        self.assertIn(f"softmax_0.tmp_0 {json.dumps(output['shape'])} " + " ".join(f"{value:.6f}" for value in values_of(output)), done.stdout)


if __name__ == "__main__":
    unittest.main()
