#include "models/decoder/decoder_config.h"

#include "engine/core/error.h"

namespace rankine {

std::string_view name_of(DecoderFamily family) {
  switch (family) {
    case DecoderFamily::llama:
      return "llama";
    case DecoderFamily::mistral:
      return "mistral";
    case DecoderFamily::qwen2:
      return "qwen2";
    case DecoderFamily::qwen3:
      return "qwen3";
    case DecoderFamily::chatglm:
      return "chatglm";
    case DecoderFamily::chatglm2:
      return "chatglm2";
    case DecoderFamily::chatglm3:
      return "chatglm3";
    case DecoderFamily::glm4:
      return "glm4";
  }
  return "?";
}

double DecoderConfig::matmul_parameters() const {
  const auto w = static_cast<double>(width);
  const double attention = w * static_cast<double>(2 * q_width() + 2 * kv_width());
  const double mlp_matrices = prefix_lm() ? 2 : 3;
  return layers * (attention + mlp_matrices * w * static_cast<double>(mlp)) + w * static_cast<double>(vocab);
}

void check(const DecoderConfig& k, const std::string& file) {
  struct Size {
    const char* name;
    std::int64_t value, most;
  };
  constexpr std::int64_t kMostNumbers = 1 << 24, kMostParts = 1 << 16;
  for (const Size& s :
       {Size{"vocabulary", k.vocab, kMostNumbers}, Size{"hidden size", k.width, kMostNumbers},
        Size{"intermediate size", k.mlp, kMostNumbers}, Size{"number of layers", k.layers, kMostParts},
        Size{"number of heads", k.heads, kMostParts}, Size{"number of key heads", k.kv_heads, kMostParts},
        Size{"head size", k.head_dim, kMostParts}}) {
    require<DataError>(s.value >= 1 && s.value <= s.most, file, ": ", s.name, " must be 1 to ", s.most,
                       ", got ", s.value);
  }
  require<DataError>(k.heads % k.kv_heads == 0, file, ": ", k.heads, " heads are no multiple of ", k.kv_heads,
                     " key heads");
  const std::int64_t room = k.prefix_lm() ? k.head_dim / 2 : k.head_dim;
  require<DataError>(k.rotary_dims >= 2 && k.rotary_dims % 2 == 0 && k.rotary_dims <= room, file,
                     ": rotary dimensions must be even and 2 to ", room, ", got ", k.rotary_dims);
  require<DataError>(k.eps > 0 && k.eps < 1, file, ": norm epsilon must be in (0, 1), got ", k.eps);
  require<DataError>(k.rope_theta > 1, file, ": rotary base must be above 1, got ", k.rope_theta);
  require<DataError>(k.sliding_window >= 0, file, ": sliding window must not be negative, got ",
                     k.sliding_window);
}

}  // namespace rankine
