#include "io/text/tiktoken_file.h"

#include <charconv>
#include <unordered_set>

#include "engine/core/error.h"
#include "io/text/bytelevel_tokenizer.h"

namespace rankine {
namespace {

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

struct Line {
  std::string token;
  std::size_t rank = 0;
};

bool parse_line(std::string_view line, Line& out) {
  const std::size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0 || !decode_base64(line.substr(0, space), out.token))
    return false;
  const std::string_view number = line.substr(space + 1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), out.rank);
  return error == std::errc() && end == number.data() + number.size() && !number.empty();
}

std::string_view next_line(std::string_view& text) {
  const std::size_t end = std::min(text.find('\n'), text.size());
  std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

bool decode_base64(std::string_view text, std::string& out) {
  out.clear();
  if (text.size() % 4 != 0) return false;
  const std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool pad = i + padding >= text.size();
    const int digit = pad ? 0 : base64_digit(text[i]);
    if (digit < 0) return false;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    if (i % 4 != 3) continue;
    for (const int shift : {16, 8, 0}) out += static_cast<char>(bits >> shift & 0xFF);
    bits = 0;
  }
  for (std::size_t i = 0; i < padding; ++i) {
    if (out.back() != '\0') return false;  // bits that no byte holds
    out.pop_back();
  }
  return true;
}

bool looks_like_tiktoken(std::string_view text) {
  Line line;
  text = text.substr(0, 2 * kMaxTokenBytes);
  return parse_line(next_line(text), line);
}

std::vector<std::string> read_tiktoken(std::string_view text, const std::string& file) {
  std::vector<std::string> tokens;
  std::vector<Line> lines;
  std::unordered_set<std::string> seen;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::string_view line = next_line(text);
    if (line.empty() && text.empty()) break;
    const auto check = [&](bool ok, const auto&... what) {
      require<DataError>(ok, file, ":", number, ": ", what...);
    };
    Line& read = lines.emplace_back();
    check(parse_line(line, read), "expected a token in base64, a space and its rank");
    check(!read.token.empty() && read.token.size() <= kMaxTokenBytes, "a token of ", read.token.size(),
          " bytes; allowed are 1 to ", kMaxTokenBytes);
    check(lines.size() <= kMaxTokens, "more than ", kMaxTokens, " tokens");
    check(seen.insert(read.token).second, "the token is there twice");
  }
  tokens.resize(lines.size());
  for (std::size_t i = 0; i < lines.size(); ++i) {
    require<DataError>(lines[i].rank < lines.size(), file, ":", i + 1, ": rank ", lines[i].rank,
                       " in a file of ", lines.size(), " tokens");
    std::string& token = tokens[lines[i].rank];
    require<DataError>(token.empty(), file, ":", i + 1, ": rank ", lines[i].rank, " is there twice");
    token = std::move(lines[i].token);
  }
  return tokens;
}

std::shared_ptr<const Tokenizer> make_tiktoken_tokenizer(const std::vector<std::string>& tokens,
                                                         Vocabulary rest) {
  for (const std::string& token : tokens) rest.tokens.push_back({symbols_of_bytes(token)});
  ByteLevelRules rules;
  rules.pre = PreTokenizer::llama3;
  rules.whole_words = true;
  rules.merge_by_rank = true;
  return std::make_shared<ByteLevelTokenizer>(std::move(rest), ByteLevelTokenizer::Merges{}, rules);
}

std::vector<std::string> llama3_controls() {
  int reserved = 0;
  const auto next_reserved = [&] { return join("<|reserved_special_token_", reserved++, "|>"); };
  std::vector<std::string> names = {"<|begin_of_text|>", "<|end_of_text|>"};
  names.push_back(next_reserved());
  names.push_back(next_reserved());
  names.emplace_back("<|finetune_right_pad_id|>");
  names.push_back(next_reserved());
  for (const char* name :
       {"<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"})
    names.emplace_back(name);
  while (names.size() < 256) names.push_back(next_reserved());
  return names;
}

}  // namespace rankine
