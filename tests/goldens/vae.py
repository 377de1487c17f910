"""AutoencoderKL in small, under LDM names, with gradients of a reconstruction loss."""
import torch
from diffusers import AutoencoderKL

from golden import Golden, plain_attention, randomise
from names import vae_tensors

CHANNELS, GROUPS = (16, 32, 48, 48), 8
GRADIENTS = ["encoder.down.0.block.0.conv1.weight", "encoder.conv_in.bias", "encoder.down.1.downsample.conv.bias",
             "encoder.mid.attn_1.k.weight", "encoder.norm_out.weight", "quant_conv.weight", "post_quant_conv.weight",
             "decoder.conv_in.weight", "decoder.mid.attn_1.q.weight", "decoder.mid.attn_1.norm.bias",
             "decoder.up.3.upsample.conv.bias", "decoder.up.1.block.0.nin_shortcut.weight",
             "decoder.up.1.block.2.norm1.weight", "decoder.conv_out.weight"]


def make():
    model = AutoencoderKL(block_out_channels=CHANNELS, down_block_types=["DownEncoderBlock2D"] * 4,
                          up_block_types=["UpDecoderBlock2D"] * 4, latent_channels=4, layers_per_block=2,
                          norm_num_groups=GROUPS, sample_size=64)
    randomise(plain_attention(model), "vae")
    golden = Golden(name="vae", prefix="first_stage_model.", channels=list(CHANNELS), norm_groups=GROUPS,
                    loss="mean((decode(mean + exp(logvar / 2) noise) - target)^2)")
    golden.weights(vae_tensors(dict(model.named_parameters()), levels=4))

    one, two = golden.input("image", (1, 3, 64, 32), 0.5), golden.input("images", (2, 3, 40, 32), 0.5)
    latents, target = golden.input("latents", (2, 4, 4, 6)), golden.input("target", (2, 3, 40, 32), 0.5)
    noise = golden.input("noise", (2, 4, 5, 4))
    with torch.no_grad():
        golden.add("out/moments", model.quant_conv(model.encoder(one)))
        golden.add("out/moments_batch", model.quant_conv(model.encoder(two)))
        golden.add("out/decoded", model.decoder(model.post_quant_conv(latents)))

    model.requires_grad_(True)
    two.requires_grad_()
    mean, logvar = model.quant_conv(model.encoder(two)).chunk(2, dim=1)
    z = mean + torch.exp(0.5 * logvar.clamp(-30, 20)) * noise
    picture = model.decoder(model.post_quant_conv(z))
    loss = ((picture - target) ** 2).mean()
    loss.backward()
    golden.add("out/reconstruction", picture)
    golden.add("out/loss", loss)
    golden.add("grad/images", two.grad)
    grads = vae_tensors({k: p.grad for k, p in model.named_parameters()}, levels=4)
    for name in GRADIENTS:
        golden.add(f"grad/{golden.config['prefix']}{name}", grads[golden.config["prefix"] + name])
    yield golden
