#include "io/dataset/text_report.h"

#include <gtest/gtest.h>

#include "tests/dataset/toy_tokenizer.h"

namespace rankine {
namespace {

using testing_support::chat;
using testing_support::completion;
using testing_support::ToyTokenizer;

Conversation at(int line, Conversation row) {
  row.where = "f:" + std::to_string(line);
  return row;
}

struct Made {
  ToyTokenizer tokenizer{{"<s>", "</s>"}};
  ChatRenderer chat{builtin_template("plain"), tokenizer};
};

const TextFinding* find(const TextReport& report, const std::string& what) {
  for (const TextFinding& one : report.findings) {
    if (one.what.find(what) != std::string::npos) return &one;
  }
  return nullptr;
}

TEST(TextReports, CountsAndLengths) {
  const Made made;
  const std::vector<Conversation> rows{at(1, chat({"q", "a"})), at(2, chat({"question", "answer"})),
                                       at(3, completion("abcdefghij"))};
  const EncodedText encoded = encode_text(rows, made.chat, {});
  const TextReport report = text_report({rows, encoded, made.chat, {}});
  EXPECT_EQ(report.rows, 3U);
  EXPECT_EQ(report.tokens, 6 + 18 + 13);
  EXPECT_EQ(report.trained_tokens, 3 + 8 + 12);
  EXPECT_EQ(report.lengths, (std::array<std::int64_t, 6>{6, 13, 18, 18, 18, 18}));
  using Bins = std::vector<std::pair<std::int64_t, std::size_t>>;
  EXPECT_EQ(report.histogram, (Bins{{8, 1}, {16, 1}, {32, 1}}));
  EXPECT_TRUE(report.findings.empty());
  EXPECT_EQ(report.to_string(),
            "3 rows, 3 sequences, 37 tokens, 23 of them trained (62 %)\n"
            "length: 6 to 18; half up to 13, 90 % up to 18, 95 % up to 18, 99 % up to 18\n"
            "  up to 8: 1\n  up to 16: 1\n  up to 32: 1\n");
}

TEST(TextReports, FindsWhatIsOdd) {
  const Made made;
  std::vector<Conversation> rows{at(1, chat({"q", "a"})),
                                 at(2, chat({"q", "b"})),
                                 at(3, chat({"q", "a"})),
                                 at(4, chat({"who?", "I am {{name}}."})),
                                 at(5, chat({"long", std::string(100, 'x')})),
                                 at(6, chat({std::string(100, 'y'), "a"}))};
  const EncodedText encoded =
      encode_text(rows, made.chat, {.max_length = 40, .truncation = Truncation::right});
  const std::vector<Conversation> eval{at(7, chat({"q", "a"})), at(8, chat({"who?", "me"})),
                                       at(9, chat({"new", "a"}))};
  const TextReport report = text_report({rows, encoded, made.chat, eval});
  const auto expect = [&report](const char* what, const char* example) {
    const TextFinding* finding = find(report, what);
    ASSERT_NE(finding, nullptr) << what;
    EXPECT_EQ(finding->count, 1U) << what;
    EXPECT_EQ(finding->examples, (std::vector<std::string>{example}));
  };
  expect("repeat another", "f:3: as f:1");
  expect("another answer elsewhere", "f:2: asked in f:1");
  expect("placeholder", "f:4: {{name}}");
  expect("that were cut", "f:5: has 108 tokens, more than 40; the end is cut off");
  expect("without the token that ends them", "f:5: ends with x");
  expect("left out", "f:6: has nothing to train once cut; left out");
  expect("trained on word for word", "f:7: as f:1");
  expect("question is trained on", "f:8: asked in f:4");
}

TEST(TextReports, SaysWhereATemplateTrainsOneAnswerOnly) {
  const ToyTokenizer tokenizer({"[gMASK]", "<sop>", "<eop>"});
  const ChatRenderer glm(builtin_template("chatglm"), tokenizer);
  const std::vector<Conversation> rows{at(1, chat({"q", "a"})), at(2, chat({"q", "b", "r", "c"}))};
  const TextReport report = text_report({rows, encode_text(rows, glm, {}), glm, {}});
  const TextFinding* finding = find(report, "trains the last answer only");
  ASSERT_NE(finding, nullptr);
  EXPECT_EQ(finding->examples, (std::vector<std::string>{"f:2: 2 answers"}));
}

TEST(TextReports, ExamplesAreTheFirstTen) {
  const Made made;
  std::vector<Conversation> rows;
  for (int i = 1; i <= 14; ++i) rows.push_back(at(i, chat({"q", "a"})));
  const EncodedText encoded = encode_text(rows, made.chat, {});
  const TextReport report = text_report({rows, encoded, made.chat, {}});
  ASSERT_EQ(report.findings.size(), 1U);
  EXPECT_EQ(report.findings[0].count, 13U);
  EXPECT_EQ(report.findings[0].examples.size(), 10U);
  EXPECT_NE(report.to_string().find("13 rows that repeat another word for word\n  f:2: as f:1\n"),
            std::string::npos);
  EXPECT_NE(report.to_string().find("  and 3 more\n"), std::string::npos);
}

}  // namespace
}  // namespace rankine
