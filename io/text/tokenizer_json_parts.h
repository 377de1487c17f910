// The parts of tokenizer.json around its model, recognised by what they do to the text.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "io/text/bytelevel_tokenizer.h"
#include "io/text/fallback_bpe_tokenizer.h"

namespace rankine::tokenizer_json {

// {token: id}; ids that no token has are left empty and unused. Throws DataError for ids that are there twice
// or far outside, and for empty tokens.
std::vector<Token> read_vocab(const nlohmann::json& vocab, const std::string& file);

bool is_byte_level(const nlohmann::json& json);

// Throw DataError for a normalizer or pre_tokenizer that is none of the known ones, naming it.
ByteLevelRules byte_level_rules(const nlohmann::json& json, const std::string& file);
FallbackBpeRules fallback_rules(const nlohmann::json& json, const std::string& file);

// The one token that the template puts in front of a text.
std::optional<std::string> template_bos(const nlohmann::json& post_processor);

}  // namespace rankine::tokenizer_json
