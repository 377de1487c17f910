// Learns a SentencePiece vocabulary from texts, for models that are trained from nothing.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/text/spm_model.h"

namespace rankine {

struct SpmTrainerOptions {
  std::int32_t vocab_size =
      4096;  // of everything: <unk> <s> </s>, `controls`, 256 bytes, learned pieces, characters
  std::vector<std::string>
      controls;  // control tokens behind </s>, e.g. "<|im_start|>"; text never becomes them
  double character_coverage =
      0.9995;  // share of the text's characters that get a piece; the rare rest become bytes
  std::int32_t longest_piece = 16;  // characters, the "▁" included
  bool split_digits = true;         // numbers are single digits
};

// Byte-pair encoding (Sennrich et al. 2016) over the words of the texts: a word starts at a space ("▁"
// belongs to it) and where letters, Chinese characters, digits and other signs meet; the white space signs
// other than the space stand alone. Joins the most frequent neighbours again and again; of equally frequent
// pairs the one made of the earlier symbols. The result is a model as LLaMA's: BPE, byte fallback, identity
// normaliser, dummy prefix, spaces kept; scores are 0, -1, -2, ... in the order of the pieces, the characters
// last, the frequent ones first. It has fewer than vocab_size pieces when nothing is left to join. The same
// texts give the same model, in any order of the texts. Throws DataError for a text that is not UTF-8;
// ConfigError for controls that are empty, there twice or like another piece, for options out of range, and a
// vocab_size that does not hold bytes and characters.
SpmModel train_spm(std::span<const std::string> texts, const SpmTrainerOptions& options);

}  // namespace rankine
