"""Writes the PyTorch files of this folder. Needs torch (made with 1.13: Debian 12's python3-torch).

    python3 tests/formats/torch/make_torch_files.py
"""
import argparse
import collections
import pathlib

import numpy
import torch

HERE = pathlib.Path(__file__).resolve().parent


def tensors():
    grid = torch.arange(12.0).reshape(3, 4)
    both = torch.arange(4, dtype=torch.int32)
    return collections.OrderedDict([
        ("f64", torch.tensor([0.5, -1.25], dtype=torch.float64)),
        ("f32", grid / 2),
        ("f16", torch.tensor([[1.0, -2.5]], dtype=torch.float16)),
        ("bf16", torch.tensor([3.0, -0.125, 1e30], dtype=torch.bfloat16)),
        ("i64", torch.tensor([-(2**40), 7])),
        ("i16", torch.tensor([-300], dtype=torch.int16)),
        ("i8", torch.tensor([-5, 5], dtype=torch.int8)),
        ("u8", torch.tensor([200], dtype=torch.uint8)),
        ("bool", torch.tensor([True, False, True])),
        ("complex", torch.tensor([1 + 2j])),
        ("scalar", torch.tensor(2.5)),
        ("empty", torch.zeros(0, 3)),
        ("transposed", grid.t()),
        ("every.second", grid[:, ::2]),
        ("last.row", grid[2]),
        ("expanded", torch.arange(4.0).expand(1, -1)),
        ("tied.a", both),
        ("tied.b", both),
        ("parameter", torch.nn.Parameter(torch.tensor([1.0, 2.0]))),
    ])


def lightning():
    return {
        "epoch": 3,
        "global_step": 840000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": tensors(),
        "callbacks": {argparse.Namespace: {"best": numpy.float64(0.25), "seen": {1, 2}, "big": 2**70}},
        "optimizer_states": [{"state": {0: {"step": 1, "exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 1e-4}]}],
        "lr_schedulers": [],
        "hparams": argparse.Namespace(width=4, name="Größe"),
    }


def main():
    torch.save(tensors(), HERE / "plain.bin")
    torch.save(tensors(), HERE / "protocol4.bin", pickle_protocol=4)
    torch.save(tensors(), HERE / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save(lightning(), HERE / "lightning.ckpt")
    torch.save(torch.nn.Linear(2, 1), HERE / "module.pt")
    torch.jit.script(torch.nn.Linear(2, 1)).save(str(HERE / "script.pt"))


main()
