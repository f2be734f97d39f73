#!/usr/bin/env python3
"""Every tensor of every sample, in every format, equals what the oracle says: check_formats.py PLAN_DUMP [FOLDER]

FOLDER is VRAMD_SAMPLES without it; what is missing there is fetched first. The models of Debian's libonnx-testdata that hold tensors are
compared too.
"""
import hashlib
import json
import os
import subprocess
import sys
import tempfile

from read_onnx import read_onnx

TESTDATA = os.environ.get("VRAMD_ONNX_TESTDATA") or "/usr/share/libonnx-testdata"

def alignment(size):
    return min(max(1 << (size - 1).bit_length() if size > 1 else 1, 16), 256)


def check_file(dump, folder, name, expected):
    """The complaints about one file, and (tensors, bytes)."""
    with tempfile.NamedTemporaryFile() as image:
        done = subprocess.run([dump, os.path.join(folder, name), image.name], capture_output=True)
        if done.returncode != 0:
            return [f"{name}: exit {done.returncode}: {done.stderr.decode(errors='replace')[:2000]}"], (0, 0)
        plan = json.loads(done.stdout)
        memory = open(image.name, "rb").read()
    wrong = []
    if len(memory) != plan["memory_bytes"]:
        wrong.append(f"{name}: {len(memory)} bytes of memory, not {plan['memory_bytes']}")
    told = {row["name"]: row for row in expected}
    got = {row["name"]: row for row in plan["tensors"]}
    if len(got) != len(plan["tensors"]):
        wrong.append(f"{name}: a name occurs twice")
    for missing in sorted(told.keys() - got.keys()):
        wrong.append(f"{name}: {missing} is missing")
    for extra in sorted(got.keys() - told.keys()):
        wrong.append(f"{name}: {extra} is not in the file")
    spans = set()
    for key in told.keys() & got.keys():
        want, have = told[key], got[key]
        for field in ("dtype", "shape", "size"):
            if want[field] != have[field]:
                wrong.append(f"{name}: {key}: {field} is {have[field]}, not {want[field]}")
        data = memory[have["offset"]:have["offset"] + have["size"]]
        if hashlib.sha256(data).hexdigest() != want["sha256"]:
            wrong.append(f"{name}: {key}: its bytes differ")
        if have["size"]:
            spans.add((have["offset"], have["offset"] + have["size"]))
            if have["offset"] % alignment(have["size"]):
                wrong.append(f"{name}: {key}: offset {have['offset']} is not aligned for {have['size']} bytes")
    ordered = sorted(spans)
    for (_, end), (start, _) in zip(ordered, ordered[1:]):
        if start < end:
            wrong.append(f"{name}: two tensors overlap in memory at {start}")
    if sum(end - start for start, end in spans) != plan["tensor_bytes"]:
        wrong.append(f"{name}: tensor_bytes is {plan['tensor_bytes']}")
    if not name.startswith(TESTDATA):
        print(f"{name}: {plan['format']}, {len(got)} tensors, {plan['memory_bytes']} bytes, {plan['copies']} copies, {plan['decodes']} decodes")
    return wrong, (len(got), plan["tensor_bytes"])


def testdata():
    """{file: its expected tensors} for those of libonnx-testdata that have any."""
    found = {}
    for folder, _, files in os.walk(TESTDATA):
        for file in sorted(files):
            if file.endswith(".onnx"):
                tensors = read_onnx(os.path.join(folder, file))
                if tensors:
                    found[os.path.join(folder, file)] = [tensor.expected() for tensor in tensors]
    return found


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    dump = sys.argv[1]
    folder = sys.argv[2] if len(sys.argv) > 2 else os.environ.get("VRAMD_SAMPLES") or os.path.join(here, "../../.cache/samples")
    subprocess.run(["sh", os.path.join(here, "fetch_samples.sh"), folder], check=True)
    with open(os.path.join(folder, "expected.json")) as file:
        expected = json.load(file)
    for name, rows in testdata().items():
        expected[name] = rows
    wrong, tensors, size = [], 0, 0
    for name in sorted(expected):
        complaints, (count, count_bytes) = check_file(dump, folder, name, expected[name])
        wrong += complaints
        tensors += count
        size += count_bytes
    print("\n".join(wrong[:50]))
    print(f"{len(expected)} files, {tensors} tensors, {size} bytes: {len(wrong)} complaints")
    return 1 if wrong or not expected else 0


if __name__ == "__main__":
    sys.exit(main())
