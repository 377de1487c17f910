"""LoRA on the linears and convolutions of a frozen model, as PEFT does it (variants E, C) and by hand (variant H)."""
import torch
from torch import nn
from torch.nn import functional as F


class PeftLayer(nn.Module):
    """What PEFT's Linear and Conv2d compute: base(x) + scale B(A(dropout(x))), fp32 adapters, one module each."""

    def __init__(self, base, rank, scale):
        super().__init__()
        self.base, self.scale, self.dropout = base, scale, nn.Identity()
        device = base.weight.device
        if isinstance(base, nn.Conv2d):
            window = dict(kernel_size=base.kernel_size, stride=base.stride, padding=base.padding)
            self.lora_A = nn.Conv2d(base.in_channels, rank, bias=False, device=device, **window)
            self.lora_B = nn.Conv2d(rank, base.out_channels, 1, bias=False, device=device)
        else:
            self.lora_A = nn.Linear(base.in_features, rank, bias=False, device=device)
            self.lora_B = nn.Linear(rank, base.out_features, bias=False, device=device)

    def forward(self, x):
        y = self.base(x)
        return (y + self.lora_B(self.lora_A(self.dropout(x.to(self.lora_A.weight.dtype)))) * self.scale).to(y.dtype)


class LowRankProduct(torch.autograd.Function):
    """y_i = x W_iᵀ + b_i + scale (x A_iᵀ) B_iᵀ for stacked W, b, A: one pass over x, ups added in place."""

    @staticmethod
    def forward(ctx, x, weight, bias, down, scale, *ups):
        flat = x.reshape(-1, x.shape[-1])
        down, ups = down.to(flat.dtype), [u.to(flat.dtype) for u in ups]
        middle = flat @ down.t()
        y = F.linear(flat, weight, bias)
        row = rank = 0
        for up in ups:
            n, r = up.shape
            y[:, row:row + n].addmm_(middle[:, rank:rank + r], up.t(), alpha=scale)
            row, rank = row + n, rank + r
        ctx.save_for_backward(flat, weight, down, middle, *ups)
        ctx.scale, ctx.wants_x, ctx.shape = scale, ctx.needs_input_grad[0], x.shape
        return y.view(*x.shape[:-1], y.shape[-1])

    @staticmethod
    def backward(ctx, dy):
        x, weight, down, middle, *ups = ctx.saved_tensors
        dy = dy.reshape(-1, dy.shape[-1])
        dmiddle, dups = torch.empty_like(middle), []
        row = rank = 0
        for up in ups:
            n, r = up.shape
            part = dy[:, row:row + n]
            dmiddle[:, rank:rank + r] = torch.mm(part, up).mul_(ctx.scale)
            dups.append(torch.mm(part.t(), middle[:, rank:rank + r]).mul_(ctx.scale).float())
            row, rank = row + n, rank + r
        dx = None
        if ctx.wants_x:
            dx = torch.mm(dy, weight).addmm_(dmiddle, down).view(ctx.shape)
        return (dx, None, None, torch.mm(dmiddle.t(), x).float(), None, *dups)


class HandGroup(nn.Module):
    """Linears that read one input as one product; returns one output per linear."""

    def __init__(self, bases, rank, scale):
        super().__init__()
        self.sizes, self.rank, self.scale = [b.weight.shape[0] for b in bases], rank, scale
        weights = [b.weight.flatten(1) for b in bases]  # pointwise convolutions too
        self.weight = weights[0] if len(bases) == 1 else torch.cat(weights)
        self.bias = None if bases[0].bias is None else torch.cat([b.bias for b in bases])
        device = self.weight.device
        self.down = nn.Parameter(torch.randn(rank * len(bases), self.weight.shape[1], device=device) * 0.01)
        self.ups = nn.ParameterList(nn.Parameter(torch.zeros(n, rank, device=device)) for n in self.sizes)

    def forward(self, x):
        if torch.is_autocast_enabled(x.device.type):
            x = x.to(torch.get_autocast_dtype(x.device.type))
        y = LowRankProduct.apply(x, self.weight, self.bias, self.down, self.scale, *self.ups)
        return y.split(self.sizes, dim=-1)


class HandLinear(HandGroup):
    def forward(self, x):
        return super().forward(x)[0]


def outputs(x, *linears):
    """What several linears make of one input; variant H hangs their group on the first."""
    group = getattr(linears[0], "group", None)
    return group(x) if group is not None else [m(x) for m in linears]


class Adapters:
    """The pairs of a model by module path, whichever way they are computed."""

    def __init__(self, model, ranks, scale, hand=False, groups=()):
        """ranks: {module path: rank}; groups: lists of paths that read the same input, for `hand`."""
        self.down, self.up, self.rows, self.params = {}, {}, {}, []
        grouped = {p: tuple(g) for g in groups for p in g if all(q in ranks for q in g)} if hand else {}
        for group in dict.fromkeys(grouped.get(p, (p,)) for p in ranks):
            bases = [model.get_submodule(p) for p in group]
            # proj_in and proj_out work on tokens, whatever their weights are called; other convolutions stay as
            # PEFT has them.
            linear = isinstance(bases[0], nn.Linear) or ".proj_" in group[0]
            if hand and linear:
                self.attach_by_hand(model, group, bases, ranks[group[0]], scale)
            else:
                for path, base in zip(group, bases):
                    self.attach_peft(model, path, base, ranks[path], scale)

    def attach_peft(self, model, path, base, rank, scale):
        layer = PeftLayer(base, rank, scale)
        replace(model, path, layer)
        self.down[path], self.up[path] = layer.lora_A.weight, layer.lora_B.weight
        self.rows[path] = slice(None)
        self.params += [self.down[path], self.up[path]]

    def attach_by_hand(self, model, group, bases, rank, scale):
        made = (HandGroup if len(group) > 1 else HandLinear)(bases, rank, scale)
        if len(group) > 1:
            bases[0].group = made
            for b in bases:  # the stacked copy is the one that is used
                b.weight = b.bias = None
        else:
            replace(model, group[0], made)
        for i, path in enumerate(group):
            self.down[path], self.up[path] = made.down, made.ups[i]
            self.rows[path] = slice(i * rank, (i + 1) * rank)
        self.params += [made.down, *made.ups]

    def set(self, path, down, up):
        with torch.no_grad():
            to = self.down[path][self.rows[path]]
            to.copy_(down.reshape(to.shape))
            self.up[path].copy_(up.reshape(self.up[path].shape))

    def grads(self, path):
        return self.down[path].grad[self.rows[path]], self.up[path].grad


def replace(model, path, module):
    owner, _, leaf = path.rpartition(".")
    setattr(model.get_submodule(owner), leaf, module)
