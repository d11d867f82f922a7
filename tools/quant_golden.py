#!/usr/bin/env python3
"""Makes engine/tests/it/golden/quants.txt: blocks of every weight type and what they mean.

The values come from the reference dequantisation of the PyPI package `gguf` (pip install gguf numpy). Each line of the file
is: type, the bytes of some blocks in hex, and the bit patterns of the resulting 32-bit floats in hex. Random numbers have a
fixed seed, so that a second run writes the same file.
"""
import pathlib
import struct

import gguf
import numpy as np

BLOCKS = 2
EXPONENTS = [0, 1, 2, 120, 127, 252]  # of MXFP4: scales that are no normal numbers, usual ones, the largest
HALVES = {  # where a block holds half floats, which must be sensible numbers
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "F16": [0], "BF16": [], "F32": [],
    "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}


def block(kind, size, random):
    if kind == "F32":
        return struct.pack("<f", random.normal())
    if kind == "BF16":
        return struct.pack("<f", random.normal())[2:]
    data = bytearray(random.integers(0, 256, size, dtype=np.uint8).tobytes())
    for at in HALVES[kind]:
        data[at:at + 2] = np.float16(random.normal() * 0.1).tobytes()
    return bytes(data)


def main():
    random = np.random.default_rng(20261121)
    lines = []
    for kind in HALVES:
        quant = gguf.GGMLQuantizationType[kind]
        values, size = gguf.GGML_QUANT_SIZES[quant]
        count = BLOCKS if values > 1 else 8
        data = b"".join(block(kind, size, random) for _ in range(count))
        if kind == "MXFP4":
            data = b"".join(bytes([exponent]) + block(kind, size, random)[1:] for exponent in EXPONENTS)
            count = len(EXPONENTS)
        array = np.frombuffer(data, dtype=np.uint8)
        if kind == "F32":
            result = array.view(np.float32)
        elif kind == "F16":
            result = array.view(np.float16).astype(np.float32)
        else:
            result = gguf.dequantize(array.reshape(1, -1), quant).reshape(-1)
        assert result.dtype == np.float32 and len(result) == values * count
        lines.append(f"{kind} {data.hex()} {result.astype('<f4').tobytes().hex()}\n")
    path = pathlib.Path(__file__).parent.parent / "engine/tests/it/golden/quants.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))


if __name__ == "__main__":
    main()
