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
// The same check without the result.
void check_utf8(std::string_view text, std::string_view name);

// The code point at the start of a text that is not empty, and its length in bytes; length 0: no valid one.
struct Utf8Char {
  char32_t c = 0;
  std::size_t length = 0;
};
Utf8Char first_code_point(std::string_view text);
void append_utf8(std::string& out, char32_t c);
std::string encode_utf8(std::u32string_view text);

bool is_letter(char32_t c);  // general category L: Latin, Greek, Cyrillic, CJK ideographs, ...
bool is_number(char32_t c);  // general category N: digits, letter-like numbers, fractions
bool is_space(char32_t c);   // property White_Space

// Lower-case letters for all scripts that have case, as Python's str.lower(): U+0130 becomes two code points,
// and a sigma between a cased letter and something else is a final one (marks and apostrophes are not looked
// through).
std::u32string to_lower(std::u32string_view text);

// Normalization form C (UAX #15): canonical decomposition, order and composition.
std::u32string to_nfc(std::u32string_view text);

namespace unicode_tables {

struct Range {
  char32_t first, last;
};
// Every `stride`-th code point from first to last moves by delta.
struct CaseRange {
  char32_t first, last;
  std::int32_t stride, delta;
};
// `c` is canonically another spelling of `same`.
struct Respelling {
  char32_t c, same;
};
// `c` is canonically first, then second.
struct Decomposition {
  char32_t c, first, second;
};
struct ClassRange {
  char32_t first, last;
  std::uint8_t combining_class;
};
// An entity of HTML 4 (and &apos;): "&eacute;". Some may stand without the semicolon.
struct Entity {
  std::string_view name;
  char32_t c;
  bool semicolon_optional;
};

extern const std::span<const Range> letters, numbers, cased;
extern const std::span<const CaseRange> lower_case;
extern const std::span<const Respelling> respellings;        // by c
extern const std::span<const Decomposition> decompositions;  // by c; Hangul syllables are computed
extern const std::span<const char32_t> not_composed;         // by code point: decomposed and never made again
extern const std::span<const ClassRange> combining_classes;  // those that are not 0
extern const std::span<const Entity> entities;               // by name
extern const std::span<const char32_t>
    c1_as_windows_1252;  // what &#128; .. &#159; mean in HTML; 0: themselves

}  // namespace unicode_tables
}  // namespace rankine
