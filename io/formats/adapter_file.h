// Image LoRA files: reads the spellings that are about, writes the one that WebUI, ComfyUI and diffusers all
// load (kohya-ss/sd-scripts: <module>.lora_down.weight, <module>.lora_up.weight, <module>.alpha).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "io/formats/safetensors.h"

namespace rankine {

// One adapted module: delta W = (alpha / rank) · up · down, for a convolution over the flattened kernel.
struct AdapterModule {
  std::string name;  // kohya module name: lora_unet_..., lora_te_..., lora_te1_..., lora_te2_...
  std::vector<float> down, up;
  std::vector<std::int64_t> down_shape;  // [rank, in] or [rank, in, kh, kw]
  std::vector<std::int64_t> up_shape;    // [out, rank] or [out, rank, 1, 1]
  float alpha = 0;
  std::int64_t rank() const { return down_shape.at(0); }
};

struct AdapterFile {
  std::vector<AdapterModule> modules;  // sorted by name when read
  MetadataTable metadata;
};

// Understands, also mixed and in any element type:
//   kohya       lora_unet_X.lora_down.weight / .lora_up.weight / .alpha, lora_te_, lora_te1_, lora_te2_
//   diffusers   unet.X, text_encoder.X, text_encoder_2.X or a bare U-Net path, with .lora_A.weight /
//   .lora_B.weight,
//               .lora.down.weight, .lora_linear_layer.down.weight, or processor.to_q_lora.down.weight
//   PEFT        base_model.model.X.lora_A.weight of a U-Net or a text encoder
// Names become kohya's: dots turn to '_', text_encoder is lora_te1_ in an SDXL file (it has a text_encoder_2,
// or a U-Net with more than one transformer block in a row or a context of 2048) and lora_te_ in others. A
// U-Net module keeps the spelling of the file, diffusers' or LDM's. Alpha comes from the module's tensor,
// else from the LoRA configuration in "lora_adapter_metadata", else it is the rank; so it is for alpha = 0.
// Throws DataError that names file and key for other parametrisations (LoHa, LoKr, DoRA, OFT, Tucker, ...),
// foreign keys, half a module, a module twice, and shapes that do not fit together.
AdapterFile read_adapter(const TensorSource& source);
AdapterFile read_adapter(const std::filesystem::path& path);

// Writes durably, all tensors as `dtype` (F16, BF16 or F32), with the file's metadata and: format "pt",
// sshs_model_hash, sshs_legacy_hash, and modelspec.hash_sha256 where there is a modelspec. Throws DataError
// when a number is not finite in `dtype` or sizes and shapes disagree; nothing is written then.
void write_adapter(const std::filesystem::path& path, const AdapterFile& file, FileDType dtype);

}  // namespace rankine
