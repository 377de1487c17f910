#!/usr/bin/env python3
"""Loads our base model and adapter with diffusers and compares its U-Net with what peer_dump recorded of ours.

    diffusers_lora.py MODEL FOLDER      FOLDER holds adapter.safetensors and recorded.safetensors
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "goldens"))

import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders import LoraLoaderMixin
from diffusers.models.attention_processor import Attention
from safetensors import safe_open
from safetensors.torch import load_file

import names

LIMIT = 1e-4  # relative error of the whole output


def attention_scores(self, query, key, attention_mask=None):
    """diffusers adds beta = 0 times uninitialised memory here, which PyTorch 1.13 turns into NaN when it holds one."""
    return (query @ key.transpose(-1, -2) * self.scale).softmax(dim=-1)


Attention.get_attention_scores = attention_scores


def build_unet(model):
    """Our U-Net in diffusers' own class, sizes and weights from the single file."""
    with safe_open(model, "pt") as file:
        groups = int(file.metadata()["rankine.norm_groups"])
        state = {k[len("model.diffusion_model."):]: file.get_tensor(k).float()
                 for k in file.keys() if k.startswith("model.diffusion_model.")}
    base = state["input_blocks.0.0.weight"].shape[0]
    widths = [state[f"input_blocks.{n}.0.in_layers.2.weight"].shape[0] for n in (1, 4, 7, 10)]
    assert widths[0] == base
    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=widths, layers_per_block=2, norm_num_groups=groups, attention_head_dim=8,
        cross_attention_dim=state["middle_block.1.transformer_blocks.0.attn2.to_k.weight"].shape[1],
        down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
        up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3)
    attention = [False, True, True, True]
    unet.load_state_dict({name: state[names.unet_path(name, attention)] for name in unet.state_dict()})
    return unet.eval()


def run(unet, recorded):
    with torch.no_grad():
        x = recorded["x"].permute(0, 3, 1, 2)
        return unet(x, recorded["t"], recorded["context"]).sample.permute(0, 2, 3, 1)


def compare(what, got, want):
    error = ((got - want).norm() / want.norm()).item()
    print(f"{what}: relative error {error:.2e}")
    assert error <= LIMIT, f"{what}: {error} is above {LIMIT}"


def main():
    model, folder = sys.argv[1:]
    recorded = load_file(os.path.join(folder, "recorded.safetensors"))
    with safe_open(os.path.join(folder, "recorded.safetensors"), "pt") as file:
        modules = int(file.metadata()["modules"])
    unet = build_unet(model)
    compare("U-Net without adapter", run(unet, recorded), recorded["base"])

    path = os.path.join(folder, "adapter.safetensors")
    keys = load_file(path).keys()
    expected = {"lora_down.weight", "lora_up.weight", "alpha"}
    per_module = {}
    for key in keys:
        module, part = key.split(".", 1)
        per_module.setdefault(module, set()).add(part)
    assert all(parts == expected for parts in per_module.values()), "every module needs down, up and alpha"
    # kohya's 192; with convolutions 86 more, less one shortcut that equal widths of two levels leave out.
    assert len(per_module) == modules and modules in (192, 277), f"{len(per_module)} modules"

    state, alphas = LoraLoaderMixin.lora_state_dict(path, unet_config=unet.config)
    LoraLoaderMixin.load_lora_into_unet(state, alphas, unet)
    adapted = run(unet, recorded)
    compare(f"U-Net with {modules} adapter modules", adapted, recorded["adapted"])
    change = ((recorded["adapted"] - recorded["base"]).norm() / recorded["base"].norm()).item()
    assert change > 0.05, "the adapter hardly changes anything: the comparison would prove nothing"


main()
