"""Published sizes, for timing on random weights without a dump."""

SD15 = dict(kind="unet", model_channels=320, channel_mult=[1, 2, 4, 4], res_blocks=2, transformer_depth=[1, 1, 1, 0],
            context_dim=768, heads=8, norm_groups=32, text_layers=12, text_width=768, text_heads=12, text_mlp=3072,
            text_vocab=49408, lora_scale=1.0)
LLAMA = dict(kind="decoder", family="llama", rope_theta=10000.0, eps=1e-5, interleaved=False, tied_head=False,
             lora_scale=1.0)
SHAPES = {
    "sd15": SD15,
    "llama1b": dict(LLAMA, vocab=32000, width=2048, mlp=5632, layers=22, heads=32, kv_heads=4, head_dim=64,
                    rotary_dims=64),
    "llama7b": dict(LLAMA, vocab=32000, width=4096, mlp=11008, layers=32, heads=32, kv_heads=32, head_dim=128,
                    rotary_dims=128),
    "chatglm3": dict(LLAMA, family="chatglm3", vocab=65024, width=4096, mlp=13696, layers=28, heads=32, kv_heads=2,
                     head_dim=128, rotary_dims=64),
}
