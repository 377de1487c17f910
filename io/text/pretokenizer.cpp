#include "io/text/pretokenizer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "io/text/unicode.h"

namespace rankine {
namespace {

enum class Kind : std::uint8_t { other, letter, number, space, line_end };

Kind look_up(char32_t c) {
  if (c == '\n' || c == '\r') return Kind::line_end;
  if (is_space(c)) return Kind::space;
  if (is_letter(c)) return Kind::letter;
  return is_number(c) ? Kind::number : Kind::other;
}

Kind kind_of(char32_t c) {
  static const auto table = [] {
    std::vector<Kind> kinds(0x10000);
    for (char32_t i = 0; i < 0x10000; ++i) kinds[i] = look_up(i);
    return kinds;
  }();
  return c < 0x10000 ? table[c] : look_up(c);
}

bool is_any_space(Kind kind) { return kind == Kind::space || kind == Kind::line_end; }

class Cutter {
 public:
  Cutter(std::u32string_view text, PreTokenizer rule) : text_(text), rule_(rule) {}

  // The end of the word that begins at i < size.
  std::size_t end_of_word(std::size_t i) const {
    if (const std::size_t n = contraction(i)) return i + n;
    return rule_ == PreTokenizer::gpt2 || rule_ == PreTokenizer::digits ? gpt2(i) : llama3(i);
  }

 private:
  Kind kind(std::size_t i) const { return kind_of(text_[i]); }
  bool is(std::size_t i, Kind wanted) const { return i < text_.size() && kind(i) == wanted; }

  std::size_t run(std::size_t i, Kind wanted) const {
    while (is(i, wanted)) ++i;
    return i;
  }

  // Length of 's 't 're 've 'm 'll 'd; 0: none. Upper case too but for gpt2; U+017F is an s without regard to
  // case.
  std::size_t contraction(std::size_t i) const {
    if (text_[i] != U'\'' || i + 1 == text_.size()) return 0;
    const bool any_case = rule_ == PreTokenizer::llama3 || rule_ == PreTokenizer::qwen2;
    const auto letter = [&](std::size_t at) -> char32_t {
      if (at >= text_.size()) return 0;
      const char32_t c = text_[at];
      if (!any_case) return c;
      return c >= 'A' && c <= 'Z' ? c + 32 : c == 0x17F ? U's' : c;
    };
    const char32_t first = letter(i + 1), second = letter(i + 2);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
    const bool two =
        (first == 'r' && second == 'e') || (first == 'v' && second == 'e') || (first == 'l' && second == 'l');
    return two ? 3 : 0;
  }

  std::size_t gpt2(std::size_t i) const {
    const std::size_t at = text_[i] == ' ' && i + 1 < text_.size() && !is_any_space(kind(i + 1)) ? i + 1 : i;
    if (rule_ == PreTokenizer::digits) {
      if (is(i, Kind::number)) return i + 1;
      if (is(at, Kind::number)) return at;  // the space before a number stands alone
    }
    return is_any_space(kind(at)) ? spaces(i) : run(at, kind(at));
  }

  std::size_t llama3(std::size_t i) const {
    const Kind here = kind(i);
    if (here == Kind::letter) return run(i, Kind::letter);
    if (here != Kind::line_end && here != Kind::number && is(i + 1, Kind::letter))
      return run(i + 1, Kind::letter);
    if (here == Kind::number)
      return rule_ == PreTokenizer::qwen2 ? i + 1 : std::min(run(i, Kind::number), i + 3);
    const std::size_t signs = text_[i] == ' ' && is(i + 1, Kind::other) ? i + 1 : i;
    if (is(signs, Kind::other)) return run(run(signs, Kind::other), Kind::line_end);
    std::size_t after_line = i;
    for (std::size_t at = i; at < text_.size() && is_any_space(kind(at)); ++at)
      if (kind(at) == Kind::line_end) after_line = at + 1;
    return after_line > i ? after_line : spaces(i);
  }

  // \s+(?!\S)|\s+ : white space, without its last sign when a word follows.
  std::size_t spaces(std::size_t i) const {
    std::size_t end = i;
    while (end < text_.size() && is_any_space(kind(end))) ++end;
    const bool word_follows = end < text_.size() && !(rule_ == PreTokenizer::digits && is(end, Kind::number));
    return word_follows && end - i > 1 ? end - 1 : end;
  }

  std::u32string_view text_;
  PreTokenizer rule_;
};

constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kWords = R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)";
constexpr std::array<std::string_view, 2> kEndings = {
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"};

constexpr std::pair<std::string_view, PreTokenizer> kGgufNames[] = {{"gpt-2", PreTokenizer::gpt2},
                                                                    {"gpt2", PreTokenizer::gpt2},
                                                                    {"llama3", PreTokenizer::llama3},
                                                                    {"llama-v3", PreTokenizer::llama3},
                                                                    {"llama-bpe", PreTokenizer::llama3},
                                                                    {"glm4", PreTokenizer::llama3},
                                                                    {"chatglm-bpe", PreTokenizer::llama3},
                                                                    {"qwen2", PreTokenizer::qwen2},
                                                                    {"deepseek-r1-qwen", PreTokenizer::qwen2},
                                                                    {"smollm", PreTokenizer::digits},
                                                                    {"starcoder", PreTokenizer::digits}};

}  // namespace

const std::string_view kGgufPreTokenizers =
    "gpt-2, llama-bpe, llama3, llama-v3, qwen2, deepseek-r1-qwen, glm4, chatglm-bpe, smollm, starcoder";

std::vector<std::size_t> cut_words(std::u32string_view text, PreTokenizer rule) {
  std::vector<std::size_t> ends;
  if (rule == PreTokenizer::whole && !text.empty()) return {text.size()};
  const Cutter cutter(text, rule);
  for (std::size_t at = 0; at < text.size(); ends.push_back(at)) at = cutter.end_of_word(at);
  return ends;
}

std::optional<PreTokenizer> pretokenizer_of_regex(std::string_view regex) {
  if (regex == kGpt2Regex) return PreTokenizer::gpt2;
  for (const std::string_view ending : kEndings) {
    std::string_view rest = regex;
    const auto skip = [&](std::string_view part) {
      const bool there = rest.starts_with(part);
      if (there) rest.remove_prefix(part.size());
      return there;
    };
    if (!skip(ending) || !skip(kWords)) continue;
    if (skip(R"(\p{N}{1,3})")) return rest == kTail ? std::optional(PreTokenizer::llama3) : std::nullopt;
    if (skip(R"(\p{N})")) return rest == kTail ? std::optional(PreTokenizer::qwen2) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<PreTokenizer> pretokenizer_of_gguf(std::string_view name) {
  for (const auto& [known, rule] : kGgufNames)
    if (known == name) return rule;
  return std::nullopt;
}

}  // namespace rankine
