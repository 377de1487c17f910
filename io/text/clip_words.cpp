// Cleaning and splitting of prompts, before any merge.
#include <array>
#include <cctype>

#include "io/text/clip_tokenizer.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

struct Entity {
  std::string_view name;
  std::uint32_t code;
};
constexpr std::array<Entity, 14> kEntities{{{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''},
                                            {"nbsp", 0xA0}, {"hellip", 0x2026}, {"mdash", 0x2014}, {"ndash", 0x2013},
                                            {"lsquo", 0x2018}, {"rsquo", 0x2019}, {"ldquo", 0x201C}, {"rdquo", 0x201D},
                                            {"copy", 0xA9}}};

// The code point that an entity body ("amp", "#39", "#x27") stands for; 0 when it is none.
std::uint32_t entity(std::string_view body) {
  if (body.size() >= 2 && body[0] == '#') {
    const bool hex = body[1] == 'x' || body[1] == 'X';
    std::uint32_t value = 0;
    for (const char ch : body.substr(hex ? 2 : 1)) {
      const int digit = std::isdigit(static_cast<unsigned char>(ch)) ? ch - '0'
                        : hex && std::isxdigit(static_cast<unsigned char>(ch)) ? (ch | 32) - 'a' + 10
                                                                               : -1;
      if (digit < 0 || value > 0x10FFFF) return 0;
      value = value * (hex ? 16 : 10) + static_cast<std::uint32_t>(digit);
    }
    return value <= 0x10FFFF && (value < 0xD800 || value > 0xDFFF) ? value : 0;
  }
  for (const Entity& e : kEntities) {
    if (e.name == body) return e.code;
  }
  return 0;
}

std::string unescape(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '&') {
      const auto end = text.find(';', i);
      const std::uint32_t code = end != std::string_view::npos && end - i <= 10 ? entity(text.substr(i + 1, end - i - 1)) : 0;
      if (code) {
        unicode::append(out, code);
        i = end;
        continue;
      }
    }
    out += text[i];
  }
  return out;
}

enum class Class : std::uint8_t { space, letter, number, other };
Class class_of(std::uint32_t cp) {
  if (unicode::is_space(cp)) return Class::space;
  if (unicode::is_letter(cp)) return Class::letter;
  return unicode::is_number(cp) ? Class::number : Class::other;
}

std::size_t contraction(std::string_view text) {
  for (const std::string_view c : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}) {
    if (text.starts_with(c)) return c.size();
  }
  return 0;
}

}  // namespace

std::string clean_clip_text(std::string_view text) {
  const std::string decoded = unescape(unescape(text));
  std::string out;
  bool gap = false;
  for (std::size_t at = 0; at < decoded.size();) {
    const std::uint32_t cp = unicode::next(decoded, at);
    if (unicode::is_space(cp)) {
      gap = !out.empty();
      continue;
    }
    if (gap) out += ' ';
    gap = false;
    unicode::append(out, unicode::to_lower(cp));
  }
  return out;
}

std::vector<std::string_view> split_clip_words(std::string_view clean) {
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin < clean.size();) {
    if (const std::size_t n = contraction(clean.substr(begin))) {
      words.push_back(clean.substr(begin, n));
      begin += n;
      continue;
    }
    std::size_t end = begin;
    const Class kind = class_of(unicode::next(clean, end));
    if (kind == Class::letter || kind == Class::other) {
      // A run goes on until the class changes. A contraction inside a run of other marks is part of that run.
      for (std::size_t peek = end; peek < clean.size(); end = peek) {
        if (class_of(unicode::next(clean, peek)) != kind) break;
      }
    }
    if (kind != Class::space) words.push_back(clean.substr(begin, end - begin));
    begin = end;
  }
  return words;
}

}  // namespace rankine
