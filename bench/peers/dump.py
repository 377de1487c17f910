"""Reads what `rankine-bench step --dump` wrote (bench/step_dump.h).

Plain reads, one tensor at a time: a mapped file would count in the peak memory that is compared.
"""
import json

import numpy as np
import torch

TYPES = {"F16": np.float16, "F32": np.float32, "I32": np.int32}


class Dump:
    def __init__(self, folder):
        self.file = open(f"{folder}/step.safetensors", "rb")
        size = int.from_bytes(self.file.read(8), "little")
        self.tensors = json.loads(self.file.read(size))
        self.sizes = json.loads(self.tensors.pop("__metadata__")["step"])
        self.begin = 8 + size

    def names(self, prefix):
        return [n[len(prefix):] for n in self.tensors if n.startswith(prefix)]

    def __getitem__(self, name):
        t = self.tensors[name]
        begin, end = t["data_offsets"]
        self.file.seek(self.begin + begin)
        values = np.fromfile(self.file, dtype=TYPES[t["dtype"]], count=(end - begin) // TYPES[t["dtype"]]().itemsize)
        return torch.from_numpy(values.reshape(t["shape"]))

    def fill(self, model, prefix, dtype, device, place=lambda name, t: (name, t)):
        """Gives the modules of a model on the meta device their weights; every one must be there."""
        missing = {n for n, _ in model.named_parameters()}
        for name in self.names("weights/" + prefix):
            path, t = place(name, self["weights/" + prefix + name])
            owner, _, leaf = path.rpartition(".")
            module = model.get_submodule(owner)
            want = getattr(module, leaf).shape
            assert t.shape == want, f"{path}: {tuple(t.shape)} in the dump, {tuple(want)} in the model"
            setattr(module, leaf, torch.nn.Parameter(t.to(device, dtype), requires_grad=False))
            missing.remove(path)
        assert not missing, f"not in the dump: {sorted(missing)}"


def random_fill(model, dtype, device):
    """Random weights of the size that training leaves, for timing without a dump."""
    for path, p in list(model.named_parameters()):
        owner, _, leaf = path.rpartition(".")
        if p.dim() > 1:
            t = torch.randn(p.shape, device=device, dtype=dtype) * p[0].numel() ** -0.5
        else:
            t = torch.full(p.shape, float(leaf == "weight"), device=device, dtype=dtype)
        setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(t, requires_grad=False))
