#!/usr/bin/env python3
"""Golden vectors of the number formats, made by the `gguf` Python package (pip install gguf).

usage: tools/oracle/quants.py [OUT]     (default: tests/golden/quants)

For each type T: OUT/T.bin holds the file's bytes of 512 values, then the 512 values as f32, as the
package reads them. For types that it can write and Croft writes too (F16, BF16, Q8_0), OUT/T.quant.bin
holds 512 f32 values, then the bytes that the package makes of them. tests/unit/test_kernels_quants.c
compares both. Deterministic: the same package version writes the same files.
"""
import importlib.metadata
import os
import sys

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import dequantize, quantize

TYPES = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
N = 512
# where the f16 scales stand in a block: random bytes there would make infinities and NaNs
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
          "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def blocks(name, rng):
    block, size = GGML_QUANT_SIZES[T[name]]
    n = N // block
    if name in ("F16", "BF16"):
        x = (rng.standard_normal(N) * 10.0 ** rng.integers(-7, 4, N)).astype(np.float32)
        return quantize(x.reshape(1, N), T[name]).reshape(-1).view(np.uint8)
    raw = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for at in SCALES[name]:
        d = (rng.standard_normal(n) * 10.0 ** rng.integers(-6, 1, n)).astype(np.float16)
        raw[:, at:at + 2] = d.view(np.uint8).reshape(n, 2)
    return raw.reshape(-1)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(
        os.path.dirname(__file__), "..", "..", "tests", "golden", "quants")
    os.makedirs(out, exist_ok=True)
    for i, name in enumerate(TYPES):
        rng = np.random.default_rng(1000 + i)
        raw = blocks(name, rng)
        values = dequantize(raw.reshape(1, -1), T[name]).astype("<f4").reshape(-1)
        with open(os.path.join(out, name + ".bin"), "wb") as f:
            f.write(raw.tobytes() + values.tobytes())
        if name in ("F16", "BF16", "Q8_0"):
            x = (rng.standard_normal(N) * 10.0 ** rng.integers(-6, 4, N)).astype("<f4")
            x[:32] = 0
            x[64:96] = np.arange(-16, 16)
            with open(os.path.join(out, name + ".quant.bin"), "wb") as f:
                f.write(x.tobytes() + quantize(x.reshape(1, N), T[name]).tobytes())
    with open(os.path.join(out, "README.md"), "w") as f:
        f.write("Made by tools/oracle/quants.py with gguf %s, numpy %s.\n"
                % (importlib.metadata.version("gguf"), np.__version__))


main()
