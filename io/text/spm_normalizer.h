// SentencePiece's view of a text before it is cut.
#pragma once

#include <string>
#include <string_view>

#include "io/text/byte_trie.h"
#include "io/text/spm_charsmap.h"
#include "io/text/spm_model.h"

namespace rankine {

class SpmNormalizer {
 public:
  SpmNormalizer(const SpmModel& model, const std::string& file);

  // The charsmap applied (user-defined pieces pass untouched), spaces written as "▁", one in front where
  // `opening` and the model says so; extra spaces removed where the model says so, leading ones only where
  // `opening`. `text` is valid UTF-8.
  std::string normalize(std::string_view text, bool opening) const;

  const ByteTrie& user_defined() const { return user_defined_; }  // -> id

 private:
  struct Piece {
    std::string_view text;  // after normalisation
    std::size_t consumed;
  };
  Piece first(std::string_view text) const;

  Charsmap charsmap_;
  ByteTrie user_defined_;
  bool dummy_prefix_, remove_extra_, escape_;
};

}  // namespace rankine
