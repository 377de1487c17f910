// Text of a file in a message: short, on one line, in quotes.
#pragma once

#include <string>
#include <string_view>

namespace rankine {

// Control characters become '?'; what is longer than 120 bytes is cut.
inline std::string shown_text(std::string_view text) {
  std::string out = "\"";
  for (const char c : text.substr(0, 120)) out += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  return out + (text.size() > 120 ? "...\"" : "\"");
}

}  // namespace rankine
