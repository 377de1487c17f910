// Small vocabularies for the tests of tokenizers.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "io/text/spm_model.h"
#include "io/text/tokenizer_sources.h"

namespace rankine::test {

using Ids = std::vector<std::int32_t>;

inline std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(RANKINE_SOURCE_DIR) / "tests/goldens/tokenizers" / name;
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// The message of the DataError that `run` throws.
template <class Run>
std::string error_of(Run&& run) {
  try {
    run();
  } catch (const DataError& e) {
    return e.what();
  }
  return "no error";
}

// 0 <unk>, 1 <s>, 2 </s>, 3..258 bytes, 259 "▁", then these pieces with falling scores.
inline SpmModel small_spm(const std::vector<std::string>& pieces) {
  SpmModel model = byte_vocabulary();
  model.remove_extra_whitespaces = false;
  model.pieces.push_back({kSpaceMark, 0, TokenType::normal});
  for (const std::string& piece : pieces)
    model.pieces.push_back({piece, 259 - static_cast<float>(model.pieces.size()), TokenType::normal});
  return model;
}

// The 256 bytes in GPT-2's signs, then what the merges make, then <|end|> (control) and <think>
// (user-defined).
GgufVocab small_bytelevel(const std::vector<std::string>& merges, const std::string& pre = "gpt-2");

// A folder that is gone when the test is over.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace rankine::test
