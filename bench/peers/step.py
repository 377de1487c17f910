#!/usr/bin/env python3
"""Times one LoRA training step of PyTorch; with a dump of ours, first compares loss and gradients of that step.

    step.py --dump FOLDER | --model sd15|llama1b|llama7b|chatglm3   [--variant E|C|H|F] [--steps N] ...

Variants: E eager with PEFT's LoRA; C the same through torch.compile; H written by hand (fused q|k|v, one pass LoRA,
text encoded once); F the frozen model alone, forward and backward to its input. Prints one JSON line. Exit status 4:
not the same step as the dump's, and nothing was timed; "apart" says by how much.
"""
import argparse
import json
import resource
import statistics
import sys
import time

import torch
from torch.nn import functional as F

from decoder import Decoder, Names
from dump import Dump, random_fill
from lora import Adapters
from shapes import SHAPES
from unet import TextEncoder, UNet

# Relative L2 distance of the loss, of all gradients, and in fp32 of every matrix. There both sides compute from the
# same fp16 weights; what is left is the order of sums over a depth of some hundred products.
LIMIT = {"fp32": 1e-3, "fp16": 3e-2, "bf16": 1e-1}
DIFFERS = 4  # exit status
NOTHING = 1e-4  # of the largest gradient: smaller ones, as of keys where few tokens attend, are cancellation
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def options():
    p = argparse.ArgumentParser()
    p.add_argument("--dump")
    p.add_argument("--model", choices=list(SHAPES))
    p.add_argument("--variant", choices=list("ECHF"), default="E")
    p.add_argument("--device", default="cpu")
    p.add_argument("--dtype", choices=list(DTYPES), default="fp32", help="of products; adapters are fp32")
    p.add_argument("--steps", type=int, default=3, help="timed ones; 0: compare alone")
    p.add_argument("--seconds", type=float, default=1e9, help="stop timing after so many seconds")
    p.add_argument("--warmup", type=int, default=1)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--rank", type=int, default=8)
    p.add_argument("--batch", type=int, default=1)
    p.add_argument("--resolution", type=int, default=256)
    p.add_argument("--tokens", type=int, default=512)
    p.add_argument("--contiguous", action="store_true", help="NCHW memory instead of channels_last")
    p.add_argument("--memory-gib", type=float, help="cap of the device's memory")
    o = p.parse_args()
    if bool(o.dump) == bool(o.model):
        p.error("one of --dump and --model")
    return o


class Apart(Exception):
    """What differs from the dump, by name, and by how much."""


class Run:
    """What U-Net and decoder runs share: model, adapters, optimizer, one step."""

    def __init__(self, o, dump, sizes, model, groups):
        self.o, self.dump, self.sizes = o, dump, dict(sizes)
        self.device, self.dtype = torch.device(o.device), DTYPES[o.dtype]
        self.hand = o.variant == "H"
        with torch.device("meta"):
            self.model = model(dict(sizes, hand=self.hand))
        self.load()
        self.model.requires_grad_(False)
        self.adapters = None
        if o.variant != "F":
            self.attach(groups)
            self.optimizer = torch.optim.AdamW(self.adapters.params, lr=1e-4, fused=True)
        # On the CPU autocast pays for casts of fp32 adapters only where products are not fp32 anyway.
        half = self.dtype != torch.float32
        self.autocast = lambda: torch.autocast(self.device.type, self.dtype, enabled=half)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        self.predict = self.forward
        if o.variant == "C":
            mode = "reduce-overhead" if self.device.type == "cuda" else None
            self.predict = torch.compile(self.forward, mode=mode)

    def attach(self, groups):
        torch.manual_seed(0)
        if self.dump:
            ranks = {self.path(n[:-5]): self.dump.tensors["lora/" + n]["shape"][0]
                     for n in self.dump.names("lora/") if n.endswith(".down")}
        else:
            ranks = self.model.default_targets(self.o.rank)
        self.adapters = Adapters(self.model, ranks, self.sizes["lora_scale"], self.hand, list(groups(self.model)))
        if self.dump:
            for n in self.lora_modules():
                path = self.path(n)
                self.adapters.set(path, self.dump[f"lora/{n}.down"], self.rows(path, self.dump[f"lora/{n}.up"]))

    def lora_modules(self):
        return [n[:-5] for n in self.dump.names("lora/") if n.endswith(".down")]

    def path(self, module):
        return module

    def rows(self, path, up):
        return up

    def backward(self):
        """Forward, loss, backward; returns the loss."""
        with self.autocast():
            loss = self.loss()
        self.scaler.scale(loss).backward()
        return loss

    def update(self):
        if self.adapters is None:
            self.input.grad = None
            return
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(self.adapters.params, 1.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)

    def sync(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def overflowed(self):
        finite = all(bool(p.grad.isfinite().all()) for p in self.adapters.params)
        return not finite and self.scaler.is_enabled() and self.scaler.get_scale() > 1

    def compare(self):
        """Our first step against this one: relative differences."""
        loss = float(self.backward().detach())
        while self.overflowed():  # as the first steps of training do, which skip such an update
            self.scaler.update(self.scaler.get_scale() / 2)
            self.optimizer.zero_grad(set_to_none=True)
            loss = float(self.backward().detach())
        for p in self.adapters.params:
            p.grad.div_(self.scaler.get_scale())
        want_loss = float(self.dump["out/loss"])
        found = {"loss": want_loss, "loss_difference": abs(loss - want_loss) / abs(want_loss)}
        square = {"down": [0.0, 0.0], "up": [0.0, 0.0]}
        each = []
        for n in self.lora_modules():
            path = self.path(n)
            for kind, got in zip(("down", "up"), self.adapters.grads(path)):
                want = self.dump[f"grad/{n}.{kind}"]
                want = self.rows(path, want) if kind == "up" else want
                want = want.double().flatten()
                distance = float((got.cpu().double().flatten() - want).norm())
                square[kind][0] += distance**2
                square[kind][1] += float(want.norm())**2
                each.append((distance, float(want.norm())))
        for kind, (error, size) in square.items():
            assert size > 0, f"all gradients of {kind} are zero: nothing is compared"
            found[f"{kind}_gradients"] = (error / size)**0.5
        floor = NOTHING * max(size for _, size in each)
        found["worst_matrix"] = max(distance / max(size, floor) for distance, size in each)
        self.optimizer.zero_grad(set_to_none=True)
        return found


class Pictures(Run):
    def __init__(self, o, dump, sizes):
        super().__init__(o, dump, sizes, UNet, lambda m: m.groups())
        if not o.contiguous:
            self.model = self.model.to(memory_format=torch.channels_last)
        generator = torch.Generator().manual_seed(0)
        side = o.resolution // 8
        if dump:
            self.x, self.target = (dump[f"in/{n}"].permute(0, 3, 1, 2).to(self.device) for n in ("x_t", "target"))
            self.ids, self.timestep = dump["in/ids"].long().to(self.device), float(dump["in/timestep"])
        else:
            self.x, self.target = (torch.randn(o.batch, 4, side, side, generator=generator).to(self.device)
                                   for _ in range(2))
            self.ids, self.timestep = torch.full((o.batch, 77), 49407, device=self.device), 500.0
        if not o.contiguous:
            self.x, self.target = (t.contiguous(memory_format=torch.channels_last) for t in (self.x, self.target))
        self.timesteps = torch.full((self.x.shape[0],), self.timestep, device=self.device)
        self.context = None
        if o.variant in "HF":  # captions of a LoRA run can be encoded once
            with torch.no_grad(), self.autocast():
                self.context = self.text(self.ids)
            self.text = None
        if dump and o.variant != "F":
            with torch.no_grad():
                context = self.context if self.context is not None else self.text(self.ids)
            want = dump["in/context"].to(self.device)
            difference = float((context - want).norm() / want.norm())
            if not difference <= LIMIT[o.dtype]:
                raise Apart({"text_encoder": difference})
        if o.variant == "F":
            self.x = self.x.to(self.dtype).requires_grad_()
        self.input = self.x

    def load(self):
        with torch.device("meta"):
            self.text = TextEncoder(self.sizes)
        for model, prefix in ((self.model, "model.diffusion_model."), (self.text, "cond_stage_model.transformer.")):
            if self.dump:
                self.dump.fill(model, prefix, self.dtype, self.device)
            else:
                random_fill(model, self.dtype, self.device)
        self.text.requires_grad_(False)

    def forward(self, x, timesteps, context):
        return self.model(x, timesteps, context)

    def loss(self):
        context = self.context
        if context is None:
            with torch.no_grad():
                context = self.text(self.ids)
        return F.mse_loss(self.predict(self.x, self.timesteps, context).float(), self.target)


class Text(Run):
    def __init__(self, o, dump, sizes):
        self.names = Names(sizes)
        super().__init__(o, dump, sizes, Decoder, lambda m: m.groups())
        tokens = int(dump["in/tokens"]) if dump else o.tokens
        self.ids = (torch.arange(tokens, device=self.device) % sizes["vocab"])[None]
        self.input = None
        if o.variant == "F":
            self.input = self.model.embed(self.ids).detach().requires_grad_()

    def load(self):
        if self.dump:
            self.dump.fill(self.model, "", self.dtype, self.device, self.names.place)
        else:
            random_fill(self.model, self.dtype, self.device)

    def path(self, module):
        return self.names.module(module)

    def rows(self, path, up):
        order = self.names.rows(path)
        return up if order is None else up[order]

    def forward(self, x):
        return self.model.head(self.model.hidden(x))

    def loss(self):
        x = self.model.embed(self.ids) if self.input is None else self.input
        return F.cross_entropy(self.predict(x).float().flatten(0, 1), self.ids.flatten())


def peak_bytes(device):
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(o, result):
    """Fills `result`; raises Apart where the step is not the dump's."""
    if o.threads:
        torch.set_num_threads(o.threads)
    if o.memory_gib:
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(o.memory_gib * 2**30 / total)
    at_start = peak_bytes(torch.device("cpu"))
    dump = Dump(o.dump) if o.dump else None
    sizes = dump.sizes if dump else SHAPES[o.model]
    run = (Pictures if sizes["kind"] == "unet" else Text)(o, dump, sizes)
    result.update(threads=torch.get_num_threads(), import_bytes=at_start)
    begin = time.perf_counter()
    if dump and o.variant != "F":
        result["equal"] = run.compare()
        print(f"{o.variant}: " + ", ".join(f"{k} {v:.3e}" for k, v in result["equal"].items()), file=sys.stderr)
        limit = LIMIT[o.dtype]
        free = {"loss"} if o.dtype == "fp32" else {"loss", "worst_matrix"}
        apart = {k: v for k, v in result["equal"].items() if k not in free and not v <= limit}
        if apart:
            raise Apart(apart)
    if o.steps == 0:
        return
    for _ in range(o.warmup):
        run.backward()
        run.update()
    run.sync()
    result["before_timing_seconds"] = time.perf_counter() - begin
    seconds = []
    while len(seconds) < o.steps and sum(seconds) < o.seconds:
        begin = time.perf_counter()
        run.backward()
        run.update()
        run.sync()
        seconds.append(time.perf_counter() - begin)
    result.update(seconds=statistics.median(seconds), steps=len(seconds), all_seconds=seconds,
                  peak_bytes=peak_bytes(run.device))


def main():
    o = options()
    result = {"variant": o.variant, "dtype": o.dtype, "torch": torch.__version__, "device": o.device}
    try:
        measure(o, result)
    except Apart as e:
        result["apart"] = e.args[0]
        print(f"{o.variant}: not the same step within {LIMIT[o.dtype]}: {result['apart']}", file=sys.stderr)
    print(json.dumps(result))
    sys.exit(DIFFERS if "apart" in result else 0)


main()
