"""CLIP text encoders: OpenAI's (quick GELU, HF names) and OpenCLIP's (exact GELU, OpenCLIP names, projection)."""
import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

import lora
from golden import Golden, numbers, randomise
from names import open_clip_tensors

VOCAB, BOS, EOT, CONTEXT = 600, 598, 599, 77
CONFIG = dict(vocab_size=VOCAB, hidden_size=64, intermediate_size=128, num_attention_heads=4,
              max_position_embeddings=CONTEXT, projection_dim=48, bos_token_id=BOS, eos_token_id=EOT, pad_token_id=1)


def token_ids(pad):
    """A short prompt with padding, and one that fills all positions."""
    words = (numbers("ids", (2, CONTEXT)).abs() * 1e4).long() % BOS
    ids = torch.full((2, CONTEXT), pad)
    ids[0, :7] = torch.tensor([BOS, *words[0, :5], EOT])
    ids[1] = torch.tensor([BOS, *words[1, : CONTEXT - 2], EOT])
    return ids


def common_outputs(golden, model, ids):
    text = model.text_model
    with torch.no_grad():
        out = text(input_ids=ids, output_hidden_states=True)
    golden.add("in/ids", ids)
    golden.add("out/last_hidden", out.last_hidden_state)
    golden.add("out/penultimate", out.hidden_states[-2])
    with torch.no_grad():
        golden.add("out/penultimate_ln", text.final_layer_norm(out.hidden_states[-2]))
    return out


def openai():
    config = CLIPTextConfig(hidden_act="quick_gelu", num_hidden_layers=3, **CONFIG)
    model = randomise(CLIPTextModel(config), "clip_l")
    golden = Golden(name="clip_l", width=64, heads=4, layers=3, vocab=VOCAB, activation="quick_gelu",
                    prefix="cond_stage_model.transformer.")
    golden.weights({golden.config["prefix"] + k: v for k, v in model.named_parameters()})
    out = common_outputs(golden, model, token_ids(pad=EOT))
    golden.add("out/pooled", out.pooler_output)
    return golden, model


def open_clip():
    config = CLIPTextConfig(hidden_act="gelu", num_hidden_layers=2, **CONFIG)
    model = randomise(CLIPTextModelWithProjection(config), "clip_open")
    golden = Golden(name="clip_open", width=64, heads=4, layers=2, vocab=VOCAB, activation="gelu", projection=48,
                    prefix="cond_stage_model.model.")
    golden.weights(open_clip_tensors(dict(model.named_parameters()), layers=2))
    ids = token_ids(pad=0)
    common_outputs(golden, model, ids)
    with torch.no_grad():
        golden.add("out/pooled", model(input_ids=ids).text_embeds)
    return golden


def openai_lora(model, ids):
    """loss = mean(last_hidden * r), over LoRA on the six linears of every layer."""
    golden = Golden(name="clip_l_lora", weights="clip_l", rank=lora.RANK, alpha=lora.ALPHA,
                    loss="mean(last_hidden * r)")
    r = golden.input("r", (2, CONTEXT, 64))
    targets = {"lora_te_" + n.replace(".", "_"): (m, False) for n, m in model.named_modules()
               if isinstance(m, torch.nn.Linear)}
    loras = lora.attach(targets, "clip_l_lora")
    out = model(input_ids=ids).last_hidden_state
    loss = (out * r).mean()
    loss.backward()
    lora.detach(loras)
    golden.add("out/last_hidden", out)
    golden.add("out/loss", loss)
    lora.record(golden, loras, whole=set(loras))
    return golden


def make():
    golden, model = openai()
    yield golden
    yield openai_lora(model, token_ids(pad=EOT))
    yield open_clip()
