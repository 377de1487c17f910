#include "io/text/clip_tokenizer.h"

#include <algorithm>
#include <queue>

#include "engine/core/error.h"
#include "io/files/gzip.h"
#include "io/files/mapped_file.h"
#include "io/text/byte_symbols.h"
#include "io/text/clean_text.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

constexpr std::string_view kEndOfWord = "</w>";
constexpr std::size_t kMaxLine = std::size_t{1} << 20, kMaxLines = 300'000;
constexpr std::size_t kMaxFile = std::size_t{64} << 20;

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
}

std::string byte_symbol(std::int32_t id) {
  std::string text;
  append_utf8(text, code_point_of(id % kByteSymbols));
  if (id >= kWordEnd) text += kEndOfWord;
  return text;
}

}  // namespace

// Reads merges one by one; knows the written form of every symbol so far.
class ClipTokenizer::Builder {
 public:
  Builder(ClipTokenizer& tokenizer, const std::string& name) : tokenizer_(tokenizer), name_(name) {
    for (std::int32_t id = 0; id < kFirstMerge; ++id) ids_.emplace(byte_symbol(id), id);
  }

  void read(std::string_view text) {
    decode_utf8(text, name_);
    for (line_ = 1; !text.empty(); ++line_) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      std::string_view line = text.substr(0, end);
      text.remove_prefix(std::min(end + 1, text.size()));
      check(line_ <= kMaxLines, "more than ", kMaxLines, " lines");
      check(line.size() <= kMaxLine, "a line of ", line.size(), " bytes is no merge");
      if (line.ends_with('\r')) line.remove_suffix(1);
      const bool version = line_ == 1 && line.find("#version") != std::string_view::npos;
      const bool past_end = tokenizer_.merge_count() == kMaxMerges;
      if (version || past_end || (line.empty() && text.empty())) continue;
      add(line);
    }
  }

 private:
  void add(std::string_view line) {
    const std::size_t space = line.find(' ');
    check(space != std::string_view::npos && space > 0 && space + 1 < line.size() &&
              line.find(' ', space + 1) == std::string_view::npos,
          "expected two symbols with one space between, got '", line.substr(0, 80), "'");
    const std::string_view left = line.substr(0, space), right = line.substr(space + 1);
    const std::int32_t left_id = id_of(left), right_id = id_of(right);
    check(!left.ends_with(kEndOfWord), "'", left.substr(0, 80), "' ends a word, nothing can follow it");
    const std::int32_t id = kFirstMerge + tokenizer_.merge_count();
    const bool fresh_pair = tokenizer_.merged_id_.emplace(pair_key(left_id, right_id), id).second;
    check(fresh_pair, "the pair '", line.substr(0, 80), "' is there twice");
    const bool fresh_symbol = ids_.emplace(std::string(left) + std::string(right), id).second;
    check(fresh_symbol, "'", line.substr(0, 80), "' makes a symbol that is there already");
    tokenizer_.merges_.push_back({left_id, right_id});
  }

  std::int32_t id_of(std::string_view symbol) const {
    const auto at = ids_.find(std::string(symbol));
    check(at != ids_.end(), "the symbol '", symbol.substr(0, 80),
          "' is neither a byte nor made by an earlier merge");
    return at->second;
  }

  template <class... Parts>
  void check(bool ok, const Parts&... parts) const {
    require<DataError>(ok, name_, ":", line_, ": ", parts...);
  }

  ClipTokenizer& tokenizer_;
  const std::string& name_;
  std::size_t line_ = 1;
  std::unordered_map<std::string, std::int32_t> ids_;  // written symbol -> id
};

ClipTokenizer::ClipTokenizer(std::string_view merges_text, const std::string& name) {
  require<DataError>(merges_text.size() <= kMaxFile, name, ": ", merges_text.size(),
                     " bytes are too many for merges");
  Builder(*this, name).read(merges_text);
}

ClipTokenizer ClipTokenizer::from_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  const std::string name = path.string();
  if (is_gzip(file.bytes())) return ClipTokenizer(gunzip(file.bytes(), kMaxFile, name), name);
  return ClipTokenizer({reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()}, name);
}

std::int32_t ClipTokenizer::merged(std::int32_t left, std::int32_t right) const {
  const auto at = merged_id_.find(pair_key(left, right));
  return at == merged_id_.end() ? -1 : at->second;
}

// Joins the pair of lowest rank first, the leftmost of equals: ids grow with rank, so a heap of (id, place)
// gives that order, and a word of n bytes takes n log n steps. An entry is stale when one of its two symbols
// changed since.
void ClipTokenizer::encode_word(std::string_view word, std::vector<std::int32_t>& out) const {
  struct Symbol {
    std::int32_t id, previous, next;  // neighbours; -1 at the ends. id -1: joined into its left neighbour
  };
  const auto count = static_cast<std::int32_t>(word.size());
  std::vector<Symbol> symbols;
  symbols.reserve(word.size());
  for (std::int32_t i = 0; i < count; ++i)
    symbols.push_back({id_of_byte(static_cast<std::uint8_t>(word[i])), i - 1, i + 1 < count ? i + 1 : -1});
  symbols.back().id += kWordEnd;

  using Candidate = std::pair<std::int32_t, std::int32_t>;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> candidates;
  const auto consider = [&](std::int32_t at) {
    if (at < 0 || symbols[at].next < 0) return;
    const std::int32_t id = merged(symbols[at].id, symbols[symbols[at].next].id);
    if (id >= 0) candidates.emplace(id, at);
  };
  for (std::int32_t i = 0; i + 1 < count; ++i) consider(i);
  while (!candidates.empty()) {
    const Candidate best = candidates.top();
    candidates.pop();
    Symbol& left = symbols[best.second];
    if (left.id < 0 || left.next < 0 || merged(left.id, symbols[left.next].id) != best.first) continue;
    Symbol& right = symbols[left.next];
    left.id = best.first;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[left.next].previous = best.second;
    consider(left.previous);
    consider(best.second);
  }
  for (std::int32_t i = 0; i >= 0; i = symbols[i].next) out.push_back(symbols[i].id);
}

std::vector<std::int32_t> ClipTokenizer::encode(std::string_view text) const {
  std::vector<std::int32_t> ids;
  for (const std::string& word : split_clip_words(clean_clip_text(decode_utf8(text, "text to tokenize")))) {
    if (word == "<|startoftext|>") {
      ids.push_back(bos());
    } else if (word == "<|endoftext|>") {
      ids.push_back(eos());
    } else {
      encode_word(word, ids);
    }
  }
  return ids;
}

std::string ClipTokenizer::symbol(std::int32_t id) const {
  require<DataError>(id >= 0 && id < vocab_size(), "token ", id, " is not in a vocabulary of ", vocab_size());
  if (id == bos()) return "<|startoftext|>";
  if (id == eos()) return "<|endoftext|>";
  if (id < kFirstMerge) return byte_symbol(id);
  const Merge& merge = merges_[static_cast<std::size_t>(id - kFirstMerge)];
  return symbol(merge.left) + symbol(merge.right);
}

std::string ClipTokenizer::merges_text() const {
  std::vector<std::string> written;
  written.reserve(static_cast<std::size_t>(bos()));
  for (std::int32_t id = 0; id < kFirstMerge; ++id) written.push_back(byte_symbol(id));
  std::string text = "#version: 0.2\n";
  for (const Merge& merge : merges_) {
    const std::string &left = written[merge.left], &right = written[merge.right];
    text += join(left, ' ', right, '\n');
    written.push_back(left + right);
  }
  return text;
}

}  // namespace rankine
