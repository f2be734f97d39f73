"""Model files for tests, written here: safetensors with the tensors that a test wants."""
import json
import struct


def write_safetensors(path, tensors):
    """`tensors`: (name, shape, numbers); the numbers become F32."""
    head, data = {}, []
    offset = 0
    for name, shape, numbers in tensors:
        data.append(struct.pack(f"<{len(numbers)}f", *numbers))
        head[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(data[-1])]}
        offset += len(data[-1])
    text = json.dumps(head, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data))


def write_bytes_model(path, size_bytes, seed=1):
    """One tensor `bytes` (U8) of that size, whose bytes repeat a pattern of 64 KiB made from the seed; answers the pattern."""
    pattern = bytes((seed * 131 + i * 7 + (i >> 8)) & 0xFF for i in range(65536))
    text = json.dumps({"bytes": {"dtype": "U8", "shape": [size_bytes], "data_offsets": [0, size_bytes]}}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for at in range(0, size_bytes, 65536):
            file.write(pattern[:min(65536, size_bytes - at)])
    return pattern
