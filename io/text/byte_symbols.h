// How byte-level BPE writes bytes as printable characters, and in which order CLIP numbers them: 33-126,
// 161-172 and 174-255 stand for themselves as code points, the other 68 bytes, ascending, for U+0100, U+0101,
// ...
#pragma once

#include <cstdint>
#include <optional>

namespace rankine {

inline constexpr std::int32_t kByteSymbols = 256, kSelfBytes = 188;
inline constexpr std::int32_t kWordEnd = kByteSymbols;  // added to the id of a byte that ends a word
inline constexpr std::int32_t kFirstMerge = 2 * kByteSymbols;

constexpr std::int32_t id_of_byte(std::uint8_t b) {
  if (b >= 33 && b <= 126) return b - 33;
  if (b >= 161 && b <= 172) return b - 161 + 94;
  if (b >= 174) return b - 174 + 106;
  if (b <= 32) return b + kSelfBytes;
  return b == 173 ? 255 : b - 127 + kSelfBytes + 33;
}

// The code point that stands for the byte of this id (0..255).
constexpr char32_t code_point_of(std::int32_t id) {
  if (id >= kSelfBytes) return static_cast<char32_t>(0x100 + id - kSelfBytes);
  return static_cast<char32_t>(id < 94 ? id + 33 : id < 106 ? id - 94 + 161 : id - 106 + 174);
}

// The id of a code point, the inverse; nothing for one that stands for no byte.
constexpr std::optional<std::int32_t> byte_symbol_id(char32_t c) {
  if (c >= 0x100 && c < 0x100 + kByteSymbols - kSelfBytes)
    return static_cast<std::int32_t>(c - 0x100) + kSelfBytes;
  if (c > 255) return std::nullopt;
  const std::int32_t id = id_of_byte(static_cast<std::uint8_t>(c));
  return id < kSelfBytes ? std::optional(id) : std::nullopt;
}

}  // namespace rankine
