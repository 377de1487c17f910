#include "io/text/unicode.h"

#include <algorithm>

#include "engine/core/error.h"

namespace rankine {
namespace {

template <class R>
const R* find_range(std::span<const R> ranges, char32_t c) {
  const auto at =
      std::lower_bound(ranges.begin(), ranges.end(), c, [](const R& r, char32_t x) { return r.last < x; });
  return at != ranges.end() && at->first <= c ? &*at : nullptr;
}

bool is_cased(char32_t c) { return find_range(unicode_tables::cased, c) != nullptr; }

constexpr char32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2, kDottedI = 0x130, kDotAbove = 0x307;

}  // namespace

Utf8Char first_code_point(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {};
  char32_t c = lead & (0x7FU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0U) != 0x80) return {};
    c = c << 6 | (next & 0x3FU);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = c >= 0xD800 && c <= 0xDFFF;
  return c < kSmallest[length] || surrogate || c > 0x10FFFF ? Utf8Char{} : Utf8Char{c, length};
}

void check_utf8(std::string_view text, std::string_view name) {
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char next = first_code_point(text.substr(i));
    require<DataError>(next.length != 0, name, ": byte ", i, ": the text is not valid UTF-8");
    i += next.length;
  }
}

std::u32string decode_utf8(std::string_view text, std::string_view name) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Char next = first_code_point(text.substr(i));
    require<DataError>(next.length != 0, name, ": byte ", i, ": the text is not valid UTF-8");
    out += next.c;
    i += next.length;
  }
  return out;
}

void append_utf8(std::string& out, char32_t c) {
  const auto byte = [&](char32_t bits) { out += static_cast<char>(static_cast<unsigned char>(bits)); };
  if (c < 0x80) return byte(c);
  if (c < 0x800) {
    byte(0xC0 | c >> 6);
  } else {
    if (c < 0x10000) {
      byte(0xE0 | c >> 12);
    } else {
      byte(0xF0 | c >> 18);
      byte(0x80 | (c >> 12 & 0x3F));
    }
    byte(0x80 | (c >> 6 & 0x3F));
  }
  byte(0x80 | (c & 0x3F));
}

std::string encode_utf8(std::u32string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char32_t c : text) append_utf8(out, c);
  return out;
}

bool is_letter(char32_t c) { return find_range(unicode_tables::letters, c) != nullptr; }
bool is_number(char32_t c) { return find_range(unicode_tables::numbers, c) != nullptr; }

bool is_space(char32_t c) {
  return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

std::u32string to_lower(std::u32string_view text) {
  std::u32string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char32_t c = text[i];
    if (c == kCapitalSigma && i > 0 && is_cased(text[i - 1]) &&
        (i + 1 == text.size() || !is_cased(text[i + 1]))) {
      out += kFinalSigma;
      continue;
    }
    const auto* r = find_range(unicode_tables::lower_case, c);
    const bool moves = r != nullptr && (c - r->first) % static_cast<char32_t>(r->stride) == 0;
    out += moves ? static_cast<char32_t>(static_cast<std::int32_t>(c) + r->delta) : c;
    if (c == kDottedI) out.back() = U'i', out += kDotAbove;
  }
  return out;
}

}  // namespace rankine
