// Ids recorded from sentencepiece, tokenizers and tiktoken, for vocabularies that they made; see
// tests/goldens.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/text/vocabularies.h"

namespace rankine {
namespace {

using test::Ids;

const nlohmann::json& cases() {
  static const auto json = nlohmann::json::parse(test::read_file(test::golden("cases.json")));
  return json;
}

std::shared_ptr<const Tokenizer> load(const std::string& name) {
  TokenizerOptions options;
  options.family = tokenizer_family(cases().at("vocabularies").at(name).at("family").get<std::string>());
  return load_tokenizer(test::golden(name), options);
}

class GoldenTokenizer : public testing::TestWithParam<std::string> {};

TEST_P(GoldenTokenizer, GivesTheRecordedIds) {
  const auto tokenizer = load(GetParam());
  const auto& texts = cases().at("texts");
  const auto& ids = cases().at("vocabularies").at(GetParam()).at("ids");
  ASSERT_EQ(ids.size(), texts.size());
  ASSERT_GE(texts.size(), 90U);
  for (std::size_t i = 0; i < texts.size(); ++i)
    EXPECT_EQ(tokenizer->encode(texts[i].get<std::string>()), ids[i].get<Ids>()) << texts[i];
}

// Where nothing normalises and every byte has a token, decoding is the inverse.
TEST_P(GoldenTokenizer, DecodesToTheText) {
  const std::string name = GetParam();
  if (name == "unknown.model" || name == "unigram.model" || name == "qwen2.json") return;
  const auto tokenizer = load(name);
  for (const auto& entry : cases().at("texts")) {
    const auto text = entry.get<std::string>();
    std::string back = tokenizer->decode(tokenizer->encode(text));
    // A prefix that is left out before a space cannot be told from that space.
    if (name == "metaspace.json" && text.starts_with(' ')) back = " " + back;
    // ChatGLM spells white space; text in that spelling is white space afterwards.
    if (name == "chatglm.model" && text.find("<n>") != std::string::npos) continue;
    // The mark for a space in a text is a space afterwards.
    if (name.ends_with(".model") && name != "tiktoken.model" && text.find(kSpaceMark) != std::string::npos)
      continue;
    if ((name == "metaspace.json" || name == "prepend.json") && text.find(kSpaceMark) != std::string::npos)
      continue;
    EXPECT_EQ(back, text) << name;
  }
}

TEST_P(GoldenTokenizer, FingerprintIsThatOfTheContent) {
  const auto a = load(GetParam()), b = load(GetParam());
  EXPECT_EQ(a->fingerprint(), b->fingerprint());
  for (const auto& [name, entry] : cases().at("vocabularies").items())
    if (name != GetParam()) {
      EXPECT_NE(a->fingerprint(), load(name)->fingerprint()) << name;
    }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenTokenizer,
                         testing::Values("bpe.model", "unknown.model", "unigram.model", "chatglm.model",
                                         "gpt2.json", "llama3.json", "qwen2.json", "metaspace.json",
                                         "prepend.json", "tiktoken.model"));

}  // namespace
}  // namespace rankine
