#include "models/tasks/adapter_metadata.h"

#include <array>
#include <string_view>

#include "io/files/sha256.h"
#include "models/tasks/diffusion_task.h"

namespace rankine {

SamplerName sampler_name_of(config::Sampler sampler) {
  switch (sampler) {
    case config::Sampler::ddim: return {SamplerKind::ddim, false};
    case config::Sampler::euler: return {SamplerKind::euler, false};
    case config::Sampler::euler_a: return {SamplerKind::euler_a, false};
    case config::Sampler::dpmpp_2m: return {SamplerKind::dpmpp_2m, false};
  }
  return {};
}

std::string settings_fingerprint(const config::RunConfig& config) {
  static constexpr std::array<std::string_view, 13> kNotNumeric{
      "base_model", "vae", "tokenizer", "train_data_dir", "metadata_path", "output_dir", "save_steps",
      "keep_checkpoints", "save_name", "threads", "memory_budget", "cache_dir", "recompute"};
  std::string text;
  for (const auto& [key, value] : config::to_key_values(config)) {
    const bool skip = key.starts_with("sample_") ||
                      std::find(kNotNumeric.begin(), kNotNumeric.end(), std::string_view(key)) != kNotNumeric.end();
    if (!skip) text += key + ": " + value + "\n";
  }
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace rankine
