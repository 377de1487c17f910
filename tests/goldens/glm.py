"""ChatGLM-6B and ChatGLM2-6B in plain PyTorch, from their published description: no library has them any more.

Module names are those of the checkpoints. Written for clarity, in the dtype of the weights; batch of one.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F


def rotate(x, angles, interleaved):
    """x (T, heads, R); angles (T, R / 2)."""
    cos, sin = angles.cos()[:, None], angles.sin()[:, None]
    if interleaved:
        u, v = x[..., 0::2], x[..., 1::2]
        return torch.stack([u * cos - v * sin, v * cos + u * sin], -1).flatten(-2)
    u, v = x.chunk(2, -1)
    return torch.cat([u * cos - v * sin, v * cos + u * sin], -1)


def angles(positions, dims, base=10000.0):
    inv = 1.0 / base ** (torch.arange(0, dims, 2, dtype=torch.float32) / dims)
    return positions.float()[:, None] * inv[None]


def attend(q, k, v, mask):
    """q (T, heads, D), k and v (T, groups, D); mask (T, T) of what is seen."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scores = torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(q.shape[-1])
    p = scores.masked_fill(~mask, -math.inf).softmax(-1)
    return torch.einsum("hij,jhd->ihd", p, v).flatten(1)


class RmsNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return x * (x.square().mean(-1, keepdim=True) + self.eps).rsqrt() * self.weight


class Parts(nn.Module):
    """A bag of named modules."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)


class ChatGlm2(nn.Module):
    def __init__(self, k):
        super().__init__()
        w, d = k["hidden_size"], k["kv_channels"]
        self.k, self.heads, self.groups, self.d = k, k["num_attention_heads"], k["multi_query_group_num"], d
        rows = (self.heads + 2 * self.groups) * d
        layers = nn.ModuleList(
            Parts(input_layernorm=RmsNorm(w, k["layernorm_epsilon"]),
                  self_attention=Parts(query_key_value=nn.Linear(w, rows), dense=nn.Linear(self.heads * d, w, bias=False)),
                  post_attention_layernorm=RmsNorm(w, k["layernorm_epsilon"]),
                  mlp=Parts(dense_h_to_4h=nn.Linear(w, 2 * k["ffn_hidden_size"], bias=False),
                            dense_4h_to_h=nn.Linear(k["ffn_hidden_size"], w, bias=False)))
            for _ in range(k["num_layers"]))
        self.transformer = Parts(embedding=Parts(word_embeddings=nn.Embedding(k["padded_vocab_size"], w)),
                                 encoder=Parts(layers=layers, final_layernorm=RmsNorm(w, k["layernorm_epsilon"])),
                                 output_layer=nn.Linear(w, k["padded_vocab_size"], bias=False))

    def forward(self, ids):
        t, d = len(ids), self.d
        turn = angles(torch.arange(t), d // 2, 10000.0 * self.k["rope_ratio"]).to(torch.float64)
        mask = torch.ones(t, t, dtype=torch.bool).tril()
        sizes = [self.heads * d, self.groups * d, self.groups * d]

        def turned(x):  # the first half of each head
            return torch.cat([rotate(x[..., : d // 2], turn, True), x[..., d // 2:]], -1)

        x = self.transformer.embedding.word_embeddings(ids)
        for layer in self.transformer.encoder.layers:
            qkv = layer.self_attention.query_key_value(layer.input_layernorm(x))
            q, k, v = (p.unflatten(-1, (-1, d)) for p in qkv.split(sizes, -1))
            x = x + layer.self_attention.dense(attend(turned(q), turned(k), v, mask))
            gate, up = layer.mlp.dense_h_to_4h(layer.post_attention_layernorm(x)).chunk(2, -1)
            x = x + layer.mlp.dense_4h_to_h(F.silu(gate) * up)
        return self.transformer.output_layer(self.transformer.encoder.final_layernorm(x))


class ChatGlm(nn.Module):
    def __init__(self, k):
        super().__init__()
        w, inner, eps = k["hidden_size"], k["inner_hidden_size"], k["layernorm_epsilon"]
        self.k, self.heads = k, k["num_attention_heads"]
        layers = nn.ModuleList(
            Parts(input_layernorm=nn.LayerNorm(w, eps),
                  attention=Parts(query_key_value=nn.Linear(w, 3 * w), dense=nn.Linear(w, w)),
                  post_attention_layernorm=nn.LayerNorm(w, eps),
                  mlp=Parts(dense_h_to_4h=nn.Linear(w, inner), dense_4h_to_h=nn.Linear(inner, w)))
            for _ in range(k["num_layers"]))
        self.transformer = Parts(word_embeddings=nn.Embedding(k["vocab_size"], w), layers=layers,
                                 final_layernorm=nn.LayerNorm(w, eps))
        self.lm_head = nn.Linear(w, k["vocab_size"], bias=False)

    def forward(self, ids, prefix):
        """prefix: index of <sop>. What stands before it is seen by all; the token before it is [gMASK]."""
        t, d = len(ids), self.k["hidden_size"] // self.heads
        at = torch.arange(t)
        position = torch.where(at < prefix, at, prefix - 1)
        block = torch.where(at < prefix, 0, at - prefix + 1)
        turns = [angles(p, d // 2).to(torch.float64) for p in (position, block)]
        mask = torch.ones(t, t, dtype=torch.bool).tril()
        mask[:, :prefix] = True
        alpha = math.sqrt(2 * self.k["num_layers"])

        def turned(x):
            return torch.cat([rotate(h, turn, False) for h, turn in zip(x.chunk(2, -1), turns)], -1)

        x = self.transformer.word_embeddings(ids)
        for layer in self.transformer.layers:
            n = layer.input_layernorm(x)
            q, k, v = layer.attention.query_key_value(n).unflatten(-1, (self.heads, 3 * d)).chunk(3, -1)
            h = alpha * n + layer.attention.dense(attend(turned(q), turned(k), v, mask))
            m = layer.post_attention_layernorm(h)
            x = alpha * m + layer.mlp.dense_4h_to_h(F.gelu(layer.mlp.dense_h_to_4h(m), approximate="tanh"))
        return self.lm_head(self.transformer.final_layernorm(x))
