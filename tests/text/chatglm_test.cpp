// The ChatGLM family: appended tokens, white space pieces, offsets, and how a folder says whose it is.
#include "io/text/chatglm_tokenizer.h"

#include <gtest/gtest.h>

#include "tests/text/vocabularies.h"

namespace rankine {
namespace {

using test::error_of;
using test::golden;
using test::Ids;
using test::read_file;
using test::TemporaryFolder;

// As in the first 130,000 pieces of ice_text.model: no bytes, no blanks; 0 <unk> 1 <s> 2 </s> 3 <pad> 4 <n> 5
// "▁" ...
SpmModel ice() {
  SpmModel model;
  model.kind = SpmKind::unigram;
  model.pieces = {{"<unk>", 0, TokenType::unknown},
                  {"<s>", 0, TokenType::control},
                  {"</s>", 0, TokenType::control},
                  {"<pad>", 0, TokenType::control},
                  {"<n>", 0, TokenType::user_defined},
                  {kSpaceMark, -2},
                  {"\u2581a", -3},
                  {"a", -4},
                  {"\u4f60\u597d", -3}};
  return model;
}

TEST(ChatGlm, AppendsWhatIsMissing) {
  const auto t = make_chatglm_tokenizer(ice(), 0, "m");
  EXPECT_EQ(t->control("[MASK]"), 9);
  EXPECT_EQ(t->control("[gMASK]"), 10);
  EXPECT_EQ(t->control("<sop>"), 13);
  EXPECT_EQ(t->control("<eop>"), 14);
  EXPECT_EQ(t->piece(17), "<|tab|>");
  EXPECT_EQ(t->piece(18), "<|blank_2|>");
  EXPECT_EQ(t->piece(96), "<|blank_80|>");
  EXPECT_EQ(t->piece(97), "<0x00>");
  EXPECT_EQ(t->vocab_size(), 9 + 344);  // as 130,000 pieces become 130,344
  EXPECT_EQ(t->specials().bos, 13);
  EXPECT_EQ(t->specials().pad, 3);
  EXPECT_EQ(t->specials().stops, (Ids{14}));
  EXPECT_FALSE(t->specials().add_bos);
}

TEST(ChatGlm, WhiteSpaceHasPieces) {
  const auto t = make_chatglm_tokenizer(ice(), 0, "m");
  EXPECT_EQ(t->encode("\u4f60\u597d"), (Ids{5, 8}));  // like the published 5 74874
  EXPECT_EQ(t->encode("a\n\ta  a"), (Ids{6, 4, 17, 7, 18, 7}));
  EXPECT_EQ(t->encode("a" + std::string(85, ' ') + "a", false), (Ids{7, 96, 18 + 3, 7}));
  EXPECT_EQ(t->encode("a" + std::string(81, ' ') + "a", false), (Ids{7, 96, 6}));
  EXPECT_EQ(t->encode("b"), (Ids{5, 97 + 'b'}));
  EXPECT_EQ(t->encode(" a", false), (Ids{6}));  // kept where nothing opens
  EXPECT_EQ(t->encode("[gMASK]").size(), 8U);
  for (const std::string& text : {std::string("a\n\ta  a"), std::string("\n a"),
                                  "a" + std::string(200, ' ') + "\u00e9", std::string("\u4f60\u597d")})
    EXPECT_EQ(t->decode(t->encode(text)), text);
  EXPECT_EQ(t->decode(Ids{4, 6, 10, 14}), "\n a");
}

TEST(ChatGlm, TheFirstVocabularyIsShifted) {
  const auto slim = make_chatglm_tokenizer(ice(), 0, "m"), first = make_chatglm_tokenizer(ice(), 20000, "m");
  Ids expected = slim->encode("a\na");
  for (std::int32_t& id : expected) id += 20000;
  EXPECT_EQ(first->encode("a\na"), expected);
  EXPECT_EQ(first->decode(expected), "a\na");
  EXPECT_EQ(first->control("[gMASK]"), 20010);
  EXPECT_EQ(first->specials().eos, 20014);
  EXPECT_EQ(first->piece(7), "<image_7>");
  EXPECT_EQ(first->decode(Ids{7, 20007}), "a");
  EXPECT_EQ(first->vocab_size(), slim->vocab_size() + 20000);
  EXPECT_NE(first->fingerprint(), slim->fingerprint());
}

TEST(ChatGlm, OtherModelsAreRefused) {
  SpmModel model = ice();
  model.pieces[4].type = TokenType::normal;
  EXPECT_NE(error_of([&] { make_chatglm_tokenizer(model, 0, "m"); }).find("no user-defined piece '<n>'"),
            std::string::npos);
  EXPECT_NE(error_of([] { make_chatglm_tokenizer(ice(), -1, "m"); }).find("image tokens"), std::string::npos);
}

TEST(ChatGlm2, AppendsItsRoles) {
  const SpmModel model = test::small_spm({"a"});  // 261 pieces, as the real one has 64,789
  const auto two = make_chatglm2_tokenizer(model, false, "m"),
             three = make_chatglm2_tokenizer(model, true, "m");
  EXPECT_EQ(two->control("[gMASK]"), 262);
  EXPECT_EQ(two->control("sop"), 264);
  EXPECT_EQ(two->control("<sop>"), 264);
  EXPECT_EQ(two->control("<|user|>"), std::nullopt);
  EXPECT_EQ(two->specials().stops, (Ids{2}));
  EXPECT_EQ(three->control("<|assistant|>"), 268);
  EXPECT_EQ(three->specials().stops, (Ids{2, 267, 269}));
  EXPECT_EQ(three->encode("sop", false), (Ids{3 + 's', 3 + 'o', 3 + 'p'}));
  EXPECT_EQ(three->specials().pad, 0);
  SpmModel taken = model;
  taken.pieces.push_back({"sop", -9, TokenType::normal});
  EXPECT_EQ(error_of([&] { make_chatglm2_tokenizer(taken, false, "m"); }),
            "m: piece 261 'sop' is not a control token");
}

TEST(ChatGlmFolder, SaysWhoseItIs) {
  const TemporaryFolder folder;
  folder.write("tokenizer.model", read_file(golden("bpe.model")));
  folder.write("config.json", R"({"model_type": "chatglm", "padded_vocab_size": 65024})");
  EXPECT_NE(error_of([&] { load_tokenizer(folder.path()); }).find("name the family"), std::string::npos);
  EXPECT_EQ(load_tokenizer(folder.path(), {TokenizerFamily::chatglm3, std::nullopt})->control("<|user|>"),
            486);
  folder.write("config.json", R"({"model_type": "chatglm", "_name_or_path": "THUDM/chatglm2-6b"})");
  EXPECT_EQ(load_tokenizer(folder.path())->control("<|user|>"), std::nullopt);
  EXPECT_EQ(load_tokenizer(folder.path())->control("sop"), 483);
  folder.write("tokenizer_config.json",
               R"({"tokenizer_class": "ChatGLMTokenizer", "name_or_path": "THUDM/chatglm3-6b"})");
  EXPECT_EQ(load_tokenizer(folder.path())->control("<|observation|>"), 488);
}

TEST(ChatGlmFolder, RowsTellTheFirstVocabulary) {
  const TemporaryFolder folder;
  folder.write("ice_text.model", read_file(golden("chatglm.model")));
  const auto bos = load_tokenizer(folder.path())->specials().bos.value();
  EXPECT_LT(bos, 1000);
  EXPECT_EQ(load_tokenizer(folder.path(), {TokenizerFamily::automatic, 150528})->specials().bos, bos + 20000);
  folder.write("config.json",
               R"({"model_type": "chatglm", "vocab_size": 150528, "position_encoding_2d": true})");
  EXPECT_EQ(load_tokenizer(folder.path())->specials().bos, bos + 20000);
  folder.write("tokenizer_config.json", R"({"num_image_tokens": 0})");
  EXPECT_EQ(load_tokenizer(folder.path())->specials().bos, bos);
  folder.write("tokenizer_config.json", R"({"num_image_tokens": -5})");
  EXPECT_THROW(load_tokenizer(folder.path()), DataError);
}

}  // namespace
}  // namespace rankine
