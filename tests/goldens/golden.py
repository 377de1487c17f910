"""What every golden shares: numbers that depend on a name and a seed alone, half-precision weights, one file format."""
import json
import pathlib
import zlib

import numpy as np
import torch
from safetensors.numpy import load_file

SEED = 20240607
DTYPES = {"float32": "F32", "float16": "F16", "int32": "I32"}


def numbers(name, shape, scale=1.0):
    """N(0, scale) from a generator keyed by the name: independent of the order of calls and of PyTorch's version."""
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    return torch.from_numpy(rng.standard_normal(shape) * scale)


def as_stored(t, half):
    """The value a reader of the file will see."""
    return t.to(torch.float16 if half else torch.float32).to(torch.float64)


def randomise(model, prefix):
    """Fills every parameter so that signals keep their size and no gain is 1, no bias 0; exact in fp16."""
    model.double().eval().requires_grad_(False)
    for name, p in model.named_parameters():
        x = numbers(f"{prefix}/{name}", tuple(p.shape))
        if "embedding.weight" in name:
            x *= 0.3
        elif p.ndim > 1:
            x *= p[0].numel() ** -0.5
        else:
            x = 1 + 0.2 * x if name.endswith("weight") else 0.1 * x
        p.copy_(as_stored(x, half=True))
    return model


def plain_attention(model):
    """diffusers' own scores start from uninitialised memory times zero, which some PyTorch versions let become NaN."""
    from diffusers.models.attention_processor import Attention, AttnProcessor

    Attention.get_attention_scores = lambda self, q, k, mask=None: (self.scale * q @ k.transpose(1, 2)).softmax(-1)
    model.set_attn_processor(AttnProcessor())
    return model


class Golden:
    """One file. Weights and LoRA matrices are stored as F16, ids as I32, everything else as F32."""

    def __init__(self, **config):
        self.tensors = {}
        self.config = config

    def add(self, name, t):
        t = t.detach().cpu()
        if name.startswith(("weights/", "lora/")):
            stored = t.to(torch.float16)
        elif t.dtype in (torch.int32, torch.int64):
            stored = t.to(torch.int32)
        else:
            stored = t.to(torch.float32)
        assert name not in self.tensors and stored.isfinite().all(), name
        self.tensors[name] = stored.contiguous().numpy()
        return t

    def input(self, name, shape, scale=1.0):
        """A random input, already rounded to what the file holds."""
        return self.add(f"in/{name}", as_stored(numbers(f"{self.config['name']}/{name}", shape, scale), half=False))

    def weights(self, tensors):
        for name, t in tensors.items():
            self.add(f"weights/{name}", t)

    def save(self, folder):
        """Sorted throughout, so that equal numbers make equal files; safetensors' own writer shuffles the metadata."""
        path = pathlib.Path(folder) / f"{self.config['name']}.safetensors"
        text = {k: v if isinstance(v, str) else json.dumps(v) for k, v in sorted(self.config.items())}
        header, data = {"__metadata__": text}, b""
        for name, a in sorted(self.tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
            end = len(data) + a.nbytes
            header[name] = {"dtype": DTYPES[a.dtype.name], "shape": a.shape, "data_offsets": [len(data), end]}
            data += a.tobytes()
        head = json.dumps(header, separators=(",", ":")).encode()
        head += b" " * (-len(head) % 8)
        path.write_bytes(len(head).to_bytes(8, "little") + head + data)
        print(f"{path.name}: {len(self.tensors)} tensors, {path.stat().st_size / 1e6:.2f} MB")

    def check(self, folder):
        """Raises when the stored file says something else than this run."""
        path = pathlib.Path(folder) / f"{self.config['name']}.safetensors"
        stored = load_file(path)
        assert stored.keys() == self.tensors.keys(), sorted(stored.keys() ^ self.tensors.keys())
        worst = 0.0
        for name, want in stored.items():
            got, want = self.tensors[name].astype(np.float64), want.astype(np.float64)
            error = np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30)
            assert error < 1e-5, f"{path.name}: {name} differs by {error}"
            worst = max(worst, error)
        print(f"{path.name}: same, worst relative error {worst:.1e}")
