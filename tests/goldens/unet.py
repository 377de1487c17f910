"""The three U-Net layouts in small, under the names of the single-file checkpoints, with LoRA gradients."""
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.embeddings import get_timestep_embedding

import lora
from golden import Golden, plain_attention, randomise
from names import unet_path

PREFIX = "model.diffusion_model."
CONTEXT_DIM, POOLED_DIM, TIME_IDS, WAVES = 32, 32, 6, 32
GROUPS = 8  # with one channel per group, norms would hide every bias and the time embedding
COMMON = dict(in_channels=4, out_channels=4, layers_per_block=2, cross_attention_dim=CONTEXT_DIM, sample_size=16,
              norm_num_groups=GROUPS)


def sd_blocks(levels):
    """Transformers on all levels but the lowest."""
    return dict(down_block_types=["CrossAttnDownBlock2D"] * (levels - 1) + ["DownBlock2D"],
                up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * (levels - 1))


XL_BLOCKS = dict(down_block_types=["DownBlock2D"] + ["CrossAttnDownBlock2D"] * 2,
                 up_block_types=["CrossAttnUpBlock2D"] * 2 + ["UpBlock2D"])


def heads_of(channels, head_dim):
    return [c // head_dim for c in channels]  # diffusers calls this number attention_head_dim


def waves(ids, width):
    """Sinusoids of every number, side by side, as SDXL's size conditioning has them."""
    flat = get_timestep_embedding(ids.flatten(), width, flip_sin_to_cos=True, downscale_freq_shift=0)
    return flat.reshape(len(ids), -1).double()


class Layout:
    def __init__(self, name, channels, **config):
        self.name, self.channels = name, channels
        self.model = UNet2DConditionModel(block_out_channels=channels, **COMMON, **config)
        randomise(plain_attention(self.model), name)
        self.xl = config.get("addition_embed_type") == "text_time"
        self.attention_in_up_block = ["CrossAttn" in b for b in config["up_block_types"]]

    def ldm(self, path):
        return unet_path(path, self.attention_in_up_block)

    def conditioning(self, golden, samples):
        """Extra arguments of forward, and the vector that SDXL's label_emb sees."""
        if not self.xl:
            return {}
        pooled = golden.input(f"pooled_{samples}", (samples, POOLED_DIM))
        ids = torch.tensor([[1024, 1024, 0, 0, 1024, 1024], [640, 960, 16, 128, 768, 1216]])[-samples:]
        golden.add(f"in/time_ids_{samples}", ids)
        golden.add(f"in/vector_{samples}", torch.cat([pooled, waves(ids, WAVES)], dim=1))
        if samples == 2 and golden.config["name"] == self.name:
            golden.add("out/waves_256", waves(ids, 256))  # as wide as the real model's
        return {"added_cond_kwargs": {"text_embeds": pooled, "time_ids": ids}}

    def arguments(self, golden, samples, height, width):
        t = torch.tensor([981, 37])[-samples:]
        golden.add(f"in/t_{samples}", t.float())
        return (golden.input(f"x_{samples}", (samples, 4, height, width)), t,
                golden.input(f"context_{samples}", (samples, 77, CONTEXT_DIM))), self.conditioning(golden, samples)

    def forward_golden(self, **facts):
        golden = Golden(name=self.name, prefix=PREFIX, channels=list(self.channels), norm_groups=GROUPS,
                        context_dim=CONTEXT_DIM, **facts)
        golden.weights({PREFIX + self.ldm(k): v for k, v in self.model.named_parameters()})
        for samples, height, width in ((2, 16, 16), (1, 24, 16)):
            args, extra = self.arguments(golden, samples, height, width)
            with torch.no_grad():
                golden.add(f"out/eps_{samples}", self.model(*args, **extra).sample)
        return golden

    def kohya_name(self, path):
        return "lora_unet_" + (self.ldm(path) if self.xl else path).replace(".", "_")

    def targets(self, with_conv):
        """kohya's defaults: linears and 1x1 convolutions of the transformers; with conv, also the residual blocks'."""
        found = {}
        for path, m in self.model.named_modules():
            if not isinstance(m, (torch.nn.Linear, torch.nn.Conv2d)):
                continue
            if ".attentions." in path or (with_conv and any(x in path for x in ("resnets", "samplers"))):
                found[self.kohya_name(path)] = (m, isinstance(m, torch.nn.Conv2d) and m.kernel_size == (3, 3))
        return found

    def lora_golden(self, with_conv, keep=lambda name: True):
        """loss = mean((eps - target)^2) at one 16x16 sample pair; all modules attached at once."""
        name = f"{self.name}_lora" + ("_conv" if with_conv else "")
        golden = Golden(name=name, weights=self.name, rank=lora.RANK, alpha=lora.ALPHA, conv_rank=lora.CONV_RANK,
                        conv_alpha=lora.CONV_ALPHA, loss="mean((eps - target)^2)")
        (x, t, context), extra = self.arguments(golden, 2, 16, 16)
        target = golden.input("target", (2, 4, 16, 16))
        loras = lora.attach({n: v for n, v in self.targets(with_conv).items() if keep(n)}, name)
        context.requires_grad_()
        eps = self.model(x, t, context, **extra).sample
        loss = ((eps - target) ** 2).mean()
        loss.backward()
        lora.detach(loras)
        golden.add("out/eps", eps)
        golden.add("out/loss", loss)
        golden.add("grad/context", context.grad)
        lora.record(golden, loras, whole=lora.spread(loras))
        return golden


def only_conv(name):
    """The modules that conv adds to kohya's default targets, on a few levels."""
    blocks = ("down_blocks_2", "mid_", "up_blocks_0", "up_blocks_3")
    return "attentions" not in name and any(b in name for b in blocks)


def make():
    sd1 = Layout("unet_sd1", (16, 32, 48, 48), attention_head_dim=8, **sd_blocks(4))
    yield sd1.forward_golden(heads=8)
    yield sd1.lora_golden(with_conv=False)
    yield sd1.lora_golden(with_conv=True, keep=only_conv)

    channels = (16, 32, 32, 32)
    heads = heads_of(channels, head_dim=8)
    sd2 = Layout("unet_sd2", channels, attention_head_dim=heads, use_linear_projection=True, **sd_blocks(4))
    yield sd2.forward_golden(head_dim=8)
    yield sd2.lora_golden(with_conv=False, keep=lambda name: "_attentions_0_" in name)

    channels = (16, 32, 48)
    xl = Layout("unet_xl", channels, attention_head_dim=heads_of(channels, 16), use_linear_projection=True,
                transformer_layers_per_block=[1, 1, 2], addition_embed_type="text_time", addition_time_embed_dim=WAVES,
                projection_class_embeddings_input_dim=POOLED_DIM + TIME_IDS * WAVES, **XL_BLOCKS)
    yield xl.forward_golden(head_dim=16, pooled_dim=POOLED_DIM, wave_dim=WAVES)
    yield xl.lora_golden(with_conv=False)
    yield xl.lora_golden(with_conv=True, keep=lambda name: "transformer_blocks" not in name or "middle" in name)
