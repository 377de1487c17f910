#!/usr/bin/env python3
"""Loads our adapter folders with PEFT and compares what its modules do with what peft_dump recorded of ours.

    peft_lora.py make FOLDER             writes a tiny LLaMA with random weights there
    peft_lora.py compare BASE FOLDER VARIANT
        FOLDER holds adapter/ and recorded.safetensors: per module its output, "x.N" the inputs of width N, and, where
        a whole model of ours has run, "tokens" and "logits".
    peft_lora.py save BASE FOLDER        an adapter of PEFT's own with patterns and DoRA, in FOLDER/adapter
    peft_lora.py deltas BASE FOLDER      compares deltas.safetensors, which peft_dump made of it, with PEFT's
"""
import os
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

LIMIT = 1e-5  # relative error of a module's output: fp32 sums of at most 64 products


def make(folder):
    torch.manual_seed(1)
    config = LlamaConfig(vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
    LlamaForCausalLM(config).save_pretrained(folder, safe_serialization=True)


def relative(got, want):
    return ((got - want).norm() / want.norm()).item()


def check(what, got, want, limit):
    error = relative(got, want)
    assert error <= limit, f"{what}: relative error {error:.2e} is above {limit}"
    return error


def compare(base, folder, variant):
    recorded = load_file(os.path.join(folder, "recorded.safetensors"))
    plain = LlamaForCausalLM.from_pretrained(base, torch_dtype=torch.float32).eval()
    weights = {name: module.weight.detach().clone() for name, module in plain.named_modules() if hasattr(module, "weight")}
    model = PeftModel.from_pretrained(plain, os.path.join(folder, "adapter")).eval()
    config = model.peft_config["default"]
    assert config.use_dora == (variant == "dora") and config.use_rslora == (variant == "rslora")

    layers = {name[len("base_model.model."):]: module for name, module in model.named_modules()
              if isinstance(module, LoraLayer)}
    ours = {name for name in recorded if name.endswith("_proj")}
    assert set(layers) == ours and len(ours) == 7 * plain.config.num_hidden_layers, set(layers) ^ ours
    state = load_file(os.path.join(folder, "adapter", "adapter_model.safetensors"))
    worst, change = 0.0, 0.0
    with torch.no_grad():
        for name, layer in layers.items():
            x = recorded[f"x.{layer.in_features}"]
            worst = max(worst, check(name, layer(x), recorded[name], LIMIT))
            a, b = (state[f"base_model.model.{name}.lora_{half}.weight"] for half in "AB")
            delta = layer.get_delta_weight("default")
            check(name + " delta", delta, layer.scaling["default"] * b @ a, LIMIT)
            change = max(change, relative(recorded[name], x @ weights[name].T))
        if "logits" in recorded:
            logits = model(recorded["tokens"].long()).logits
            print(f"{variant}: logits: relative error {check('logits', logits, recorded['logits'], 1e-4):.2e}")
    assert change > 0.05, "the adapter hardly changes anything: the comparison would prove nothing"
    print(f"{variant}: {len(layers)} modules, relative error of outputs at most {worst:.2e}")
    merged = model.merge_and_unload()
    for name, layer in layers.items():
        x = recorded[f"x.{layer.in_features}"]
        with torch.no_grad():
            check(name + " merged", merged.get_submodule(name)(x), recorded[name], LIMIT)


def save(base, folder):
    config = LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], use_dora=True,
                        rank_pattern={"layers.1.self_attn.q_proj": 2, "down_proj": 3},
                        alpha_pattern={"down_proj": 5, "layers.1.self_attn.q_proj": 7}, task_type="CAUSAL_LM")
    torch.manual_seed(2)
    model = get_peft_model(LlamaForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.add_(torch.randn_like(parameter))
    model.save_pretrained(os.path.join(folder, "adapter"))


def deltas(base, folder):
    model = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), os.path.join(folder, "adapter"))
    ours = load_file(os.path.join(folder, "deltas.safetensors"))
    layers = {name[len("base_model.model."):]: module for name, module in model.named_modules()
              if isinstance(module, LoraLayer)}
    assert set(ours) == set(layers) | {name + ".magnitude" for name in layers}, set(ours)
    with torch.no_grad():
        for name, layer in layers.items():
            check(name, ours[name], layer.get_delta_weight("default"), LIMIT)
            vector = layer.lora_magnitude_vector["default"]
            check(name, ours[name + ".magnitude"], getattr(vector, "weight", vector), LIMIT)
    print(f"read: {len(layers)} modules of PEFT's own")


commands = {"make": make, "compare": compare, "save": save, "deltas": deltas}
commands[sys.argv[1]](*sys.argv[2:])
