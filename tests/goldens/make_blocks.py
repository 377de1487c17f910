#!/usr/bin/env python3
"""Makes blocks.safetensors: quantised blocks, what the PyPI package `gguf` makes of them, and NF4 by its definition.

    pip install numpy==2.4.6 gguf==0.19.0 safetensors==0.8.0
    python make_blocks.py            write the file
    python make_blocks.py --check    compute again and compare, bit for bit

Tensors: `<type>/blocks` (U8) and `<type>/decoded` (F32) for every block type; `<type>/encoded` (U8) of `values` (F32) for those
that are written; `nf4_scale_map` (F32), all bit for bit. `gguf` knows neither the blocks with fp32 scales of early 2023 nor NF4:
those are computed here.
"""
import argparse
import pathlib

import numpy as np
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize
from safetensors.numpy import load_file, save_file

f32 = np.float32
HALVES = {"q4_0": [0], "q4_1": [0, 2], "q5_0": [0], "q5_1": [0, 2], "q8_0": [0], "q2_k": [80, 82], "q3_k": [108], "q4_k": [0, 2],
          "q5_k": [0, 2], "q6_k": [208], "iq4_nl": [0]}
BYTES = {"q4_0": 18, "q4_1": 20, "q5_0": 22, "q5_1": 24, "q8_0": 34, "q2_k": 84, "q3_k": 110, "q4_k": 144, "q5_k": 176, "q6_k": 210,
         "iq4_nl": 18}
NF4 = np.array([-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
                -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
                0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0], f32)
rng = np.random.default_rng(20240607)


def scale_map():
    """bitsandbytes' create_dynamic_map(): torch.linspace rounds start + k step once, everything after is fp32."""
    numbers = [f32(0), f32(1)]
    for i in range(7):
        n = 2**i
        step = np.float64((f32(1) - f32(0.1)) / f32(n))
        bounds = [f32(np.float64(f32(0.1)) + step * k) if k < (n + 1) // 2 else f32(1 - step * (n - k)) for k in range(n + 1)]
        for a, b in zip(bounds, bounds[1:]):
            x = f32(10.0 ** (i - 6)) * ((a + b) / f32(2))
            numbers += [x, -x]
    return np.sort(np.array(numbers, f32))


MAP = scale_map()


def values():
    """Numbers to encode, 3 x 256: normal ones, then blocks of 32 with zeros, ties, constants, tiny and large numbers."""
    x = rng.standard_normal((3, 8, 32)).astype(f32) * f32(0.3)
    x[1, 0] = 0
    x[1, 1] = 0.75
    x[1, 2] = np.where(np.arange(32) % 2, 1.5, -1.5)
    x[1, 3] = np.arange(-16, 16) / 8
    x[1, 4] = rng.standard_normal(32) * 1e-6
    x[1, 5] = rng.standard_normal(32) * 1e4
    x[1, 6] = np.abs(x[1, 6])
    x[1, 7] = np.where(np.arange(32) == 20, -3, 0)
    x[2, 0:2] = 0  # a whole block of NF4
    return x.reshape(3, 256)


def nearest(table, x):
    return np.searchsorted((table[:-1] + table[1:]) * f32(0.5), x, side="left").astype(np.uint8)


def halves(codes):
    return codes[:, 0::2] << 4 | codes[:, 1::2]


def nf4_codes(x, absmax):
    inverse = np.where(absmax == 0, 0, f32(1) / np.where(absmax == 0, 1, absmax)).astype(f32)
    return halves(nearest(NF4, x * inverse[:, None]))


def as_bytes(a):
    return np.ascontiguousarray(a).view(np.uint8).reshape(len(a), -1)


def encode_nf4(x):
    x = x.reshape(-1, 64)
    absmax = np.abs(x).max(axis=1)
    return np.hstack([nf4_codes(x, absmax), as_bytes(absmax[:, None])])


def encode_nf4_dq(x):
    x = x.reshape(-1, 64)
    absmax = np.abs(x).max(axis=1)
    offset = f32(absmax.astype(np.float64).mean())
    nested = np.abs(absmax - offset).max()
    scales = nearest(MAP, (absmax - offset) * (f32(1) / nested))
    tail = np.tile(np.array([nested, offset], f32), (len(x) // 4, 1))
    return np.hstack([nf4_codes(x, absmax).reshape(-1, 128), scales.reshape(-1, 4), as_bytes(tail)])


def decode_nf4(blocks, codes, scale):
    """`scale`: one for each 64 numbers."""
    q = np.stack([codes >> 4, codes & 15], axis=-1).reshape(-1, 64)
    return (NF4[q] * scale.reshape(-1, 1)).reshape(len(blocks), -1)


def with_f32_scales(kind, n=4):
    """Blocks with fp32 d (and m), and their numbers."""
    scales = (rng.standard_normal((n, 2 if kind == "q4_1" else 1)) * 0.05).astype(f32)
    if kind == "q8_0":
        q = rng.integers(-128, 128, (n, 32)).astype(np.int8)
        return np.hstack([as_bytes(scales), q.view(np.uint8)]), q.astype(f32) * scales
    qs = rng.integers(0, 256, (n, 16)).astype(np.uint8)
    q = np.hstack([qs & 15, qs >> 4]).astype(f32)
    y = (q - 8) * scales if kind == "q4_0" else q * scales[:, :1] + scales[:, 1:]
    return np.hstack([as_bytes(scales), qs]), y


def make():
    t = {"values": values(), "nf4_scale_map": MAP}
    for name, size in BYTES.items():
        blocks = rng.integers(0, 256, (4, size)).astype(np.uint8)
        for at in HALVES[name]:
            blocks[:, at:at + 2] = as_bytes((rng.standard_normal((4, 1)) * 0.05).astype(np.float16))
        t[f"{name}/blocks"], t[f"{name}/decoded"] = blocks, dequantize(blocks, Type[name.upper()])
    for kind in ("q4_0", "q4_1", "q8_0"):
        t[f"{kind}_f32/blocks"], t[f"{kind}_f32/decoded"] = with_f32_scales(kind)
    for name in ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0"):
        t[f"{name}/encoded"] = quantize(t["values"], Type[name.upper()])
    codes, scale = rng.integers(0, 256, (4, 32)).astype(np.uint8), rng.random((4, 1)).astype(f32)
    t["nf4/blocks"], t["nf4/decoded"] = np.hstack([codes, as_bytes(scale)]), decode_nf4(codes, codes, scale)
    t["nf4/encoded"] = encode_nf4(t["values"])
    codes, scales = rng.integers(0, 256, (4, 128)).astype(np.uint8), rng.integers(0, 256, (4, 4)).astype(np.uint8)
    tail = rng.random((4, 2)).astype(f32)
    t["nf4_dq/blocks"] = np.hstack([codes, scales, as_bytes(tail)])
    t["nf4_dq/decoded"] = decode_nf4(codes, codes, MAP[scales] * tail[:, :1] + tail[:, 1:])
    t["nf4_dq/encoded"] = encode_nf4_dq(t["values"])
    return t


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    path = pathlib.Path(__file__).parent / "blocks.safetensors"
    tensors = {name: np.ascontiguousarray(a) for name, a in make().items()}
    if not parser.parse_args().check:
        return save_file(tensors, path)
    stored = load_file(path)
    assert stored.keys() == tensors.keys()
    for name, a in tensors.items():
        assert stored[name].tobytes() == a.tobytes(), name


if __name__ == "__main__":
    main()
