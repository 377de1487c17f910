#include "models/names/decoder_names.h"

#include <array>
#include <charconv>

namespace rankine {
namespace {

using Field = std::string DecoderNames::*;
constexpr std::array<Field, 3> kWhole{&DecoderNames::embed, &DecoderNames::final_norm, &DecoderNames::head};
constexpr std::array<Field, 13> kOfLayer{&DecoderNames::norm1,  &DecoderNames::q,   &DecoderNames::k,
                                         &DecoderNames::v,      &DecoderNames::qkv, &DecoderNames::q_norm,
                                         &DecoderNames::k_norm, &DecoderNames::out, &DecoderNames::norm2,
                                         &DecoderNames::gate,   &DecoderNames::up,  &DecoderNames::gate_up,
                                         &DecoderNames::down};

// "3" and "self_attn.q_proj" of "3.self_attn.q_proj".
struct LayerPath {
  int index;
  std::string_view module;
};
std::optional<LayerPath> split_layer(std::string_view rest) {
  int index = 0;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), index);
  const auto digits = static_cast<std::size_t>(end - rest.data());
  if (error != std::errc() || index < 0 || digits >= rest.size() || rest[digits] != '.') return std::nullopt;
  return LayerPath{index, rest.substr(digits + 1)};
}

}  // namespace

std::string DecoderNames::layer(int index, std::string_view module) const {
  return layers + std::to_string(index) + "." + std::string(module);
}

const DecoderNames& llama_names() {
  static const DecoderNames names{.embed = "model.embed_tokens",
                                  .layers = "model.layers.",
                                  .final_norm = "model.norm",
                                  .head = "lm_head",
                                  .norm1 = "input_layernorm",
                                  .q = "self_attn.q_proj",
                                  .k = "self_attn.k_proj",
                                  .v = "self_attn.v_proj",
                                  .qkv = "self_attn.qkv_proj",
                                  .q_norm = "self_attn.q_norm",
                                  .k_norm = "self_attn.k_norm",
                                  .out = "self_attn.o_proj",
                                  .norm2 = "post_attention_layernorm",
                                  .gate = "mlp.gate_proj",
                                  .up = "mlp.up_proj",
                                  .gate_up = "mlp.gate_up_proj",
                                  .down = "mlp.down_proj"};
  return names;
}

const DecoderNames& chatglm2_names() {
  static const DecoderNames names{.embed = "transformer.embedding.word_embeddings",
                                  .layers = "transformer.encoder.layers.",
                                  .final_norm = "transformer.encoder.final_layernorm",
                                  .head = "transformer.output_layer",
                                  .norm1 = "input_layernorm",
                                  .qkv = "self_attention.query_key_value",
                                  .out = "self_attention.dense",
                                  .norm2 = "post_attention_layernorm",
                                  .gate_up = "mlp.dense_h_to_4h",
                                  .down = "mlp.dense_4h_to_h"};
  return names;
}

const DecoderNames& chatglm_names() {
  static const DecoderNames names{.embed = "transformer.word_embeddings",
                                  .layers = "transformer.layers.",
                                  .final_norm = "transformer.final_layernorm",
                                  .head = "lm_head",
                                  .norm1 = "input_layernorm",
                                  .qkv = "attention.query_key_value",
                                  .out = "attention.dense",
                                  .norm2 = "post_attention_layernorm",
                                  .up = "mlp.dense_h_to_4h",
                                  .down = "mlp.dense_4h_to_h"};
  return names;
}

const DecoderNames& gguf_decoder_names() {
  static const DecoderNames names{.embed = "token_embd",
                                  .layers = "blk.",
                                  .final_norm = "output_norm",
                                  .head = "output",
                                  .norm1 = "attn_norm",
                                  .q = "attn_q",
                                  .k = "attn_k",
                                  .v = "attn_v",
                                  .qkv = "attn_qkv",
                                  .q_norm = "attn_q_norm",
                                  .k_norm = "attn_k_norm",
                                  .out = "attn_output",
                                  .norm2 = "ffn_norm",
                                  .gate = "ffn_gate",
                                  .up = "ffn_up",
                                  .gate_up = "ffn_up",  // the fused matrix has the name of the second half
                                  .down = "ffn_down"};
  return names;
}

const DecoderNames& meta_names() {
  static const DecoderNames names{.embed = "tok_embeddings",
                                  .layers = "layers.",
                                  .final_norm = "norm",
                                  .head = "output",
                                  .norm1 = "attention_norm",
                                  .q = "attention.wq",
                                  .k = "attention.wk",
                                  .v = "attention.wv",
                                  .out = "attention.wo",
                                  .norm2 = "ffn_norm",
                                  .gate = "feed_forward.w1",
                                  .up = "feed_forward.w3",
                                  .down = "feed_forward.w2"};
  return names;
}

const DecoderNames& names_of(const DecoderConfig& k) {
  switch (k.family) {
    case DecoderFamily::chatglm:
      return chatglm_names();
    case DecoderFamily::chatglm2:
    case DecoderFamily::chatglm3:
      return chatglm2_names();
    case DecoderFamily::glm4:  // THUDM's own folders, or Hugging Face's class
      return k.fused_qkv ? chatglm2_names() : llama_names();
    default:
      return llama_names();
  }
}

std::optional<std::string> translate(std::string_view path, const DecoderNames& from,
                                     const DecoderNames& to) {
  std::string_view suffix;
  for (const std::string_view s : {std::string_view(".weight"), std::string_view(".bias")}) {
    if (path.ends_with(s)) suffix = s;
  }
  const std::string_view module = path.substr(0, path.size() - suffix.size());
  for (const Field field : kWhole) {
    if (module == from.*field && !(to.*field).empty()) return to.*field + std::string(suffix);
  }
  if (!module.starts_with(from.layers)) return std::nullopt;
  const auto layer = split_layer(module.substr(from.layers.size()));
  if (!layer) return std::nullopt;
  for (const Field field : kOfLayer) {
    if (layer->module != from.*field || (to.*field).empty()) continue;
    return to.layer(layer->index, to.*field) + std::string(suffix);
  }
  return std::nullopt;
}

}  // namespace rankine
