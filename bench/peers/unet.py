"""U-Net and text encoder of Stable Diffusion 1.x in plain PyTorch, under the names of its single-file checkpoints."""
import math

import torch
from torch import nn
from torch.nn import functional as F

from lora import outputs


class ResBlock(nn.Module):
    def __init__(self, inside, out, emb, groups):
        super().__init__()
        self.in_layers = nn.Sequential(nn.GroupNorm(groups, inside), nn.SiLU(), nn.Conv2d(inside, out, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, out))
        self.out_layers = nn.Sequential(nn.GroupNorm(groups, out), nn.SiLU(), nn.Identity(),
                                        nn.Conv2d(out, out, 3, padding=1))
        self.skip_connection = nn.Identity() if inside == out else nn.Conv2d(inside, out, 1)

    def forward(self, x, emb, context):
        h = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.out_layers(h) + self.skip_connection(x)


class Attention(nn.Module):
    def __init__(self, channels, context, heads):
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(context, channels, bias=False)
        self.to_v = nn.Linear(context, channels, bias=False)
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, x, context=None):
        if context is None:
            q, k, v = outputs(x, self.to_q, self.to_k, self.to_v)
        else:
            q, (k, v) = self.to_q(x), outputs(context, self.to_k, self.to_v)
        q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (q, k, v))
        return self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class GeGlu(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.proj = nn.Linear(channels, 8 * channels)

    def forward(self, x):
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.net = nn.Sequential(GeGlu(channels), nn.Identity(), nn.Linear(4 * channels, channels))

    def forward(self, x):
        return self.net(x)


class Block(nn.Module):
    def __init__(self, channels, context, heads):
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(channels) for _ in range(3))
        self.attn1 = Attention(channels, channels, heads)
        self.attn2 = Attention(channels, context, heads)
        self.ff = FeedForward(channels)

    def forward(self, x, context):
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), context)
        return x + self.ff(self.norm3(x))


class Transformer(nn.Module):
    def __init__(self, channels, context, heads, depth, groups):
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList(Block(channels, context, heads) for _ in range(depth))
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x, emb, context):
        n, c, h, w = x.shape
        convolutions = hasattr(self.proj_in, "kernel_size") or hasattr(self.proj_in, "base")
        t = self.norm(x)
        if convolutions:
            t = self.proj_in(t).permute(0, 2, 3, 1).reshape(n, h * w, c)
        else:  # variant H made them linears
            t = self.proj_in(t.permute(0, 2, 3, 1).reshape(n, h * w, c))
        for block in self.transformer_blocks:
            t = block(t, context)
        if convolutions:
            t = self.proj_out(t.reshape(n, h, w, c).permute(0, 3, 1, 2).contiguous(memory_format=layout_of(x)))
        else:
            t = self.proj_out(t).reshape(n, h, w, c).permute(0, 3, 1, 2)
        return t + x


def layout_of(x):
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


class Down(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x, emb, context):
        return self.op(x)


class Up(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, emb, context):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class First(nn.Conv2d):
    def forward(self, x, emb, context):
        return super().forward(x)


class UNet(nn.Module):
    """sizes: as in the dump's JSON. forward(x (N, 4, h, w), timesteps (N), context (N, S, C)) -> (N, 4, h, w)."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes = sizes
        base = sizes["model_channels"]
        self.emb = 4 * base
        self.time_embed = nn.Sequential(nn.Linear(base, self.emb), nn.SiLU(), nn.Linear(self.emb, self.emb))
        self.input_blocks = nn.ModuleList([nn.ModuleList([First(4, base, 3, padding=1)])])
        levels, skips, channels = list(enumerate(sizes["channel_mult"])), [base], base
        for level, mult in levels:
            for _ in range(sizes["res_blocks"]):
                self.input_blocks.append(self.level_block(channels, base * mult, level))
                channels = base * mult
                skips.append(channels)
            if level != levels[-1][0]:
                self.input_blocks.append(nn.ModuleList([Down(channels)]))
                skips.append(channels)
        self.middle_block = nn.ModuleList([self.res(channels, channels), self.transformer(channels, 1),
                                           self.res(channels, channels)])
        self.output_blocks = nn.ModuleList()
        for level, mult in reversed(levels):
            for i in range(sizes["res_blocks"] + 1):
                block = self.level_block(channels + skips.pop(), base * mult, level)
                channels = base * mult
                if level > 0 and i == sizes["res_blocks"]:
                    block.append(Up(channels))
                self.output_blocks.append(block)
        self.out = nn.Sequential(nn.GroupNorm(sizes["norm_groups"], channels), nn.SiLU(),
                                 nn.Conv2d(channels, 4, 3, padding=1))

    def res(self, inside, out):
        return ResBlock(inside, out, self.emb, self.sizes["norm_groups"])

    def transformer(self, channels, depth):
        s = self.sizes
        return Transformer(channels, s["context_dim"], s["heads"], depth, s["norm_groups"])

    def level_block(self, inside, out, level):
        block = nn.ModuleList([self.res(inside, out)])
        depth = self.sizes["transformer_depth"][level]
        if depth > 0:
            block.append(self.transformer(out, depth))
        return block

    def waves(self, timesteps):
        half = self.sizes["model_channels"] // 2
        frequencies = torch.exp(-math.log(10000) * torch.arange(half, device=timesteps.device) / half)
        angles = timesteps[:, None].float() * frequencies[None]
        return torch.cat([angles.cos(), angles.sin()], dim=-1)

    def forward(self, x, timesteps, context):
        emb = self.time_embed(self.waves(timesteps).to(self.time_embed[0].weight.dtype))
        skips = []
        for block in self.input_blocks:
            for module in block:
                x = module(x, emb, context)
            skips.append(x)
        for module in self.middle_block:
            x = module(x, emb, context)
        for block in self.output_blocks:
            x = torch.cat([x, skips.pop()], dim=1)
            for module in block:
                x = module(x, emb, context)
        return self.out(x)

    def groups(self):
        """Linears that read one input, for variant H."""
        for path, m in self.named_modules():
            if path.endswith(".attn1"):
                yield [f"{path}.to_{x}" for x in "qkv"]
            if path.endswith(".attn2"):
                yield [f"{path}.to_{x}" for x in "kv"]

    def default_targets(self, rank):
        """Every linear and 1x1 convolution of the transformers."""
        return {p: rank for p, m in self.named_modules()
                if isinstance(m, (nn.Linear, nn.Conv2d)) and (".transformer_blocks." in p or ".proj_" in p)}


class TextLayer(nn.Module):
    def __init__(self, width, mlp, heads):
        super().__init__()
        self.heads = heads
        self.layer_norm1, self.layer_norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.self_attn = nn.ModuleDict({n: nn.Linear(width, width) for n in ("q_proj", "k_proj", "v_proj", "out_proj")})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, mlp), "fc2": nn.Linear(mlp, width)})

    def forward(self, x):
        h = self.layer_norm1(x)
        q, k, v = (self.self_attn[n](h).unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for n in ("q_proj", "k_proj", "v_proj"))
        h = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.self_attn["out_proj"](h)
        h = self.mlp["fc1"](self.layer_norm2(x))
        return x + self.mlp["fc2"](h * torch.sigmoid(1.702 * h))


class TextEncoder(nn.Module):
    """CLIP ViT-L's text side: ids (N, 77) -> (N, 77, width)."""

    def __init__(self, sizes):
        super().__init__()
        width = sizes["text_width"]
        self.text_model = nn.Module()
        self.text_model.embeddings = nn.Module()
        self.text_model.embeddings.token_embedding = nn.Embedding(sizes["text_vocab"], width)
        self.text_model.embeddings.position_embedding = nn.Embedding(77, width)
        self.text_model.encoder = nn.Module()
        self.text_model.encoder.layers = nn.ModuleList(
            TextLayer(width, sizes["text_mlp"], sizes["text_heads"]) for _ in range(sizes["text_layers"]))
        self.text_model.final_layer_norm = nn.LayerNorm(width)

    def forward(self, ids):
        m = self.text_model
        x = m.embeddings.token_embedding(ids) + m.embeddings.position_embedding.weight
        for layer in m.encoder.layers:
            x = layer(x)
        return m.final_layer_norm(x)
