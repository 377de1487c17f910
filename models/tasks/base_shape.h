// A base model of which only the published sizes are known, written `base_model: shape:sdxl`: enough for a
// plan, which then needs no file. Its weights count as fp16.
#pragma once

#include <string>
#include <vector>

#include "models/decoder/decoder_checkpoint.h"
#include "models/sd/sd_checkpoint.h"

namespace rankine {

inline constexpr std::string_view kShapePrefix = "shape:";

bool is_shape(const std::string& base_model);  // begins with the prefix, whatever follows
// sd15, sd21, sdxl, and the names of models/decoder/published_decoders.h.
std::vector<std::string> shape_names();
bool is_decoder_shape(const std::string& base_model);

// As if a file had been opened. Throw ConfigError, listing the names, for one that is not of the kind.
SdCheckpoint sd_shape(const std::string& base_model);
DecoderCheckpoint decoder_shape(const std::string& base_model);

}  // namespace rankine
