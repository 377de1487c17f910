"""Goldens of the decoder-only language models: logits and LoRA gradients of tiny random models of every family.

    pip install -r requirements-decoders.txt
    python make_decoders.py            writes decoder_*.safetensors beside this file
    python make_decoders.py --check    compares a new run with the stored files

The models are transformers' own, but for ChatGLM-6B and ChatGLM2-6B (glm.py). Weights are exact in fp16, arithmetic is
in double; rotary angles are fp32 products, as models are trained with.
"""
import argparse
import pathlib

import torch
import transformers as hf
from torch.nn import functional as F

import glm
import lora
from golden import Golden, numbers, randomise

T, V, PREFIX = 24, 160, 9
SIZES = dict(vocab_size=V, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=6,
             num_key_value_heads=2, max_position_embeddings=64, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
             attn_implementation="eager")
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)
GLM2 = dict(model_type="chatglm", padded_vocab_size=V, hidden_size=48, ffn_hidden_size=80, num_layers=3,
            num_attention_heads=6, multi_query_attention=True, multi_query_group_num=2, kv_channels=16, seq_length=64,
            layernorm_epsilon=1e-5, rope_ratio=2.0, add_qkv_bias=True, add_bias_linear=False, rmsnorm=True)
GLM1 = dict(model_type="chatglm", vocab_size=V, hidden_size=48, inner_hidden_size=96, num_layers=3,
            num_attention_heads=3, max_sequence_length=64, layernorm_epsilon=1e-5, position_encoding_2d=True)

FAMILIES = {
    "llama": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(**SIZES, rope_theta=10000.0)),
    "llama3": lambda: hf.LlamaForCausalLM(
        hf.LlamaConfig(**{**SIZES, "tie_word_embeddings": True}, rope_theta=500.0, rope_scaling=LLAMA3)),
    "mistral": lambda: hf.MistralForCausalLM(hf.MistralConfig(**SIZES, sliding_window=7, rope_theta=10000.0)),
    "qwen2": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(**SIZES, rope_theta=1e6)),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**SIZES, head_dim=16, rope_theta=1e6)),
    "glm4": lambda: hf.GlmForCausalLM(
        hf.GlmConfig(**{**SIZES, "pad_token_id": 0}, head_dim=16, partial_rotary_factor=0.5, attention_bias=True)),
    "chatglm2": lambda: glm.ChatGlm2(GLM2),
    "chatglm": lambda: glm.ChatGlm(GLM1),
}


def config_of(family, model):
    if family.startswith("chatglm"):
        return GLM2 if family == "chatglm2" else GLM1
    text = model.config.to_dict()
    return {k: v for k, v in text.items() if isinstance(v, (int, float, str, bool, dict)) and not k.startswith("_")}


def logits_of(family, model, ids):
    if family == "chatglm2":
        return model(ids)
    if family == "chatglm":
        return model(ids, PREFIX)
    return model(input_ids=ids[None], use_cache=False).logits[0]


def fp32_angles(model):
    """In a model turned to double the frequencies would be doubles; checkpoints were trained with single ones."""
    for module in model.modules():
        if hasattr(module, "inv_freq"):
            module.inv_freq = module.inv_freq.float()


def make_one(family):
    name = f"decoder_{family}"
    model = FAMILIES[family]()
    frequencies = {n: m.inv_freq.clone() for n, m in model.named_modules() if hasattr(m, "inv_freq")}
    randomise(model, name)
    for n, m in model.named_modules():
        if n in frequencies:
            m.inv_freq = frequencies[n]
    golden = Golden(name=name, family=family, config=config_of(family, model), prefix=PREFIX, rank=lora.RANK,
                    alpha=lora.ALPHA, loss="mean cross-entropy of rows prefix .. T - 2 against the next token")
    golden.weights(dict(model.named_parameters()))
    ids = golden.add("in/ids", (numbers(f"{name}/ids", (T,)).abs() * 1e4).long() % V)
    with torch.no_grad():
        golden.add("out/logits", logits_of(family, model, ids))
    targets = {n: (m, False) for n, m in model.named_modules()
               if isinstance(m, torch.nn.Linear) and n not in ("lm_head", "transformer.output_layer")}
    loras = lora.attach(targets, name)
    out = logits_of(family, model, ids)
    loss = F.cross_entropy(out[PREFIX: T - 1], ids[PREFIX + 1:])
    loss.backward()
    lora.detach(loras)
    golden.add("out/lora_logits", out)
    golden.add("out/loss", loss)
    lora.record(golden, loras, whole=lora.spread(loras))
    return golden


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    args = parser.parse_args()
    folder = pathlib.Path(__file__).parent
    for family in args.families:
        golden = make_one(family)
        golden.check(folder) if args.check else golden.save(folder)


if __name__ == "__main__":
    main()
