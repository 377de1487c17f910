// tokenizer.json of the HF tokenizers library: BPE models, byte-level ones (GPT-2, Llama 3, Qwen, GLM-4) and
// those with byte fallback and "▁" (Llama 2, Mistral).
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "io/text/tokenizer.h"
#include "io/text/tokenizer_config.h"

namespace rankine {

// Roles come from `config`, from the unk_token and from the template of the post processor (BOS). Throws
// DataError naming the file and the part for damage and for parts that are not supported: an approximation
// would give other ids.
std::shared_ptr<const Tokenizer> read_tokenizer_json(std::string_view text, const TokenizerConfig& config,
                                                     const std::string& file);

}  // namespace rankine
