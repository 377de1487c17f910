// What the files beside a vocabulary say about it: tokenizer_config.json, generation_config.json,
// config.json.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/text/token.h"
#include "io/text/vocabulary_tokenizer.h"

namespace rankine {

struct TokenizerConfig {
  std::string tokenizer_class, model_type, name;  // name: name_or_path, a hint at the family
  std::optional<std::string> bos, eos, pad, unk;  // texts of tokens
  std::optional<bool> add_bos;
  std::vector<AddedToken> added;    // added_tokens_decoder
  std::vector<std::int32_t> stops;  // eos_token_id of generation_config.json, else of config.json
  std::optional<std::int64_t> vocab_size, image_tokens;
  bool two_dimensional = false;  // position_encoding_2d: ChatGLM-6B
};

// Files that are not there say nothing. Throws DataError naming the file for one that is damaged.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

// Ids of the roles that the config names by text, looked up in `tokens` and `added`; what `specials` has
// already stays where the config names none. A name without a token gives no role. Appends the config's stops
// that lie inside.
void apply_roles(const TokenizerConfig& config, Vocabulary& vocabulary);

}  // namespace rankine
