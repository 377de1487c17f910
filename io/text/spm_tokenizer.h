// SentencePiece encoding (Kudo and Richardson 2018) of a model from any source.
//
// BPE: the text is split into characters; of neighbours whose join is a piece, those with the best score are
// joined first, the leftmost of equals. Unigram: of all ways to cut the text into pieces, the one with the
// largest sum of scores; a character that no piece covers costs min(score) - 10, a user-defined piece scores
// 0.1 * (bytes - 1). What no piece covers becomes byte pieces (byte_fallback) or one unknown token a
// run.
#pragma once

#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "io/text/bpe_merge.h"
#include "io/text/spm_model.h"
#include "io/text/spm_normalizer.h"
#include "io/text/vocabulary_tokenizer.h"

namespace rankine {

class SpmTokenizer final : public VocabularyTokenizer {
 public:
  // Tokens, byte_fallback and normalisation come from `model`; added tokens, roles and the name of the file
  // from `rest` (whose tokens must be empty). Unlike check_spm_model this lets unused and control pieces
  // repeat and be empty, as in GGUF. Throws DataError naming the file for anything else that check_spm_model
  // refuses, and when neither an unknown piece nor all byte pieces exist.
  SpmTokenizer(SpmModel model, Vocabulary rest);

 private:
  struct Sink {
    std::vector<std::int32_t>& ids;
    bool after_unknown = false;
  };

  void encode_part(std::string_view text, PartPlace place, std::vector<std::int32_t>& ids) const override;
  std::string token_bytes(std::int32_t id) const override;
  bool has_dummy_prefix() const override { return dummy_prefix_; }

  void index_pieces();
  void encode_bpe(std::string_view text, Sink& sink) const;
  void encode_unigram(std::string_view text, Sink& sink) const;
  std::vector<Symbol> characters(std::string_view text) const;
  void emit(std::string_view text, std::int32_t id, Sink& sink) const;  // id -1: no piece
  std::int32_t find_piece(std::string_view text) const;
  TokenType type_of(std::int32_t id) const { return tokens()[static_cast<std::size_t>(id)].type; }

  SpmKind kind_;
  bool byte_fallback_, dummy_prefix_;
  std::int32_t unk_ = -1;
  std::size_t longest_piece_ = 0;
  float unknown_score_ = 0;
  SpmNormalizer normalizer_;
  std::unordered_map<std::string_view, std::int32_t> ids_;  // of pieces that text can become
  ByteTrie trie_;                                           // the same, for Unigram
  std::array<std::int32_t, 256> byte_ids_;
};

}  // namespace rankine
