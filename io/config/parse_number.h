// Numbers as the run file writes them: the whole text must be one finite decimal number.
#pragma once

#include <charconv>
#include <cmath>
#include <string_view>

namespace rankine::config {

// T is an integer or double. A leading '+' is allowed.
template <class T>
bool parse_number(std::string_view s, T& out) {
  if (s.size() > 1 && s[0] == '+' && s[1] != '-') s.remove_prefix(1);
  const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), out);
  return error == std::errc() && end == s.data() + s.size() && !s.empty();
}

inline bool parse_real(std::string_view s, double& out) { return parse_number(s, out) && std::isfinite(out); }

}  // namespace rankine::config
