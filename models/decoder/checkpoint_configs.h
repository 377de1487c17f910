// What each container says of a decoder's sizes.
#pragma once

#include "io/formats/ggml_legacy.h"
#include "io/formats/gguf.h"
#include "models/decoder/decoder_config.h"
#include "models/names/decoder_names.h"

namespace rankine {

// Throws IoError or DataError naming the file; nesting and size are limited.
nlohmann::json read_config_json(const std::filesystem::path& path);

DecoderConfig decoder_config_from_gguf(const GgufFile& file);  // architectures llama, qwen2, qwen3, chatglm
DecoderConfig decoder_config_from_ggml(const GgmlFile& file);

// What a config.json leaves open and the tensors tell: fused q|k|v, a head that is absent because it is tied.
void fit_to_tensors(DecoderConfig& config, const TensorSource& source);

}  // namespace rankine
