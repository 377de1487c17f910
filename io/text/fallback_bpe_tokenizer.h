// BPE over characters with a list of merges and bytes for what has no token: the tokenizer.json form of Llama
// 2 and Mistral. Close to SentencePiece's BPE; here the order is that of the merges, not of scores.
#pragma once

#include <array>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/text/pair_ranks.h"
#include "io/text/vocabulary_tokenizer.h"

namespace rankine {

struct FallbackBpeRules {
  // The "▁" in front: never; in front of a sequence; in front of each part between added tokens.
  enum class Prefix { never, first, always } prefix = Prefix::first;
  bool prefix_unless_space = false;  // not where the text starts with a space anyway
  bool byte_fallback = true, fuse_unknown = false, whole_words = false;
};

class FallbackBpeTokenizer final : public VocabularyTokenizer {
 public:
  using Merges = std::vector<std::pair<std::string, std::string>>;
  // Throws DataError naming the file as PairRanks does, and when some text would have no ids.
  FallbackBpeTokenizer(Vocabulary vocabulary, const Merges& merges, const FallbackBpeRules& rules);

 private:
  void encode_part(std::string_view text, PartPlace place, std::vector<std::int32_t>& ids) const override;
  std::string token_bytes(std::int32_t id) const override;
  bool has_dummy_prefix() const override { return rules_.prefix != FallbackBpeRules::Prefix::never; }
  std::int32_t find_token(std::string_view text) const;

  FallbackBpeRules rules_;
  std::unordered_map<std::string_view, std::int32_t> ids_;
  std::array<std::int32_t, 256> byte_ids_;
  PairRanks ranks_;
};

}  // namespace rankine
