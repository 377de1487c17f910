// tokenizer.json: what is read, and that what is not understood is refused instead of approximated.
#include "io/text/tokenizer_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/text/vocabularies.h"

namespace rankine {
namespace {

using test::error_of;
using test::Ids;
using Json = nlohmann::json;

Json golden_json(const char* name) { return Json::parse(test::read_file(test::golden(name))); }

std::shared_ptr<const Tokenizer> read(const Json& json) { return read_tokenizer_json(json.dump(), {}, "j"); }

std::string refusal(const Json& json) {
  return error_of([&] { read(json); });
}

TEST(TokenizerJson, MergesInBothSpellings) {
  Json json = golden_json("llama3.json");
  ASSERT_TRUE(json["model"]["merges"][0].is_array());
  const auto expected = read(json);
  for (Json& merge : json["model"]["merges"])
    merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
  EXPECT_EQ(read(json)->fingerprint(), expected->fingerprint());
}

TEST(TokenizerJson, BosFromTheTemplate) {
  Json json = golden_json("llama3.json");
  json["post_processor"] = Json::parse(R"({"type": "Sequence", "processors": [{"type": "ByteLevel"},
      {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|im_start|>", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}}]}]})");
  EXPECT_EQ(read(json)->specials().bos, 1);
  EXPECT_TRUE(read(json)->specials().add_bos);
  EXPECT_EQ(read(json)->specials().eos, 0);  // <|endoftext|>, by its name
  TokenizerConfig config;
  config.add_bos = false;
  EXPECT_FALSE(read_tokenizer_json(json.dump(), config, "j")->specials().add_bos);
}

TEST(TokenizerJson, AddedTokensThatStripWhiteSpace) {
  Json json = golden_json("gpt2.json");
  json["added_tokens"].push_back(
      {{"id", 420}, {"content", "<x>"}, {"special", false}, {"lstrip", true}, {"rstrip", true}});
  const auto t = read(json);
  Ids expected = t->encode("a");
  expected.push_back(420);
  const Ids b = t->encode("b");
  expected.insert(expected.end(), b.begin(), b.end());
  EXPECT_EQ(t->encode("a \n<x>\t b"), expected);
  EXPECT_EQ(t->encode("<x>"), (Ids{420}));
}

TEST(TokenizerJson, WhatIsNotKnownIsRefused) {
  const auto refused = [](const char* golden, const char* path, const Json& value, const std::string& part) {
    Json json = golden_json(golden);
    json[Json::json_pointer(path)] = value;
    EXPECT_NE(refusal(json).find(part), std::string::npos) << path << " " << value << ": " << refusal(json);
  };
  refused("gpt2.json", "/model/type", "Unigram", "j: model.type is 'Unigram'; supported is BPE");
  refused("gpt2.json", "/model/dropout", 0.1, "model.dropout");
  refused("gpt2.json", "/model/end_of_word_suffix", "</w>", "end_of_word_suffix");
  refused("gpt2.json", "/normalizer", Json{{"type", "Lowercase"}},
          R"(normalizer is not supported: {"type":"Lowercase"})");
  refused("gpt2.json", "/pre_tokenizer",
          Json{{"type", "Sequence"}, {"pretokenizers", {{{"type", "Punctuation"}}, {{"type", "ByteLevel"}}}}},
          "pre_tokenizer is not supported");
  refused("llama3.json", "/pre_tokenizer/pretokenizers/0/pattern/Regex", "\\w+",
          "pre_tokenizer is not supported");
  refused("llama3.json", "/pre_tokenizer/pretokenizers/0/behavior", "Removed",
          "pre_tokenizer is not supported");
  refused("llama3.json", "/pre_tokenizer/pretokenizers/1/add_prefix_space", true,
          "pre_tokenizer is not supported");
  refused("metaspace.json", "/pre_tokenizer/split", true, "pre_tokenizer is not supported");
  refused("metaspace.json", "/pre_tokenizer/replacement", "_", "pre_tokenizer is not supported");
  refused("metaspace.json", "/pre_tokenizer/prepend_scheme", "last", "pre_tokenizer is not supported");
  refused("prepend.json", "/normalizer/normalizers/0/prepend", "x", "normalizer is not supported");
  refused("prepend.json", "/normalizer", nullptr, "normalizer is not supported");
}

TEST(TokenizerJson, HostileFilesAreRefused) {
  Json json = golden_json("gpt2.json");
  json["model"]["vocab"]["twice"] = 5;
  EXPECT_NE(refusal(json).find("both have the id 5"), std::string::npos);
  json["model"]["vocab"]["twice"] = 2000000000;
  EXPECT_NE(refusal(json).find("has the id 2000000000 in a vocabulary of 421"), std::string::npos);
  for (const Json& bad : {Json(-1), Json(1.5), Json("1"), Json(nullptr), Json(4294967296)}) {
    json["model"]["vocab"]["twice"] = bad;
    EXPECT_NE(refusal(json).find("expected an id"), std::string::npos) << bad;
  }
  json = golden_json("gpt2.json");
  json["model"]["vocab"][""] = 420;
  EXPECT_EQ(refusal(json), "j: model.vocab: the token of id 420 is empty");
  json = golden_json("gpt2.json");
  json["model"]["merges"].push_back(json["model"]["merges"][0]);
  EXPECT_NE(refusal(json).find("is there twice"), std::string::npos);
  json["model"]["merges"] = Json::array({"a b c"});
  EXPECT_EQ(refusal(json), "j: model.merges: entry 0: expected two tokens");
  json = golden_json("gpt2.json");
  json["added_tokens"].push_back({{"id", 1}, {"content", "again"}});
  EXPECT_EQ(refusal(json), "j: two added tokens have the id 1");
  json["added_tokens"].back()["id"] = 2000000000;
  EXPECT_NE(refusal(json).find("has the id 2000000000; allowed are 0 to"), std::string::npos);
  json = golden_json("gpt2.json");
  json.erase("model");
  EXPECT_EQ(refusal(json), "j: model: expected an object");
  EXPECT_NE(
      error_of([] { read_tokenizer_json(std::string(1000, '['), {}, "j"); }).find("nested deeper than 64"),
      std::string::npos);
  EXPECT_NE(error_of([] { read_tokenizer_json("{\"a\": ", {}, "j"); }).find("j: "), std::string::npos);
}

}  // namespace
}  // namespace rankine
