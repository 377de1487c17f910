// Internal to adapter_read.cpp: alpha where the file has no alpha tensors.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "io/formats/adapter_keys.h"
#include "io/formats/safetensors.h"

namespace rankine::adapter_detail {

// The LoRA configuration that newer diffusers put into the metadata under "lora_adapter_metadata": JSON text
// with keys "unet.lora_alpha", "unet.alpha_pattern", "unet.use_rslora" and the same for the text encoders.
class ConfiguredAlpha {
 public:
  // Throws DataError naming `file` when the entry is there but cannot be understood.
  ConfiguredAlpha(const MetadataTable& metadata, const std::string& file);
  ~ConfiguredAlpha();
  ConfiguredAlpha(const ConfiguredAlpha&) = delete;
  ConfiguredAlpha& operator=(const ConfiguredAlpha&) = delete;

  // Alpha so that alpha / rank is the scale; nothing when the configuration does not say.
  std::optional<float> of(const Key& module, std::int64_t rank) const;

 private:
  struct Json;
  std::unique_ptr<Json> json_;  // null: no configuration
  std::string file_;
};

}  // namespace rankine::adapter_detail
