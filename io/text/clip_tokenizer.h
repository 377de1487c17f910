// CLIP's byte-pair tokenizer (OpenAI CLIP, "simple tokenizer"; Sennrich et al. 2016) and the windows of 77
// tokens that a text encoder reads.
//
// ids 0..255 are the bytes, 256..511 the same at the end of a word, 512.. one per merge in rank order, then
// BOS, EOS. The bytes stand in the order 33-126, 161-172, 174-255, then the rest ascending. So a list of
// merges is the whole tokenizer, and a small vocabulary is the same thing with fewer merges.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rankine {

class ClipTokenizer {
 public:
  static constexpr int kMaxMerges = 49152 - 256 - 2;  // CLIP's own; its published list goes on for longer

  // `merges_text`: a line "#version..." (optional), then a merge a line: two symbols and a space between.
  // Bytes are written as printable characters the way GPT-2 does it; "</w>" ends a word. Lines after the
  // first 48,894 merges are not used. `name` is for messages. Throws DataError "name:line: ..." for text that
  // is not UTF-8, a line that is not two symbols, a symbol that is neither a byte nor made by an earlier
  // merge, a left symbol that ends a word, a pair or a result that was there before, and lists of more than
  // 300,000 lines or 1 MiB a line.
  explicit ClipTokenizer(std::string_view merges_text, const std::string& name = "merges");

  // merges.txt, or bpe_simple_vocab_16e6.txt.gz as published (plain or gzip, told by content). Throws IoError
  // too.
  static ClipTokenizer from_file(const std::filesystem::path& path);

  // Ids of a text, without BOS and EOS. HTML entities are resolved (twice), white space is collapsed, letters
  // become lower-case; then words, single digits, runs of other signs and endings like 's are encoded each by
  // itself. The texts "<|startoftext|>" and "<|endoftext|>" stand for their tokens. Throws DataError when not
  // UTF-8.
  std::vector<std::int32_t> encode(std::string_view text) const;

  std::int32_t bos() const { return 512 + merge_count(); }
  std::int32_t eos() const { return bos() + 1; }
  int vocab_size() const { return bos() + 2; }
  int merge_count() const { return static_cast<int>(merges_.size()); }

  // A merges file that makes this tokenizer again.
  std::string merges_text() const;
  // The symbol of an id as it is written in merges files, e.g. "cat</w>"; BOS and EOS as in encode().
  std::string symbol(std::int32_t id) const;

 private:
  struct Merge {
    std::int32_t left, right;
  };
  class Builder;
  void encode_word(std::string_view word, std::vector<std::int32_t>& out) const;
  std::int32_t merged(std::int32_t left, std::int32_t right) const;  // -1 when the pair does not merge

  std::vector<Merge> merges_;
  std::unordered_map<std::uint64_t, std::int32_t> merged_id_;  // left << 32 | right -> id
};

// A prompt as windows that a text encoder reads one by one: each is BOS, 75 tokens, EOS or padding.
struct PromptTokens {
  std::vector<std::array<std::int32_t, 77>> windows;
};

// Cuts the tokens of a prompt at fixed places into max_tokens / 75 windows (always that many) as kohya's
// trainer does; what is longer than max_tokens is cut off. max_tokens is 75, 150 or 225, else ConfigError.
// After the text there is one EOS, then pad_id up to the end. A window of which the text fills all 75 places
// ends in EOS. In windows after the EOS, the first place is EOS (not pad_id) so that each has one.
PromptTokens tokenize_prompt(const ClipTokenizer& tokenizer, std::string_view prompt, int max_tokens,
                             std::int32_t pad_id);

}  // namespace rankine
