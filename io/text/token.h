// The entries of a vocabulary.
#pragma once

#include <cstdint>
#include <string>

namespace rankine {

// Numbered as in SentencePiece's model files and in GGUF.
enum class TokenType : std::uint8_t { normal = 1, unknown, control, user_defined, unused, byte };

struct Token {
  std::string text;  // as the vocabulary spells it: "▁the", "Ġthe", "<0x0A>"; empty: an id without a token
  float score = 0;   // SentencePiece: log probability (Unigram) or minus the rank of the merge (BPE)
  TokenType type = TokenType::normal;
};

// A token that was given a vocabulary afterwards. Found in text before anything else, unless `special`: those
// are control tokens. One that strips takes the white space beside it along. Matched in the text as it came,
// before any normalisation.
struct AddedToken {
  std::int32_t id = 0;
  std::string text;
  bool special = true, strip_left = false, strip_right = false;
};

inline constexpr std::size_t kMaxTokenBytes = 4096;  // of one entry
inline constexpr std::size_t kMaxTokens = std::size_t{1} << 22;
inline constexpr const char* kSpaceMark = "\u2581";  // how SentencePiece writes a space

}  // namespace rankine
