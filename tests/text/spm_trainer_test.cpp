#include "io/text/spm_trainer.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "io/text/spm_tokenizer.h"
#include "tests/text/vocabularies.h"

namespace rankine {
namespace {

using test::Ids;

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all = {"the cat sat on the mat", "the dog sat on the log 1234",
                                               "\u4f60\u597d\u4e16\u754c\uff0c\u4f60\u597d",
                                               "the the  the\nthat"};
  return all;
}

SpmTrainerOptions options(std::int32_t size) {
  SpmTrainerOptions o;
  o.vocab_size = size;
  o.character_coverage = 1;
  return o;
}

std::int32_t id_of(const SpmModel& model, const std::string& text) {
  for (std::size_t id = 0; id < model.pieces.size(); ++id)
    if (model.pieces[id].text == text) return static_cast<std::int32_t>(id);
  return -1;
}

TEST(SpmTrainer, LearnsFrequentWords) {
  SpmTrainerOptions o = options(300);
  o.controls = {"<|im_start|>", "<|im_end|>"};
  const SpmModel model = train_spm(texts(), o);
  EXPECT_EQ(model.pieces.size(), 300U);
  EXPECT_EQ(model.pieces[3].text, "<|im_start|>");
  EXPECT_EQ(model.pieces[4].type, TokenType::control);
  EXPECT_EQ(model.pieces[5].text, "<0x00>");
  EXPECT_EQ(model.pieces[261].text, "th");  // "the" six times, "that" once
  EXPECT_EQ(model.pieces[261].score, 0);
  EXPECT_EQ(model.pieces.back().score, 261 - 299);
  EXPECT_GE(id_of(model, "\u2581the"), 0);
  EXPECT_GE(id_of(model, "\u4f60\u597d"), 0);
  EXPECT_LT(id_of(model, "12"), 0);  // digits stay single
  EXPECT_GE(id_of(model, "1"), 0);
}

TEST(SpmTrainer, ItsModelEncodesAndWrites) {
  const SpmModel model = read_spm_model(write_spm_model(train_spm(texts(), options(320))), "m");
  Vocabulary rest;
  rest.file = "m";
  const SpmTokenizer made(model, std::move(rest));
  const Tokenizer& t = made;
  EXPECT_EQ(t.encode("the"), (Ids{id_of(model, "\u2581the")}));
  for (const std::string& text :
       {texts()[0], texts()[2], texts()[3], std::string("un\u00e9 \U0001F600\t\u0001")})
    EXPECT_EQ(t.decode(t.encode(text)), text);
}

TEST(SpmTrainer, IsDeterministicInAnyOrderOfTheTexts) {
  auto shuffled = texts();
  std::reverse(shuffled.begin(), shuffled.end());
  EXPECT_EQ(write_spm_model(train_spm(texts(), options(330))),
            write_spm_model(train_spm(shuffled, options(330))));
}

TEST(SpmTrainer, StopsWhenNothingIsLeft) {
  const SpmModel model = train_spm(std::vector<std::string>{"ab ab"}, options(4096));
  // "▁" a b; "ab" and "▁ab" in some order
  EXPECT_EQ(model.pieces.size(), 259U + 3 + 2);
  SpmTrainerOptions o = options(4096);
  o.longest_piece = 2;
  EXPECT_EQ(train_spm(std::vector<std::string>{"ab ab"}, o).pieces.size(), 259U + 3 + 1);
  EXPECT_EQ(train_spm({}, options(400)).pieces.size(), 260U);
}

TEST(SpmTrainer, RareCharactersBecomeBytes) {
  SpmTrainerOptions o = options(400);
  o.character_coverage = 0.98;
  std::vector<std::string> many(100, "aaaa");
  many.emplace_back("\u4f60");
  const SpmModel model = train_spm(many, o);
  EXPECT_LT(id_of(model, "\u4f60"), 0);
  EXPECT_GE(id_of(model, "a"), 0);
}

TEST(SpmTrainer, RefusesBadOptions) {
  const auto refused = [&](auto change) {
    SpmTrainerOptions o = options(400);
    change(o);
    EXPECT_THROW(train_spm(texts(), o), ConfigError);
  };
  refused([](auto& o) { o.vocab_size = 0; });
  refused([](auto& o) { o.vocab_size = 270; });
  refused([](auto& o) { o.character_coverage = 0; });
  refused([](auto& o) { o.character_coverage = 1.5; });
  refused([](auto& o) { o.longest_piece = 0; });
  refused([](auto& o) { o.controls = {""}; });
  refused([](auto& o) { o.controls = {"<a>", "<a>"}; });
  refused([](auto& o) { o.controls = {"<s>"}; });
  refused([](auto& o) { o.controls = {"<0x41>"}; });
  EXPECT_THROW(train_spm(std::vector<std::string>{"\xff"}, options(400)), DataError);
}

}  // namespace
}  // namespace rankine
