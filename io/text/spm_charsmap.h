// SentencePiece's precompiled_charsmap: replacements of short byte sequences (its NFKC and more).
//
// Layout: u32 n; n bytes of u32 trie units (a double array of the Darts-clone kind); the replacements, each
// ended by NUL. All little-endian. Unit u: label u & 0x800000FF, base (u >> 10) << ((u & 0x200) >> 6), bit 8:
// the node ends a word, whose value, the offset of the replacement, is the low 31 bits of the unit at its
// base.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rankine {

class Charsmap {
 public:
  Charsmap() = default;  // replaces nothing

  // `bytes` may be empty. Throws DataError "file: precompiled_charsmap: ..." for lengths that do not fit,
  // units or replacements outside, a trie in which a path comes back to itself, replacements that are not
  // UTF-8 or longer than 1 KiB, and more than 4 MiB.
  Charsmap(std::string_view bytes, const std::string& file);

  struct Rule {
    std::size_t length = 0;  // of the longest word that the text starts with; 0: none
    std::string_view replacement;
  };
  // Both ends of a match lie between characters of `text`, which is UTF-8.
  Rule longest(std::string_view text) const;

 private:
  class Checker;
  std::vector<std::uint32_t> units_;
  std::string replacements_;
};

}  // namespace rankine
