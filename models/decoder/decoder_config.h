// Sizes and choices of a decoder-only language model. One decoder is built from them; a family is a
// configuration, a table of names (models/names/decoder_names.h) and, for ChatGLM-6B, a block of its own.
//
//   LLaMA 1-3, Mistral   Touvron et al. 2023; Jiang et al. 2023        pre-norm, RMSNorm, SwiGLU, rotary
//   Qwen2, Qwen3         biases on q, k, v; RMSNorm on each head of q and k
//   ChatGLM2/3, GLM-4    fused q|k|v and gate|up, rotary on half of each head
//   ChatGLM-6B           Du et al. (GLM) 2022: LayerNorm, GELU, 2-D rotary, prefix attention, alpha residual
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "kernels/rope/rope.h"

namespace rankine {

enum class DecoderFamily : std::uint8_t { llama, mistral, qwen2, qwen3, chatglm, chatglm2, chatglm3, glm4 };
std::string_view name_of(DecoderFamily family);  // "llama", ..., as chat templates and messages call them

struct DecoderConfig {
  DecoderFamily family = DecoderFamily::llama;
  std::int64_t vocab = 0, width = 0, mlp = 0, context = 2048;
  int layers = 0, heads = 0, kv_heads = 0;
  std::int64_t head_dim = 0;
  float eps = 1e-5F;
  double rope_theta = 10000;
  std::int64_t rotary_dims = 0;  // of each head; ChatGLM-6B: of each of its two rotations
  RopeSpec::Pairing pairing = RopeSpec::half;
  RopeScaling scaling;
  std::int64_t sliding_window = 0;  // 0: none; row i sees columns i - window + 1 .. i
  bool qkv_bias = false, out_bias = false, mlp_bias = false;
  bool fused_qkv = false, fused_gate_up = false;
  bool qk_norm = false;
  bool tied_head = false;

  bool prefix_lm() const { return family == DecoderFamily::chatglm; }
  std::int64_t q_width() const { return heads * head_dim; }
  std::int64_t kv_width() const { return kv_heads * head_dim; }
  // Parameters of the matrices that every token passes, the output head included.
  double matmul_parameters() const;
};

// Throws DataError naming `file` for sizes that do not fit together or are absurd.
void check(const DecoderConfig& config, const std::string& file);

// From a Hugging Face or THUDM config.json. Throws DataError naming file and field; an architecture that is
// not one of the families above is refused by name.
DecoderConfig decoder_config_from_json(const nlohmann::json& json, const std::string& file);

// The smallest config.json that transformers reads for this model (families with a class there).
nlohmann::ordered_json decoder_config_to_json(const DecoderConfig& config);

}  // namespace rankine
