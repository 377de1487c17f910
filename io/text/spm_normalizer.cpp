#include "io/text/spm_normalizer.h"

#include "io/text/unicode.h"

namespace rankine {

SpmNormalizer::SpmNormalizer(const SpmModel& model, const std::string& file)
    : charsmap_(model.charsmap, file),
      dummy_prefix_(model.add_dummy_prefix),
      remove_extra_(model.remove_extra_whitespaces),
      escape_(model.escape_whitespaces) {
  std::vector<ByteTrie::Entry> entries;
  for (std::size_t id = 0; id < model.pieces.size(); ++id)
    if (model.pieces[id].type == TokenType::user_defined)
      entries.emplace_back(model.pieces[id].text, static_cast<std::int32_t>(id));
  user_defined_ = ByteTrie(std::move(entries));
}

SpmNormalizer::Piece SpmNormalizer::first(std::string_view text) const {
  if (const ByteTrie::Match user = user_defined_.longest(text); user.length > 0)
    return {text.substr(0, user.length), user.length};
  if (const Charsmap::Rule rule = charsmap_.longest(text); rule.length > 0)
    return {rule.replacement, rule.length};
  const std::size_t length = first_code_point(text).length;
  return {text.substr(0, length), length};
}

std::string SpmNormalizer::normalize(std::string_view text, bool opening) const {
  while (opening && remove_extra_ && !text.empty()) {
    const Piece piece = first(text);
    if (piece.text != " ") break;
    text.remove_prefix(piece.consumed);
  }
  std::string out;
  if (text.empty()) return out;
  const std::string_view space = escape_ ? std::string_view(kSpaceMark) : " ";
  out.reserve(text.size() + text.size() / 2 + space.size());
  if (opening && dummy_prefix_) out += space;
  bool after_space = opening && remove_extra_;
  while (!text.empty()) {
    Piece piece = first(text);
    text.remove_prefix(piece.consumed);
    while (after_space && piece.text.starts_with(' ')) piece.text.remove_prefix(1);
    if (!piece.text.empty()) {
      for (const char c : piece.text) c == ' ' ? out += space : out += c;
      after_space = remove_extra_ && piece.text.ends_with(' ');
    }
  }
  while (remove_extra_ && out.ends_with(space)) out.erase(out.size() - space.size());
  return out;
}

}  // namespace rankine
