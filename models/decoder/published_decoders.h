// Sizes of published language models, known without their files: for plans and benchmarks.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "models/decoder/decoder_config.h"

namespace rankine {

// llama1b (TinyLlama 1.1B), llama7b, llama13b, llama70b (LLaMA 2), llama3_8b, chatglm3 (ChatGLM3-6B).
const std::vector<std::string_view>& published_decoder_names();
// Nothing for another name. Rows of q and k of LLaMA models stand in Meta's order, as in GGUF files.
std::optional<DecoderConfig> published_decoder(std::string_view name);

}  // namespace rankine
