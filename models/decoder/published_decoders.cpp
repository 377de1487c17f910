#include "models/decoder/published_decoders.h"

#include <algorithm>

namespace rankine {
namespace {

struct Sizes {
  std::string_view name;
  std::int64_t vocab, width, mlp;
  int layers, heads, kv_heads;
  std::int64_t context;
  double rope_theta;
  DecoderFamily family = DecoderFamily::llama;
};

// From the config.json that each was published with.
constexpr Sizes kPublished[] = {
    {"llama1b", 32000, 2048, 5632, 22, 32, 4, 2048, 10000},
    {"llama7b", 32000, 4096, 11008, 32, 32, 32, 4096, 10000},
    {"llama13b", 32000, 5120, 13824, 40, 40, 40, 4096, 10000},
    {"llama70b", 32000, 8192, 28672, 80, 64, 8, 4096, 10000},
    {"llama3_8b", 128256, 4096, 14336, 32, 32, 8, 8192, 500000},
    {"chatglm3", 65024, 4096, 13696, 28, 32, 2, 8192, 10000, DecoderFamily::chatglm3},
};

}  // namespace

const std::vector<std::string_view>& published_decoder_names() {
  static const std::vector<std::string_view> names = [] {
    std::vector<std::string_view> all;
    for (const Sizes& s : kPublished) all.push_back(s.name);
    return all;
  }();
  return names;
}

std::optional<DecoderConfig> published_decoder(std::string_view name) {
  const auto* at = std::find_if(std::begin(kPublished), std::end(kPublished),
                                [&](const Sizes& s) { return s.name == name; });
  if (at == std::end(kPublished)) return std::nullopt;
  DecoderConfig k;
  k.family = at->family;
  k.vocab = at->vocab, k.width = at->width, k.mlp = at->mlp;
  k.layers = at->layers, k.heads = at->heads, k.kv_heads = at->kv_heads;
  k.context = at->context;
  k.rope_theta = at->rope_theta;
  k.pairing = RopeSpec::interleaved;
  k.head_dim = k.width / k.heads;
  const bool glm = k.family == DecoderFamily::chatglm3;
  k.qkv_bias = k.fused_qkv = k.fused_gate_up = glm;
  k.rotary_dims = glm ? k.head_dim / 2 : k.head_dim;
  return k;
}

}  // namespace rankine
