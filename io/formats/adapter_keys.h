// Internal to adapter_read.cpp: the names of tensors in LoRA files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rankine::adapter_detail {

enum class Part : std::uint8_t { down, up, alpha };
enum class Root : std::uint8_t { kohya, unet, text_encoder, text_encoder_2 };

struct Key {
  Root root;
  std::string path;  // kohya: the whole module name; else the dotted path below the root
  Part part;
};

// Nothing when the key is not one of a LoRA for Stable Diffusion.
std::optional<Key> parse_key(std::string_view key);

// What a key that parse_key does not know is a part of, for a message; empty when that is not known either.
std::string_view foreign_kind(std::string_view key);

// The root as it is spelled in a LoRA configuration: "unet", "text_encoder", "text_encoder_2"; "" for kohya.
std::string_view name_of(Root root);

std::string kohya_name(const Key& key, bool sdxl);

}  // namespace rankine::adapter_detail
