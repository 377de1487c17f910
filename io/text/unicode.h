// The little of Unicode (14.0) that a tokenizer needs.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace rankine {

// Code points of a text. Throws DataError "name: byte N: ..." when it is not UTF-8 (RFC 3629: no overlong
// forms, no surrogates, nothing above U+10FFFF).
std::u32string decode_utf8(std::string_view text, std::string_view name);
void append_utf8(std::string& out, char32_t c);
std::string encode_utf8(std::u32string_view text);

bool is_letter(char32_t c);  // general category L: Latin, Greek, Cyrillic, CJK ideographs, ...
bool is_number(char32_t c);  // general category N: digits, letter-like numbers, fractions
bool is_space(char32_t c);   // property White_Space

// Lower-case letters for all scripts that have case, as Python's str.lower(): U+0130 becomes two code points,
// and a sigma between a cased letter and something else is a final one (marks and apostrophes are not looked
// through).
std::u32string to_lower(std::u32string_view text);

namespace unicode_tables {

struct Range {
  char32_t first, last;
};
// Every `stride`-th code point from first to last moves by delta.
struct CaseRange {
  char32_t first, last;
  std::int32_t stride, delta;
};
// An entity of HTML 4 (and &apos;): "&eacute;". Some may stand without the semicolon.
struct Entity {
  std::string_view name;
  char32_t c;
  bool semicolon_optional;
};

extern const std::span<const Range> letters, numbers, cased;
extern const std::span<const CaseRange> lower_case;
extern const std::span<const Entity> entities;  // by name
extern const std::span<const char32_t>
    c1_as_windows_1252;  // what &#128; .. &#159; mean in HTML; 0: themselves

}  // namespace unicode_tables
}  // namespace rankine
