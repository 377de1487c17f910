#include "io/text/clean_text.h"

#include <algorithm>
#include <array>

#include "io/text/unicode.h"

namespace rankine {
namespace {

using unicode_tables::Entity;

constexpr char32_t kReplacement = 0xFFFD;

int digit_value(char32_t c) {
  if (c >= '0' && c <= '9') return static_cast<int>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<int>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<int>(c - 'A' + 10);
  return 99;
}

// Control characters and the code points that never are characters: HTML drops them.
bool is_dropped(char32_t c) {
  const bool control = (c >= 1 && c <= 8) || c == 11 || (c >= 14 && c <= 31) || c == 127;
  return control || (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE;
}

// Reads "&#123;" or "&#x7B;" at text[i]; returns where it ends, or i when there is none.
std::size_t read_numeric(std::u32string_view text, std::size_t i, std::u32string& out) {
  std::size_t at = i + 2;
  const bool hex = at < text.size() && (text[at] == 'x' || text[at] == 'X');
  if (hex) ++at;
  const int base = hex ? 16 : 10;
  const std::size_t digits = at;
  char32_t value = 0;
  for (; at < text.size() && digit_value(text[at]) < base; ++at)
    value = std::min<char32_t>(value * base + digit_value(text[at]), 0x110000);
  if (at == digits) return i;
  if (at < text.size() && text[at] == ';') ++at;
  const auto c1 = unicode_tables::c1_as_windows_1252;
  if (value >= 0x80 && value < 0x80 + c1.size()) {
    out += c1[value - 0x80] != 0 ? c1[value - 0x80] : value;
  } else if (value == 0 || value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) {
    out += kReplacement;
  } else if (!is_dropped(value)) {
    out += value;
  }
  return at;
}

const Entity* find_entity(std::string_view name) {
  const auto all = unicode_tables::entities;
  const auto at = std::lower_bound(all.begin(), all.end(), name,
                                   [](const Entity& e, std::string_view n) { return e.name < n; });
  return at != all.end() && at->name == name ? &*at : nullptr;
}

// Reads "&name;" or the longest name that may stand without ';' at text[i]; returns where it ends, or i.
std::size_t read_named(std::u32string_view text, std::size_t i, std::u32string& out) {
  constexpr std::size_t kLongest = 32;
  std::string name;
  std::size_t at = i + 1;
  for (; at < text.size() && name.size() < kLongest && text[at] < 128; ++at) {
    const char c = static_cast<char>(text[at]);
    if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))) break;
    name += c;
  }
  if (at < text.size() && text[at] == ';') {
    if (const Entity* e = find_entity(name)) {
      out += e->c;
      return at + 1;
    }
  }
  for (; name.size() > 1; name.pop_back()) {
    const Entity* e = find_entity(name);
    if (e == nullptr || !e->semicolon_optional) continue;
    out += e->c;
    return i + 1 + name.size();
  }
  return i;
}

bool starts_with(std::u32string_view text, std::u32string_view start) {
  return text.substr(0, start.size()) == start;
}

// Length of the piece at the start of `text`; 0 for white space.
std::size_t piece_length(std::u32string_view text) {
  static constexpr std::array<std::u32string_view, 9> kWhole = {
      U"<|startoftext|>", U"<|endoftext|>", U"'s", U"'t", U"'re", U"'ve", U"'m", U"'ll", U"'d"};
  for (const auto whole : kWhole)
    if (starts_with(text, whole)) return whole.size();
  if (is_space(text[0])) return 0;
  if (is_number(text[0])) return 1;
  const bool letters = is_letter(text[0]);
  std::size_t n = 1;
  while (n < text.size() && !is_space(text[n]) && !is_number(text[n]) && is_letter(text[n]) == letters) ++n;
  return n;
}

}  // namespace

std::u32string html_unescape(std::u32string_view text) {
  std::u32string out;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i;
    if (text[i] == '&')
      end = i + 1 < text.size() && text[i + 1] == '#' ? read_numeric(text, i, out) : read_named(text, i, out);
    if (end == i) out += text[i++];
    i = std::max(i, end);
  }
  return out;
}

std::u32string clean_clip_text(std::u32string_view text) {
  std::u32string collapsed;
  for (const char32_t c : html_unescape(html_unescape(text))) {
    if (!is_space(c)) {
      collapsed += c;
    } else if (!collapsed.empty() && collapsed.back() != ' ') {
      collapsed += U' ';
    }
  }
  if (!collapsed.empty() && collapsed.back() == ' ') collapsed.pop_back();
  return to_lower(collapsed);
}

std::vector<std::string> split_clip_words(std::u32string_view clean_text) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < clean_text.size();) {
    const std::size_t n = piece_length(clean_text.substr(i));
    if (n > 0) words.push_back(encode_utf8(clean_text.substr(i, n)));
    i += std::max<std::size_t>(n, 1);
  }
  return words;
}

}  // namespace rankine
