// Vocabularies from model files and folders: which file, which family, which roles.
#include <gtest/gtest.h>

#include <limits>

#include "io/text/tiktoken_file.h"
#include "tests/text/vocabularies.h"

namespace rankine {
namespace {

using test::error_of;
using test::golden;
using test::Ids;
using test::read_file;
using test::TemporaryFolder;

GgufVocab gguf_of(const SpmModel& model) {
  GgufVocab v;
  v.model = "llama";
  v.bos = 1;
  v.eos = 2;
  v.unk = 0;
  for (const Token& t : model.pieces) {
    v.tokens.push_back(t.text);
    v.scores.push_back(t.score);
    v.types.push_back(static_cast<std::int32_t>(t.type));
  }
  return v;
}

GgmlVocab ggml_of(const SpmModel& model) {
  GgmlVocab v;
  for (const Token& t : model.pieces) {
    std::string raw = t.text;
    for (std::size_t at; (at = raw.find(kSpaceMark)) != std::string::npos;) raw.replace(at, 3, " ");
    if (t.type == TokenType::unknown) raw = " \u2047 ";
    if (t.type == TokenType::control) raw.clear();
    if (t.type == TokenType::byte) raw = static_cast<char>(byte_of_piece(t.text));
    v.tokens.push_back(raw);
    v.scores.push_back(t.score);
  }
  return v;
}

const SpmModel& model() {
  static const SpmModel m = read_spm_model(read_file(golden("bpe.model")), "bpe.model");
  return m;
}

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all = {"", "the  value of 12\n", "\u4f60 file.h\t", "<s> </s> <0x0A>",
                                               "std::string"};
  return all;
}

TEST(ModelFileVocabularies, GiveTheIdsOfTheModel) {
  const auto expected = load_tokenizer(golden("bpe.model"));
  const auto gguf = make_tokenizer(gguf_of(model()), "g"), ggml = make_tokenizer(ggml_of(model()), "g");
  GgmlVocab bare = ggml_of(model());
  bare.scores.clear();
  const auto unversioned = make_tokenizer(bare, "g");
  for (const std::string& text : texts()) {
    EXPECT_EQ(gguf->encode(text), expected->encode(text)) << text;
    EXPECT_EQ(ggml->encode(text), expected->encode(text)) << text;
    EXPECT_EQ(unversioned->encode(text), expected->encode(text)) << text;
    EXPECT_EQ(ggml->decode(ggml->encode(text)), text);
  }
  EXPECT_EQ(gguf->fingerprint(), expected->fingerprint());
  EXPECT_TRUE(gguf->specials().add_bos && ggml->specials().add_bos);
  EXPECT_EQ(gguf->specials().bos, 1);
}

TEST(ModelFileVocabularies, OldGgufWithoutTypesAndScores) {
  GgufVocab v = gguf_of(model());
  v.types.clear();
  v.scores.clear();
  const auto expected = load_tokenizer(golden("bpe.model"));
  const auto t = make_tokenizer(v, "g");
  for (const std::string& text : texts()) EXPECT_EQ(t->encode(text), expected->encode(text)) << text;
  EXPECT_EQ(t->control("<s>"), 1);
}

TEST(ModelFileVocabularies, SpacePrefixIsTheFilesChoice) {
  GgufVocab v = gguf_of(model());
  v.add_space_prefix = false;
  v.add_bos = false;
  const auto with = load_tokenizer(golden("bpe.model")), without = make_tokenizer(v, "g");
  EXPECT_EQ(without->encode("the"), with->encode("the", false));
  EXPECT_NE(without->encode("the"), with->encode("the"));
  EXPECT_FALSE(without->specials().add_bos);
}

TEST(ModelFileVocabularies, HostileOnesAreRefused) {
  const auto refusal = [](const auto& v) { return error_of([&] { make_tokenizer(v, "g"); }); };
  GgufVocab v = gguf_of(model());
  v.scores[300] = std::numeric_limits<float>::infinity();
  EXPECT_NE(refusal(v).find("g: token 300"), std::string::npos);
  v = gguf_of(model());
  v.tokens[301] = v.tokens[300];
  EXPECT_NE(refusal(v).find("is there twice"), std::string::npos);
  v = gguf_of(model());
  v.tokens[301] = "\xff";
  EXPECT_NE(refusal(v).find("g: token 301: byte 0: the text is not valid UTF-8"), std::string::npos);
  v = gguf_of(model());
  v.scores.pop_back();
  EXPECT_NE(refusal(v).find("tokenizer.ggml.scores has"), std::string::npos);
  v = gguf_of(model());
  v.types[0] = 1;
  v.unk.reset();
  v.types[10] = 1;
  EXPECT_NE(refusal(v).find("neither a token of type unknown nor one for each byte"), std::string::npos);
  GgmlVocab old = ggml_of(model());
  old.scores.pop_back();
  EXPECT_NE(refusal(old).find("scores for"), std::string::npos);
  EXPECT_NE(refusal(GgmlVocab{{"a"}, {}}).find("a vocabulary of 1 tokens"), std::string::npos);
}

TEST(Tiktoken, HostileFilesAreRefused) {
  const auto refusal = [](const std::string& text) { return error_of([&] { read_tiktoken(text, "t"); }); };
  EXPECT_EQ(read_tiktoken("Yg== 1\nYQ== 0\n", "t"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(read_tiktoken("YQ== 0\r\n", "t"), (std::vector<std::string>{"a"}));
  EXPECT_EQ(refusal("YQ== 0\nYg== 0\n"), "t:2: rank 0 is there twice");
  EXPECT_EQ(refusal("YQ== 0\nYQ== 1\n"), "t:2: the token is there twice");
  EXPECT_EQ(refusal("YQ== 1\n"), "t:1: rank 1 in a file of 1 tokens");
  EXPECT_EQ(refusal("YQ== 18446744073709551615\n"), "t:1: rank 18446744073709551615 in a file of 1 tokens");
  for (const char* bad : {"YQ==", "YQ== ", " 0", "YQ= 0", "YQ== 0 ", "YQ== -1", "Y*== 0", "YR== 0",
                          "YQ== 99999999999999999999", "", "\n"})
    EXPECT_EQ(refusal(std::string("YQ== 0\n") + bad + "\nYg== 1\n"),
              "t:2: expected a token in base64, a space and its rank")
        << bad;
}

TEST(TokenizerFolder, TiktokenFilesGetTheNamesOfTheirFamily) {
  EXPECT_EQ(llama3_controls().size(), 256U);
  EXPECT_EQ(llama3_controls()[9], "<|eot_id|>");
  EXPECT_EQ(llama3_controls()[255], "<|reserved_special_token_247|>");
  const auto t = load_tokenizer(golden("tiktoken.model"), {TokenizerFamily::llama3, std::nullopt});
  const std::int32_t base = t->vocab_size() - 256;
  EXPECT_EQ(t->control("<|begin_of_text|>"), base);
  EXPECT_EQ(t->specials().stops, (Ids{base + 1, base + 8, base + 9}));
  EXPECT_TRUE(t->specials().add_bos);
  const auto glm = load_tokenizer(golden("tiktoken.model"), {TokenizerFamily::glm4, std::nullopt});
  EXPECT_EQ(glm->control("[gMASK]"), base + 2);
  EXPECT_EQ(glm->control("<|assistant|>"), base + 8);
  EXPECT_EQ(glm->specials().stops, (Ids{base, base + 7, base + 9}));
  EXPECT_FALSE(glm->specials().add_bos);
  EXPECT_NE(error_of([] { load_tokenizer(golden("tiktoken.model")); }).find("name the family"),
            std::string::npos);
}

TEST(TokenizerFolder, RolesComeFromTheConfigs) {
  const TemporaryFolder folder;
  folder.write("tokenizer.json", read_file(golden("qwen2.json")));
  folder.write(
      "tokenizer_config.json",
      R"({"bos_token": null, "eos_token": {"content": "<|im_start|>"}, "pad_token": "<|endoftext|>"})");
  folder.write("generation_config.json", R"({"eos_token_id": [1, 300]})");
  const auto t = load_tokenizer(folder.path());
  EXPECT_EQ(t->specials().bos, std::nullopt);
  EXPECT_EQ(t->specials().eos, 1);
  EXPECT_EQ(t->specials().pad, 0);
  EXPECT_EQ(t->specials().stops, (Ids{0, 1, 300}));
  EXPECT_EQ(t->encode("<|im_start|>").size(),
            load_tokenizer(golden("qwen2.json"))->encode("<|im_start|>").size());
}

TEST(TokenizerFolder, SentencePieceWithAddedTokens) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", read_file(golden("bpe.model")));
  folder.write("tokenizer_config.json",
               R"({"add_bos_token": false, "pad_token": "<pad>", "added_tokens_decoder": {
      "2": {"content": "</s>", "special": true}, "480": {"content": "<pad>", "special": true},
      "481": {"content": "<tool>", "special": false, "rstrip": true}}})");
  const auto t = load_tokenizer(folder.path());
  EXPECT_EQ(t->vocab_size(), 482);
  EXPECT_EQ(t->specials().pad, 480);
  EXPECT_FALSE(t->specials().add_bos);
  Ids expected = t->encode("the");
  expected.push_back(481);
  const Ids rest = t->encode("the", false);
  expected.insert(expected.end(), rest.begin(), rest.end());
  EXPECT_EQ(t->encode("the<tool>  the"), expected);
  EXPECT_EQ(t->decode(expected), "the<tool>the");
}

TEST(TokenizerFolder, VocabAndMergesFiles) {
  const auto v = test::small_bytelevel({"a b", "ab c"});
  std::string json = "{";
  for (std::size_t id = 0; id + 2 < v.tokens.size(); ++id) {
    const std::string& t = v.tokens[id];
    json += join(id == 0 ? "" : ",", '"', t == "\"" || t == "\\" ? "\\" : "", t, "\":", id);
  }
  const TemporaryFolder folder;
  folder.write("vocab.json", json + "}");
  folder.write("merges.txt", "#version: 0.2\na b\nab c\n");
  EXPECT_NE(error_of([&] { load_tokenizer(folder.path()); }).find("name the family: qwen2 or gpt2"),
            std::string::npos);
  EXPECT_EQ(load_tokenizer(folder.path(), {TokenizerFamily::gpt2, std::nullopt})->encode("abc"), (Ids{257}));
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>",
      "added_tokens_decoder": {"258": {"content": "<|im_end|>", "special": true}}})");
  const auto t = load_tokenizer(folder.path());
  EXPECT_EQ(t->specials().eos, 258);
  EXPECT_EQ(t->encode("e\u0301"), (Ids{0xC3, 0xA9}));
  folder.write("merges.txt", "a b\nab\n");
  EXPECT_NE(error_of([&] { load_tokenizer(folder.path()); }).find("merges.txt:2: expected two symbols"),
            std::string::npos);
}

TEST(TokenizerFolder, SaysWhatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_NE(error_of([&] { load_tokenizer(folder.path()); }).find("no vocabulary; looked for"),
            std::string::npos);
  EXPECT_THROW(load_tokenizer(folder.path() / "tokenizer.json"), IoError);
  folder.write("tokenizer.json", "{}");
  folder.write("tokenizer_config.json", "{");
  EXPECT_NE(error_of([&] { load_tokenizer(folder.path()); }).find("tokenizer_config.json: "),
            std::string::npos);
  EXPECT_THROW(tokenizer_family("bert"), ConfigError);
}

}  // namespace
}  // namespace rankine
