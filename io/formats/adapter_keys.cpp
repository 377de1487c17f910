#include "io/formats/adapter_keys.h"

#include <algorithm>
#include <array>

namespace rankine::adapter_detail {
namespace {

struct Suffix {
  std::string_view text;
  Part part;
};
constexpr std::array<Suffix, 11> kSuffixes{{{".lora_linear_layer.down.weight", Part::down},
                                            {".lora_linear_layer.up.weight", Part::up},
                                            {".lora_down.weight", Part::down},
                                            {".lora_up.weight", Part::up},
                                            {".lora_A.weight", Part::down},
                                            {".lora_B.weight", Part::up},
                                            {".lora.down.weight", Part::down},
                                            {".lora.up.weight", Part::up},
                                            {"_lora.down.weight", Part::down},
                                            {"_lora.up.weight", Part::up},
                                            {".alpha", Part::alpha}}};

struct Start {
  std::string_view text;
  Root root;
  bool keep;  // the start is itself a part of the path
};
constexpr std::array<Start, 15> kStarts{{{"lora_unet_", Root::kohya, true},
                                         {"lora_te_", Root::kohya, true},
                                         {"lora_te1_", Root::kohya, true},
                                         {"lora_te2_", Root::kohya, true},
                                         {"unet.", Root::unet, false},
                                         {"model.diffusion_model.", Root::unet, false},
                                         {"diffusion_model.", Root::unet, false},
                                         {"text_encoder_2.", Root::text_encoder_2, false},
                                         {"text_encoder.", Root::text_encoder, false},
                                         {"text_model.", Root::text_encoder, true},
                                         {"down_blocks.", Root::unet, true},
                                         {"mid_block.", Root::unet, true},
                                         {"up_blocks.", Root::unet, true},
                                         {"conv_in.", Root::unet, true},
                                         {"conv_out.", Root::unet, true}}};

struct Foreign {
  std::string_view mark, kind;
};
constexpr std::array<Foreign, 17> kForeign{{{"hada_", "LoHa"},
                                            {"lokr_", "LoKr"},
                                            {"dora_scale", "DoRA"},
                                            {"lora_magnitude_vector", "DoRA"},
                                            {"oft_", "OFT"},
                                            {"lora_mid", "LoCon with Tucker decomposition"},
                                            {".on_input", "(IA)3"},
                                            {".a1.weight", "GLoRA"},
                                            {".diff", "full difference"},
                                            {".w_norm", "norm difference"},
                                            {".b_norm", "norm difference"},
                                            {"lora_embedding_", "LoRA of an embedding"},
                                            {".lora_B.bias", "LoRA with bias"},
                                            {":down", "LoRA with numbers for module names"},
                                            {":up", "LoRA with numbers for module names"},
                                            {"base_model.model.", "PEFT adapter of another kind of model"},
                                            {"lora_te3_", "adapter of another kind of model"}}};

std::string_view without_start(std::string_view text, std::string_view start) {
  return text.starts_with(start) ? text.substr(start.size()) : text;
}

// "attn1.processor.to_out" (of "attn1.processor.to_out_lora.down.weight") is the module attn1.to_out.0.
std::string module_of_processor(std::string path) {
  constexpr std::string_view kProcessor = ".processor.";
  const auto at = path.find(kProcessor);
  if (at != std::string::npos) path.erase(at, kProcessor.size() - 1);
  if (path.ends_with(".to_out")) path += ".0";
  return path;
}

}  // namespace

std::optional<Key> parse_key(std::string_view key) {
  const auto suffix = std::find_if(kSuffixes.begin(), kSuffixes.end(),
                                   [&](const Suffix& s) { return key.ends_with(s.text); });
  if (suffix == kSuffixes.end()) return std::nullopt;
  constexpr std::string_view kPeft = "base_model.model.";
  const std::string_view module = without_start(key.substr(0, key.size() - suffix->text.size()), kPeft);
  for (const Start& start : kStarts) {
    if (!module.starts_with(start.text)) continue;
    const std::string_view path =
        start.keep ? module : without_start(module.substr(start.text.size()), kPeft);
    if (path.empty() || path == start.text) return std::nullopt;
    if (start.root == Root::kohya) return Key{start.root, std::string(path), suffix->part};
    return Key{start.root, module_of_processor(std::string(path)), suffix->part};
  }
  return std::nullopt;
}

std::string_view foreign_kind(std::string_view key) {
  for (const Foreign& f : kForeign)
    if (key.find(f.mark) != std::string_view::npos) return f.kind;
  return {};
}

std::string_view name_of(Root root) {
  switch (root) {
    case Root::unet:
      return "unet";
    case Root::text_encoder:
      return "text_encoder";
    case Root::text_encoder_2:
      return "text_encoder_2";
    case Root::kohya:
      break;
  }
  return "";
}

std::string kohya_name(const Key& key, bool sdxl) {
  std::string name;
  switch (key.root) {
    case Root::kohya:
      break;
    case Root::unet:
      name = "lora_unet_";
      break;
    case Root::text_encoder:
      name = sdxl ? "lora_te1_" : "lora_te_";
      break;
    case Root::text_encoder_2:
      name = "lora_te2_";
      break;
  }
  name += key.path;
  std::replace(name.begin(), name.end(), '.', '_');
  return name;
}

}  // namespace rankine::adapter_detail
