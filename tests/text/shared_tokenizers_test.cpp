// Real vocabularies with recorded ids, where they are: LLaMA's and GPT-2's from GGUF, with the 47 texts of
// llama.cpp.
#include <gtest/gtest.h>

#include <cstring>
#include <sstream>

#include "tests/text/vocabularies.h"

namespace rankine {
namespace {

using test::Ids;
using test::read_file;

// Just enough of GGUF for these trusted files.
class GgufKeys {
 public:
  explicit GgufKeys(std::string bytes) : bytes_(std::move(bytes)) {
    at_ = 16;
    for (std::uint64_t keys = take<std::uint64_t>(); keys > 0; --keys) {
      const std::string key = text();
      read_value(key, take<std::uint32_t>());
    }
  }

  GgufVocab vocab;

 private:
  template <class T>
  T take() {
    T value;
    std::memcpy(&value, bytes_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }

  std::string text() {
    const auto size = take<std::uint64_t>();
    at_ += size;
    return bytes_.substr(at_ - size, size);
  }

  void read_value(const std::string& key, std::uint32_t type) {
    if (type == 8) {
      const std::string value = text();
      if (key == "tokenizer.ggml.model") vocab.model = value;
      if (key == "tokenizer.ggml.pre") vocab.pre = value;
    } else if (type == 9) {
      const auto element = take<std::uint32_t>();
      for (auto count = take<std::uint64_t>(); count > 0; --count) {
        if (element == 8) (key == "tokenizer.ggml.merges" ? vocab.merges : vocab.tokens).push_back(text());
        if (element == 6) vocab.scores.push_back(take<float>());
        if (element == 5) vocab.types.push_back(take<std::int32_t>());
      }
    } else if (type == 7) {
      const bool value = take<std::uint8_t>() != 0;
      if (key == "tokenizer.ggml.add_bos_token") vocab.add_bos = value;
    } else {
      const auto value = take<std::int32_t>();
      if (key == "tokenizer.ggml.bos_token_id") vocab.bos = value;
      if (key == "tokenizer.ggml.eos_token_id") vocab.eos = value;
      if (key == "tokenizer.ggml.unknown_token_id") vocab.unk = value;
    }
  }

  std::string bytes_;
  std::size_t at_ = 0;
};

class SharedVocabulary : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(RANKINE_SOURCE_DIR) / "../shared/data/tokenizers";
    if (!exists(folder_ / GetParam())) GTEST_SKIP() << "SKIPPED: no " << GetParam() << " in " << folder_;
  }
  std::filesystem::path folder_;
};

TEST_P(SharedVocabulary, RecordedTexts) {
  const std::string name = GetParam();
  const auto t = make_tokenizer(GgufKeys(read_file(folder_ / name)).vocab, name);
  const std::string texts = read_file(folder_ / (name + ".inp"));
  std::istringstream lines(read_file(folder_ / (name + ".out")));
  constexpr std::string_view kBetween = "\n__ggml_vocab_test__\n";
  std::size_t count = 0;
  for (std::size_t at = 0; at < texts.size(); ++count) {
    const std::size_t end = std::min(texts.find(kBetween, at), texts.size());
    const std::string text = texts.substr(at, end - at);
    at = std::min(end + kBetween.size(), texts.size());
    std::string line;
    ASSERT_TRUE(std::getline(lines, line)) << count;
    std::istringstream numbers(line);
    Ids expected;
    for (std::int32_t id; numbers >> id;) expected.push_back(id);
    EXPECT_EQ(t->encode(text), expected) << text;
    EXPECT_EQ(t->decode(expected), text);
  }
  EXPECT_GE(count, 46U);
}

INSTANTIATE_TEST_SUITE_P(All, SharedVocabulary,
                         testing::Values("ggml-vocab-llama-spm.gguf", "ggml-vocab-gpt-2.gguf"));

}  // namespace
}  // namespace rankine
