"""How the original single-file checkpoints spell the tensors that diffusers and transformers name differently."""
import re

import torch

RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1",
          "norm2": "out_layers.0", "conv2": "out_layers.3", "conv_shortcut": "skip_connection"}
TOP = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
       "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
       "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2"}


def unet_path(path, attention_in_up_block):
    """A module (or tensor) path of diffusers' UNet2DConditionModel -> its LDM path.

    attention_in_up_block: per up block, whether its resnets are followed by transformers; the upsampler comes after.
    """
    for old, new in TOP.items():
        if path == old or path.startswith(old + "."):
            return new + path[len(old):]
    m = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.*)", path)
    if m:
        side, i, kind, j, rest = m[1], int(m[2]), m[3], int(m[4]), m[5]
        if kind == "downsamplers":
            return f"input_blocks.{3 * (i + 1)}.0." + rest.replace("conv", "op", 1)
        if kind == "upsamplers":
            return f"output_blocks.{3 * i + 2}.{2 if attention_in_up_block[i] else 1}." + rest
        block = f"input_blocks.{3 * i + j + 1}" if side == "down" else f"output_blocks.{3 * i + j}"
        return f"{block}.0." + resnet(rest) if kind == "resnets" else f"{block}.1." + rest
    m = re.fullmatch(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", path)
    if m:
        return "middle_block.1." + m[3] if m[1] == "attentions" else f"middle_block.{2 * int(m[2])}." + resnet(m[3])
    raise KeyError(path)


def resnet(path):
    head, dot, tail = path.partition(".")
    return RESNET[head] + dot + tail


def vae_tensors(state, levels):
    """State dict of diffusers' AutoencoderKL -> LDM names; attention matrices become 1x1 convolutions."""
    out = {}
    for name, t in state.items():
        name = re.sub(r"encoder\.down_blocks\.(\d+)\.resnets", r"encoder.down.\1.block", name)
        name = re.sub(r"encoder\.down_blocks\.(\d+)\.downsamplers\.0", r"encoder.down.\1.downsample", name)
        name = re.sub(r"decoder\.up_blocks\.(\d+)\.resnets",
                      lambda m: f"decoder.up.{levels - 1 - int(m[1])}.block", name)
        name = re.sub(r"decoder\.up_blocks\.(\d+)\.upsamplers\.0",
                      lambda m: f"decoder.up.{levels - 1 - int(m[1])}.upsample", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", name)
        name = name.replace("mid_block.attentions.0.", "mid.attn_1.").replace("attn_1.group_norm", "attn_1.norm")
        name = re.sub(r"attn_1\.to_(q|k|v)\.", r"attn_1.\1.", name).replace("attn_1.to_out.0", "attn_1.proj_out")
        name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        if re.search(r"attn_1\.(q|k|v|proj_out)\.weight", name):
            t = t[:, :, None, None]
        out["first_stage_model." + name] = t
    return out


def open_clip_tensors(state, layers):
    """State dict of transformers' CLIPTextModelWithProjection -> OpenCLIP names, q, k and v packed by rows."""
    hf = {k: v for k, v in state.items() if not k.endswith("position_ids")}
    out = {"token_embedding.weight": hf.pop("text_model.embeddings.token_embedding.weight"),
           "positional_embedding": hf.pop("text_model.embeddings.position_embedding.weight"),
           "text_projection": hf.pop("text_projection.weight").T}
    for part in ("weight", "bias"):
        out[f"ln_final.{part}"] = hf.pop(f"text_model.final_layer_norm.{part}")
        for n in range(layers):
            old, new = f"text_model.encoder.layers.{n}.", f"transformer.resblocks.{n}."
            packed = torch.cat([hf.pop(f"{old}self_attn.{x}_proj.{part}") for x in "qkv"])
            out[f"{new}attn.in_proj_{part}"] = packed
            for a, b in (("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"),
                         ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")):
                out[f"{new}{b}.{part}"] = hf.pop(f"{old}{a}.{part}")
    assert not hf, hf.keys()
    return {"cond_stage_model.model." + k: v for k, v in out.items()}
