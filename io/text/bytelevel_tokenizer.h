// Byte-level BPE (GPT-2, Llama 3, Qwen, GLM-4): words of the text, their UTF-8 bytes, joined by rank.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/text/bpe_merge.h"
#include "io/text/pair_ranks.h"
#include "io/text/pretokenizer.h"
#include "io/text/vocabulary_tokenizer.h"
#include "io/text/word_cache.h"

namespace rankine {

struct ByteLevelRules {
  PreTokenizer pre = PreTokenizer::gpt2;
  bool nfc = false;           // normalise the text to form C first
  bool prefix_space = false;  // a space in front of a sequence that does not start with white space
  bool whole_words = false;   // a word that is a token is that token, without merging ("ignore_merges")
  bool merge_by_rank =
      false;  // tiktoken: any neighbours whose join is a token; the smallest id first. No merges.
};

class ByteLevelTokenizer final : public VocabularyTokenizer {
 public:
  // Normal tokens are written with the printable signs of io/text/byte_symbols.h; control and user-defined
  // ones as they are, and the latter are found in the text. `merges`: pairs of such texts, in order of rank.
  // Throws DataError naming the file for a byte without a token, two normal tokens of the same text, a merge
  // of or into something that is no token, a merge that is there twice.
  using Merges = std::vector<std::pair<std::string, std::string>>;
  ByteLevelTokenizer(Vocabulary vocabulary, const Merges& merges, const ByteLevelRules& rules);

 private:
  void encode_part(std::string_view text, PartPlace place, std::vector<std::int32_t>& ids) const override;
  std::string token_bytes(std::int32_t id) const override { return bytes_[static_cast<std::size_t>(id)]; }
  bool has_dummy_prefix() const override { return rules_.prefix_space; }

  void index_tokens();
  std::int32_t find_token(std::string_view bytes) const;  // -1: none
  void encode_word(std::string_view word, std::vector<std::int32_t>& ids) const;

  ByteLevelRules rules_;
  std::vector<std::string> bytes_;  // of each id
  std::unordered_map<std::string_view, std::int32_t> ids_;
  std::size_t longest_ = 0;
  std::array<std::int32_t, 256> byte_ids_;
  PairRanks ranks_;
  mutable WordCache cache_;
};

// The bytes that a text in printable signs stands for, and the other way round. A text with a sign that
// stands for no byte is returned as it is.
std::string bytes_of_symbols(std::string_view symbols);
std::string symbols_of_bytes(std::string_view bytes);

}  // namespace rankine
