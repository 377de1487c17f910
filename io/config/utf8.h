// Well-formed UTF-8, one character at a time.
#pragma once

#include <cstddef>
#include <string_view>

namespace rankine {

// Length in bytes of the character at the start of `s`, which must not be empty; 0 when it is not UTF-8: a
// stray or missing continuation byte, an overlong form, a surrogate, or a code point above U+10FFFF.
inline std::size_t utf8_length(std::string_view s) {
  const auto first = static_cast<unsigned char>(s[0]);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || s.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((static_cast<unsigned char>(s[i]) & 0xC0U) != 0x80U) return 0;
  const auto second = static_cast<unsigned char>(s[1]);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool outside = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  return overlong || outside ? 0 : length;
}

inline bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t n = utf8_length(text);
    if (n == 0) return false;
    text.remove_prefix(n);
  }
  return true;
}

}  // namespace rankine
