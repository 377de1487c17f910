// SentencePiece model files (`tokenizer.model`, `ice_text.model`): a protocol buffer `ModelProto` as
// described by google/sentencepiece, src/sentencepiece_model.proto.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "io/text/token.h"

namespace rankine {

enum class SpmKind : std::uint8_t { unigram = 1, bpe = 2 };

struct SpmModel {
  std::vector<Token> pieces;  // index = id; texts are UTF-8
  SpmKind kind = SpmKind::unigram;
  bool byte_fallback = false;
  std::int32_t unk = 0, bos = 1, eos = 2, pad = -1;  // -1: none

  std::string normalizer = "identity";  // a name, for people
  std::string charsmap;                 // precompiled_charsmap; see io/text/spm_charsmap.h
  bool add_dummy_prefix = true, remove_extra_whitespaces = true, escape_whitespaces = true;
};

// Throws DataError "file: offset N: ..." for what is not such a message, for pieces that are empty, not
// UTF-8, of an unknown type, longer than kMaxTokenBytes or there twice, for scores that are not finite, for
// special ids outside, for more than one unknown piece or none, for byte_fallback without all 256 byte
// pieces, and for what is not supported: the word and char models, and treat_whitespace_as_suffix.
SpmModel read_spm_model(std::string_view bytes, const std::string& file);

// The checks alone, for a model that was made or changed in memory.
void check_spm_model(const SpmModel& model, const std::string& file);

// A file that read_spm_model and SentencePiece read as this model. Throws DataError as check_spm_model does.
std::string write_spm_model(const SpmModel& model);

// The byte of a piece like "<0x0A>"; -1 when it is none.
int byte_of_piece(std::string_view text);
std::string byte_piece(std::uint8_t byte);  // "<0x0A>"

// The least vocabulary that any text can be written in: <unk>, <s>, </s> and the 256 bytes, of kind bpe.
SpmModel byte_vocabulary();

}  // namespace rankine
