"""LoRA of kohya's definition on any module tree: y += (alpha / rank) up(down(x)), added by forward hooks."""
import torch
from torch.nn import functional as F

from golden import as_stored, numbers

RANK, ALPHA = 4, 2.0            # linears and 1x1 convolutions
CONV_RANK, CONV_ALPHA = 2, 1.5  # 3x3 convolutions


class Lora:
    """One module's pair. Down starts as Kaiming-uniform does in size; up is random too, or its gradient would hide."""

    def __init__(self, seed_name, module, rank, alpha):
        shape = module.weight.shape
        down, up = (rank,) + tuple(shape[1:]), (shape[0], rank) + (1,) * (len(shape) - 2)
        fan_in = module.weight[0].numel()
        self.scale, self.alpha = alpha / rank, alpha
        self.down = as_stored(numbers(f"{seed_name}/down", down, fan_in**-0.5), half=True).requires_grad_()
        self.up = as_stored(numbers(f"{seed_name}/up", up, 0.5 * rank**-0.5), half=True).requires_grad_()
        self.handle = module.register_forward_hook(self.add_to)

    def add_to(self, module, args, y):
        x = args[0]
        if isinstance(module, torch.nn.Conv2d):
            h = F.conv2d(x, self.down, None, module.stride, module.padding)
            return y + self.scale * F.conv2d(h, self.up)
        return y + self.scale * F.linear(F.linear(x, self.down), self.up)


def attach(targets, seed_name):
    """targets: {kohya name: (module, is 3x3 convolution)}."""
    return {name: Lora(f"{seed_name}/{name}", m, *((CONV_RANK, CONV_ALPHA) if conv else (RANK, ALPHA)))
            for name, (m, conv) in targets.items()}


def detach(loras):
    for lora in loras.values():
        lora.handle.remove()


def record(golden, loras, whole):
    """Stores all matrices and both gradient norms of every module, and the whole gradients of those in `whole`."""
    for name, lora in loras.items():
        assert min(lora.down.grad.norm(), lora.up.grad.norm()) > 1e-6, f"{name}: nothing to test"
        golden.add(f"lora/{name}.lora_down.weight", lora.down)
        golden.add(f"lora/{name}.lora_up.weight", lora.up)
        golden.add(f"lora/{name}.alpha", torch.tensor(lora.alpha))
        golden.add(f"grad_norm/{name}", torch.stack([lora.down.grad.norm(), lora.up.grad.norm()]))
        if name in whole:
            golden.add(f"grad/{name}.lora_down.weight", lora.down.grad)
            golden.add(f"grad/{name}.lora_up.weight", lora.up.grad)


def kind(name):
    return "_".join(w for w in name.split("_") if not w.isdigit())


def spread(names, count=12):
    """About `count` modules evenly over the network, and every kind of module at least once."""
    names = list(names)
    chosen = set(names[:: max(1, len(names) // count)])
    kinds = {kind(n) for n in chosen}
    for n in names:
        if kind(n) not in kinds:
            kinds.add(kind(n))
            chosen.add(n)
    return chosen
