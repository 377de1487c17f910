"""Decoders of the LLaMA and ChatGLM3 layouts in plain PyTorch, as transformers computes them with SDPA."""
import torch
from torch import nn
from torch.nn import functional as F

from lora import outputs

# Our names of the parts of a layer -> the published ones.
LLAMA = {"embed": "model.embed_tokens", "layers": "model.layers", "norm": "model.norm", "head": "lm_head",
         "norm1": "input_layernorm", "norm2": "post_attention_layernorm", "out": "self_attn.o_proj",
         "q": "self_attn.q_proj", "k": "self_attn.k_proj", "v": "self_attn.v_proj",
         "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}
CHATGLM3 = {"embed": "transformer.embedding.word_embeddings", "layers": "transformer.encoder.layers",
            "norm": "transformer.encoder.final_layernorm", "head": "transformer.output_layer",
            "norm1": "input_layernorm", "norm2": "post_attention_layernorm", "out": "self_attention.dense",
            "qkv": "self_attention.query_key_value", "gate_up": "mlp.dense_h_to_4h", "down": "mlp.dense_4h_to_h"}
NAMES = {"llama": LLAMA, "chatglm3": CHATGLM3}


class RmsNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        f = x.float()
        return self.weight * (f * torch.rsqrt(f.pow(2).mean(-1, keepdim=True) + self.eps)).to(x.dtype)


class FusedRmsNorm(RmsNorm):  # variant H
    def forward(self, x):
        return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)


def rotate(x, cos, sin):
    """Pairs (i, i + R/2) of the first R numbers of a head; x (N, H, T, D), cos and sin (T, R)."""
    r = cos.shape[-1]
    turned, rest = x[..., :r], x[..., r:]
    a, b = turned.chunk(2, dim=-1)
    turned = turned * cos + torch.cat([-b, a], dim=-1) * sin
    return turned if rest.shape[-1] == 0 else torch.cat([turned, rest], dim=-1)


class Layer(nn.Module):
    def __init__(self, s):
        super().__init__()
        self.head_dim, self.heads, self.kv_heads = s["head_dim"], s["heads"], s["kv_heads"]
        width, q, kv = s["width"], self.heads * self.head_dim, self.kv_heads * self.head_dim
        norm = FusedRmsNorm if s.get("hand") else RmsNorm
        self.norm1, self.norm2 = norm(width, s["eps"]), norm(width, s["eps"])
        self.fused = s["family"] == "chatglm3"
        if self.fused:
            self.qkv = nn.Linear(width, q + 2 * kv)
            self.gate_up = nn.Linear(width, 2 * s["mlp"], bias=False)
        else:
            self.q, self.k, self.v = (nn.Linear(width, n, bias=False) for n in (q, kv, kv))
            self.gate, self.up = (nn.Linear(width, s["mlp"], bias=False) for _ in range(2))
        self.sizes = [q, kv, kv]
        self.out = nn.Linear(q, width, bias=False)
        self.down = nn.Linear(s["mlp"], width, bias=False)

    def attention(self, x, cos, sin):
        q, k, v = self.qkv(x).split(self.sizes, dim=-1) if self.fused else outputs(x, self.q, self.k, self.v)
        q, k, v = (t.unflatten(-1, (-1, self.head_dim)).transpose(1, 2) for t in (q, k, v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        shared = self.heads // self.kv_heads
        if shared > 1:  # transformers' repeat_kv
            k, v = (t[:, :, None].expand(-1, -1, shared, -1, -1).flatten(1, 2) for t in (k, v))
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(o.transpose(1, 2).flatten(2))

    def forward(self, x, cos, sin):
        x = x + self.attention(self.norm1(x), cos, sin)
        h = self.norm2(x)
        gate, up = self.gate_up(h).chunk(2, dim=-1) if self.fused else outputs(h, self.gate, self.up)
        return x + self.down(F.silu(gate) * up)


class Decoder(nn.Module):
    """forward(ids (N, T)) -> logits (N, T, V)."""

    def __init__(self, sizes):
        super().__init__()
        s = self.sizes = sizes
        self.embed = nn.Embedding(s["vocab"], s["width"])
        self.layers = nn.ModuleList(Layer(s) for _ in range(s["layers"]))
        self.norm = (FusedRmsNorm if s.get("hand") else RmsNorm)(s["width"], s["eps"])
        self.head = nn.Linear(s["width"], s["vocab"], bias=False)

    def angles(self, length, device, dtype):
        r = self.sizes["rotary_dims"]
        frequencies = self.sizes["rope_theta"] ** (-torch.arange(0, r, 2, device=device).float() / r)
        t = torch.arange(length, device=device).float()[:, None] * frequencies[None]
        t = torch.cat([t, t], dim=-1)
        return t.cos().to(dtype), t.sin().to(dtype)

    def hidden(self, x):
        """x (N, T, width): embedded tokens."""
        cos, sin = self.angles(x.shape[1], x.device, x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return self.norm(x)

    def forward(self, ids):
        return self.head(self.hidden(self.embed(ids)))

    def groups(self):
        """Linears that read one input, for variant H. An output without an adapter has no place in one."""
        for i in range(self.sizes["layers"]):
            yield [f"layers.{i}.{x}" for x in "qkv"]
            yield [f"layers.{i}.{x}" for x in ("gate", "up")]

    def default_targets(self, rank):
        parts = ("qkv",) if self.sizes["family"] == "chatglm3" else ("q", "v")
        return {f"layers.{i}.{p}": rank for i in range(self.sizes["layers"]) for p in parts}


class Names:
    """Between the dump's names and row orders and those here."""

    def __init__(self, sizes):
        self.sizes, self.names = sizes, NAMES[sizes["family"]]

    def ours(self, path):
        """model.layers.3.self_attn.q_proj.weight -> layers.3.q.weight"""
        module, _, leaf = path.rpartition(".")
        return f"{self.module(module)}.{leaf}"

    def module(self, module):
        layers = self.names["layers"] + "."
        if module.startswith(layers):
            number, _, part = module[len(layers):].partition(".")
            return f"layers.{number}.{next(k for k, v in self.names.items() if v == part)}"
        return next(k for k, v in self.names.items() if v == module)

    def rows(self, module):
        """The order in which rows of a rotated output are taken so that pairs are (i, i + R/2); None: as they are."""
        s, part = self.sizes, module.rpartition(".")[2]
        heads = {"q": s["heads"], "k": s["kv_heads"], "qkv": s["heads"] + s["kv_heads"]}.get(part)
        if heads is None or not s["interleaved"]:
            return None
        r, d = s["rotary_dims"], s["head_dim"]
        head = torch.cat([torch.arange(0, r, 2), torch.arange(1, r, 2), torch.arange(r, d)])
        order = (torch.arange(heads)[:, None] * d + head[None]).flatten()
        if part == "qkv":
            order = torch.cat([order, torch.arange(len(order), len(order) + s["kv_heads"] * d)])
        return order

    def place(self, name, t):
        path = self.ours(name)
        order = self.rows(path.rpartition(".")[0])
        return path, t if order is None else t[order]
