#include "io/dataset/text_show.h"

#include <algorithm>
#include <span>

#include "io/dataset/text_file.h"

namespace rankine {

namespace {

bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::string without_controls(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) {
      out += std::string("<0x") + kDigits[byte >> 4] + kDigits[byte & 15] + '>';
    } else {
      out += c;
    }
  }
  return out;
}

struct Shown {
  std::string text;
  bool control = false, breaks = false;
};

Shown shown(std::int32_t id, const Tokenizer& tokenizer) {
  const std::string piece = tokenizer.piece(id), text = tokenizer.decode(std::span(&id, 1));
  const bool breaks = text.find('\n') != std::string::npos;
  const bool hidden =
      !is_ascii(text) && utf8_prefix(text) == text.size() && piece.find(text) == std::string::npos;
  return {without_controls(hidden ? text : piece), text.empty() && tokenizer.control(piece) == id, breaks};
}

}  // namespace

std::string show_tokens(const TokenSequence& sequence, const Tokenizer& tokenizer, TokenMarks marks) {
  const bool ansi = marks == TokenMarks::ansi;
  const std::string open = ansi ? "\x1b[32m" : "⟦", close = ansi ? "\x1b[0m" : "⟧";
  std::string out;
  bool trained = false;
  for (std::size_t i = 0; i < sequence.ids.size(); ++i) {
    const bool now = sequence.trained[i] != 0;
    if (trained && !now) out += close;
    if (!out.empty() && out.back() != '\n') out += ' ';
    if (!trained && now) out += open;
    trained = now;
    const Shown token = shown(sequence.ids[i], tokenizer);
    out += ansi && token.control ? "\x1b[1m" + token.text + "\x1b[22m" : token.text;
    if (token.breaks) out += '\n';
  }
  return trained ? out + close : out;
}

}  // namespace rankine
