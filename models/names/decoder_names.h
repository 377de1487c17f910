// How files spell the tensors of a decoder: one row of names per spelling, and translation between rows.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "models/decoder/decoder_config.h"

namespace rankine {

// Module paths without ".weight" or ".bias". Empty: the spelling has no such module. Those of a layer stand
// after `layers` and the layer's number: "model.layers." "3" "." "self_attn.q_proj".
struct DecoderNames {
  std::string embed, layers, final_norm, head;
  std::string norm1, q, k, v, qkv, q_norm, k_norm, out, norm2, gate, up, gate_up, down;

  std::string layer(int index, std::string_view module) const;
};

const DecoderNames& llama_names();         // Hugging Face: LLaMA, Mistral, Qwen2, Qwen3, GLM ("-hf" folders)
const DecoderNames& chatglm2_names();      // THUDM's ChatGLM2-6B, ChatGLM3-6B, GLM-4-9B
const DecoderNames& chatglm_names();       // THUDM's ChatGLM-6B
const DecoderNames& gguf_decoder_names();  // GGUF
const DecoderNames& meta_names();          // Meta's .pth and files of the ggml, ggmf, ggjt containers

// The names that a model of this family is published under: what its layers are called.
const DecoderNames& names_of(const DecoderConfig& config);

// The same module in another spelling: "model.layers.3.self_attn.q_proj" to "blk.3.attn_q". The argument may
// end in .weight or .bias, which is kept. Nothing when either spelling lacks it.
std::optional<std::string> translate(std::string_view path, const DecoderNames& from, const DecoderNames& to);

}  // namespace rankine
