#include <algorithm>

#include "models/names/names.h"

namespace rankine {
namespace {

bool has(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

std::string underscored(std::string path) {
  std::replace(path.begin(), path.end(), '.', '_');
  return path;
}

}  // namespace

TargetKind unet_target_kind(const std::string& p) {
  if (has(p, ".transformer_blocks.") || p.ends_with(".proj_in") || p.ends_with(".proj_out"))
    return TargetKind::attention;
  if (p.ends_with(".emb_layers.1") || p.ends_with(".skip_connection")) return TargetKind::conv_linear;
  if (p.ends_with(".in_layers.2") || p.ends_with(".out_layers.3") || p.ends_with(".op") ||
      p.ends_with(".conv")) {
    return TargetKind::conv;
  }
  return TargetKind::none;
}

TargetKind clip_target_kind(const std::string& p) {
  return has(p, ".encoder.layers.") ? TargetKind::attention : TargetKind::none;
}

std::string kohya_unet_name(const UNetConfig& config, const std::string& ldm_path) {
  const bool ldm_spelling = config.family() == "sdxl";
  return "lora_unet_" + underscored(ldm_spelling ? ldm_path : diffusers_unet_name(config, ldm_path));
}

std::string kohya_clip_name(int encoder, int encoders, const std::string& hf_path) {
  const std::string prefix = encoders == 1 ? "lora_te_" : "lora_te" + std::to_string(encoder + 1) + "_";
  return prefix + underscored(hf_path);
}

}  // namespace rankine
