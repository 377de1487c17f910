// Reading instruction data as people write it.
#include "io/dataset/text_dataset.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <stdexcept>

#include "engine/core/error.h"

namespace rankine {
namespace {

namespace fs = std::filesystem;

class TextDatasets : public ::testing::Test {
 protected:
  TextDatasets() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    folder_ = fs::path(::testing::TempDir()) / (std::string("text_dataset_") + info->name());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~TextDatasets() override { fs::remove_all(folder_); }

  fs::path write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  TextDataset read(const std::string& name, const std::string& text, const TextColumns& columns = {}) const {
    return load_text_dataset({.path = write(name, text), .columns = columns});
  }

  fs::path folder_;
};

// "system|question+input|answer|..." of a row.
std::string flat(const Conversation& row) {
  std::string out = row.system;
  for (const Message& message : row.messages) {
    out += '|' + message.text;
    if (!message.input.empty()) out += '+' + message.input;
    if (message.role == Role::assistant && !message.trained) out += '-';
  }
  return out;
}

void expect_rows(const TextDataset& dataset, const std::vector<std::string>& rows) {
  for (const Problem& problem : dataset.problems) ADD_FAILURE() << problem.to_string();
  ASSERT_EQ(dataset.rows.size(), rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(flat(dataset.rows[i]), rows[i]);
}

std::vector<std::string> problems(const TextDataset& dataset) {
  std::vector<std::string> out;
  for (const Problem& problem : dataset.problems) {
    out.push_back(fs::path(problem.file).filename().string() + ':' + std::to_string(problem.line) + ": " +
                  problem.text);
  }
  return out;
}

void expect_problems(const TextDataset& dataset, const std::vector<std::string>& starts) {
  const std::vector<std::string> got = problems(dataset);
  for (std::size_t i = 0; i < std::max(got.size(), starts.size()); ++i) {
    const std::string text = i < got.size() ? got[i] : "(none)",
                      want = i < starts.size() ? starts[i] : "(none)";
    EXPECT_EQ(text.substr(0, want.size()), want) << text;
  }
}

template <class F>
std::string message_of(F&& body) {
  try {
    body();
  } catch (const DataError& error) {
    return error.what();
  }
  return "no DataError";
}

TEST_F(TextDatasets, AlpacaAsListLinesAndTable) {
  const std::vector<std::string> rows{"|q1+i1|a1", "|q2|a2"};
  expect_rows(read("a.json",
                   "\xef\xbb\xbf[\r\n {\"instruction\": \"q1\", \"input\": \"i1\", \"output\": \"a1\"},\r\n"
                   " {\"output\": \"a2\", \"instruction\": \"q2\", \"input\": null, \"id\": 7}\r\n]\r\n"),
              rows);
  expect_rows(read("a.jsonl",
                   "{\"instruction\": \"q1\", \"input\": \"i1\", \"output\": \"a1\"}\r\n\r\n"
                   "{\"instruction\": \"q2\", \"input\": \"\", \"output\": \"a2\"}"),
              rows);
  expect_rows(read("a.csv", "\xef\xbb\xbfinstruction,input,output\r\nq1,i1,a1\r\n\"q2\",,a2\r\n"), rows);
  expect_rows(read("a.tsv", "Output\tInstruction\tInput\na1\tq1\ti1\na2\tq2\n"), rows);
  expect_rows(read("b.json",
                   "{\"instruction\": \"q1\",\n \"input\": \"i1\", \"output\": \"a1\"}\n"
                   "{\"instruction\": \"q2\", \"output\": \"a2\"}"),
              rows);
}

TEST_F(TextDatasets, NamesAsPeopleWriteThem) {
  for (const char* header : {"question,answer", "Prompt,Response", "prompt,completion", "query,response",
                             "context,target", "指令,输出", "问题,答案", "\"Instruction\",\"Output\""}) {
    SCOPED_TRACE(header);
    expect_rows(read("a.csv", std::string(header) + "\nq,\"a, \"\"b\"\"\nc\"\n"), {"|q|a, \"b\"\nc"});
  }
  for (const char separator : {';', '\t', '|'}) {
    std::string text = "id~question~answer\n1~q~a, b\n";
    std::replace(text.begin(), text.end(), '~', separator);
    expect_rows(read("a.csv", text), {"|q|a, b"});
  }
  expect_rows(read("a.csv", "question,answer\nq,one, two\n"), {"|q|one, two"});
  expect_rows(read("a.json", "[{\"指令\": \"q\", \"输入\": \"i\", \"输出\": \"a\", \"系统\": \"s\"}]"),
              {"s|q+i|a"});
  // A context is the input of a question, or the question where there is no other.
  expect_rows(read("a.json",
                   "[{\"instruction\": \"q\", \"context\": \"c\", \"response\": \"a\"},"
                   "{\"context\": \"c\", \"target\": \"a\"}]"),
              {"|q+c|a", "|c|a"});
}

TEST_F(TextDatasets, SystemAndHistory) {
  expect_rows(read("a.json", R"([{"system": "s", "history": [["h1", "r1"], ["h2", "r2"]], "instruction": "q",
                                  "output": "a"}, {"instruction": "q", "output": "a", "history": []}])"),
              {"s|h1|r1|h2|r2|q|a", "|q|a"});
  expect_rows(read("a.csv", "prompt,response,history\nq,a,\"[[\"\"h\"\", \"\"r\"\"]]\"\nq,a,\n"),
              {"|h|r|q|a", "|q|a"});
  expect_problems(read("b.json", R"([{"instruction": "q", "output": "a", "history": [["h"]]},
    {"instruction": "q", "output": "a", "history": [["h", ""]]}])"),
                  {"b.json:1: history is not a list of [question, answer]", "b.json:2: the answer is empty"});
}

TEST_F(TextDatasets, ShareGptAndMessages) {
  expect_rows(
      read("a.jsonl",
           R"({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]})"
           "\n"
           R"({"system": "s", "conversations": [{"from": "user", "value": "q"}, {"from": "assistant",)"
           R"( "value": "a"}, {"from": "human", "value": "r"}, {"from": "gpt", "value": "b"}]})"
           "\n"
           R"({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"},)"
           R"( {"role": "assistant", "content": "a", "weight": 0}, {"role": "user", "content": "r"},)"
           R"( {"role": "assistant", "content": [{"type": "text", "text": "b"}], "weight": 1}]})"
           "\n"),
      {"|q|a", "s|q|a|r|b", "s|q|a-|r|b"});
  expect_rows(read("a.csv",
                   "messages\n\"[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"q\"\"}, {\"\"role\"\": "
                   "\"\"assistant\"\", \"\"content\"\": \"\"a\"\"}]\"\n"),
              {"|q|a"});
}

TEST_F(TextDatasets, FaultsOfConversations) {
  const TextDataset dataset = read("a.jsonl",
                                   R"({"messages": []}
{"messages": [{"role": "user", "content": "q"}]}
{"messages": [{"role": "assistant", "content": "a"}]}
{"messages": [{"role": "user", "content": "q"}, {"role": "user", "content": "q"}]}
{"messages": [{"role": "user", "content": "q"}, {"role": "tool", "content": "x"}]}
{"messages": [{"role": "narrator", "content": "q"}]}
{"messages": [{"role": "user"}]}
{"messages": [{"content": "q"}]}
{"messages": [{"role": "user", "content": 3}]}
{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}
{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": " "}]}
{"messages": ["q"]}
{"messages": [{"role": "user", "content": "q"}, {"role": "system", "content": "s"}]}
{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0.5}]}
{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}, {"role": "user", "content": "r"}]}
{"messages": [{"role": "user", "content": "q\u0000"}, {"role": "assistant", "content": "a"}]}
)");
  ASSERT_EQ(dataset.rows.size(), 1U);
  EXPECT_EQ(flat(dataset.rows[0]), "|q|a");
  expect_problems(
      dataset,
      {"a.jsonl:1: there are no messages", "a.jsonl:2: the question has no answer",
       "a.jsonl:3: message 1 is of 'assistant', but a question is due",
       "a.jsonl:4: message 2 is of 'user', but an answer is due",
       "a.jsonl:5: the role 'tool' belongs to tool calls", "a.jsonl:6: the role 'narrator' is unknown",
       "a.jsonl:7: the message of 'user' has no content", "a.jsonl:8: a message has no role",
       "a.jsonl:9: the content of 'user' is not a string",
       "a.jsonl:10: the content of 'user' has a part that is not text", "a.jsonl:11: the answer is empty",
       "a.jsonl:12: a message is not an object",
       "a.jsonl:13: a system message stands behind the first message",
       "a.jsonl:14: the weight of a message is neither 0 nor 1",
       "a.jsonl:15: the last question has no answer and is left out", "a.jsonl:16: holds a NUL character"});
  EXPECT_EQ(dataset.problems[14].severity, Severity::warning);
}

TEST_F(TextDatasets, EveryBadRowIsListedWithItsLine) {
  const TextDataset dataset = read("a.jsonl",
                                   "{\"instruction\": \"q\", \"output\": \"a\"}\n"
                                   "{\"instruction\": \"q\", \"output\": }\n"
                                   "[1]\n"
                                   "{\"instruction\": \"q\"}\n"
                                   "{\"instruction\": 5, \"output\": \"a\"}\n"
                                   "{\"instruction\": \"\", \"output\": \"a\"}\n"
                                   "{\"instruction\": \"\xb0\xa1\", \"output\": \"a\"}\n"
                                   "{\"instruction\": \"q\", \"output\": \"b\"}\n");
  EXPECT_EQ(dataset.rows.size(), 2U);
  EXPECT_EQ(dataset.rows[1].where, (folder_ / "a.jsonl").string() + ":8");
  expect_problems(dataset,
                  {"a.jsonl:2: is not valid JSON at column 32", "a.jsonl:3: is not a JSON object",
                   "a.jsonl:4: the keys 'instruction' make no row", "a.jsonl:5: 'instruction' is number",
                   "a.jsonl:6: the question is empty", "a.jsonl:7: is not valid UTF-8"});
  const TextDataset list = read("b.json",
                                "[\n{\"instruction\": \"q\", \"output\": \"a\"},\n"
                                "{\"instruction\": \"q\",\n \"output\": tru},\n 5,\n\n"
                                "{\"instruction\": \"q\", \"output\": \"b\"}\n]");
  EXPECT_EQ(list.rows.size(), 2U);
  EXPECT_EQ(list.rows[1].where, (folder_ / "b.json").string() + ":7");
  expect_problems(list, {"b.json:3: is not valid JSON at line 4, column", "b.json:5: is not a JSON object"});
}

TEST_F(TextDatasets, BrokenFiles) {
  expect_problems(read("a.json", "[{\"instruction\": \"q\", \"output\": \"a\"},"),
                  {"a.json:1: the file ends before"});
  expect_problems(read("a.json", "[\n{\"instruction\": \"q\""),
                  {"a.json:2: the row that begins here never ends"});
  expect_problems(read("a.json", "[{\"instruction\": \"q\", \"output\": \"a\"} {}]"),
                  {"a.json:1: expected ',' or ']' behind a row"});
  expect_problems(read("a.json", "[] x"), {"a.json:1: text follows the list of rows"});
  expect_problems(read("a.json", ""), {"a.json:0: has no rows"});
  expect_problems(read("a.json", "]"), {"a.json:1: expected a row"});
  expect_problems(read("a.jsonl", "\n\n"), {"a.jsonl:0: has no rows"});
  expect_problems(read("a.txt", " \n"), {"a.txt:0: has no text"});
  expect_problems(read("a.csv", ""), {"a.csv:0: the file is empty"});
  expect_problems(read("a.csv", "instruction,output\n"), {"a.csv:0: has no rows below its header"});
  expect_problems(read("a.csv", "name,age\nx,y\n"),
                  {"a.csv:1: the header: the keys 'age', 'name' make no row"});
  expect_problems(read("a.csv", "instruction,output,output\nq,a,b\n"),
                  {"a.csv:1: the column 'output' stands twice"});
  expect_problems(read("a.csv", "instruction,output\nq,a\nq,\"open\n"),
                  {"a.csv:3: a double quote opens here"});
  expect_problems(read("a.csv", "instruction,output\nq\nq,a\n"), {"a.csv:2: the answer is empty"});
  expect_problems(read("a.csv", "instruction,output\nq,\"a\",b\n"), {"a.csv:2: has 3 columns; expected 2"});
  expect_problems(read("a.csv", "instruction,output\nq,\xb0\xa1\n"), {"a.csv:2: is not valid UTF-8"});
  expect_problems(read("a.json", std::string("\xff\xfe[\0", 4)), {"a.json:1: the text is UTF-16"});
  EXPECT_NE(message_of([this] { read("a.parquet", "x"); }).find("is not a .json"), std::string::npos);
  EXPECT_THROW(load_text_dataset({.path = folder_ / "none"}), IoError);
}

TEST_F(TextDatasets, DeepNestingIsRefusedWithoutRecursion) {
  const std::string deep(300'000, '['), closed = deep + std::string(300'000, ']');
  expect_problems(read("a.jsonl", "{\"instruction\": " + closed + "}\n"),
                  {"a.jsonl:1: nested more than 32 deep"});
  expect_problems(read("b.json", "[{\"x\": " + closed + "}]"), {"b.json:1: nested more than 32 deep"});
  expect_problems(read("c.json", deep), {"c.json:1: the row that begins here never ends"});
  expect_problems(read("d.csv", "prompt,response,history\nq,a,\"" + closed + "\"\n"),
                  {"d.csv:2: nested more than 32 deep"});
}

TEST_F(TextDatasets, NamedColumnsCount) {
  const std::string text =
      "{\"q\": \"Q\", \"a\": \"A\", \"instruction\": \"i\", \"output\": \"o\", \"text\": \"t\"}\n";
  expect_rows(read("a.jsonl", text), {"|i|o"});
  expect_rows(read("a.jsonl", text, {.instruction = "Q", .output = "a"}), {"|Q|A"});
  expect_rows(read("a.jsonl", text, {.output = "a"}), {"|i|A"});
  expect_rows(read("a.jsonl", text, {.text = "text"}), {"|t"});
  expect_rows(read("a.csv", "body;other\nx;y\n", {.text = "body"}), {"|x"});
  expect_rows(read("a.json", R"([{"talk": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}],
                                  "text": "t"}])",
                   {.messages = "talk"}),
              {"|q|a"});
  expect_problems(read("a.jsonl", text, {.output = "reply"}), {"a.jsonl:1: the keys"});
}

TEST_F(TextDatasets, CompletionsAndPlainText) {
  expect_rows(read("a.jsonl", "{\"text\": \"one\\ntwo\", \"source\": \"x\"}\n"), {"|one\ntwo"});
  expect_rows(read("a.csv", "text\n\"a, b\"\nc, d\n"), {"|a, b", "|c, d"});
  const std::string text = "first\r\nline\r\n\r\n \r\nsecond\r\n";
  const fs::path path = write("a.txt", text);
  expect_rows(load_text_dataset({.path = path}), {"|first\nline\n\n \nsecond\n"});
  const TextDataset paragraphs = load_text_dataset({.path = path, .text_split = TextSplit::paragraph});
  expect_rows(paragraphs, {"|first\nline", "|second"});
  EXPECT_EQ(paragraphs.rows[1].where, path.string() + ":5");
  expect_rows(load_text_dataset({.path = path, .text_split = TextSplit::line}),
              {"|first", "|line", "|second"});
  EXPECT_EQ(paragraphs.rows[0].messages[0].role, Role::text);
  // JSON Lines under another name.
  expect_rows(
      read("b.txt", "{\"context\": \"q\", \"target\": \"a\"}\n{\"context\": \"r\", \"target\": \"b\"}\n"),
      {"|q|a", "|r|b"});
}

TEST_F(TextDatasets, SeedTasks) {
  expect_rows(
      read("a.jsonl", R"({"instruction": "q", "instances": [{"input": "i", "output": "a"}, {"input": "",)"
                      R"( "output": "b"}]})"),
      {"|q+i|a", "|q|b"});
}

TEST_F(TextDatasets, FoldersAreReadInOrderWithoutWhatIsNoData) {
  write("b.jsonl", "{\"instruction\": \"q2\", \"output\": \"a2\"}\n");
  write("a.json", "[{\"instruction\": \"q1\", \"output\": \"a1\"}]");
  write("c.csv", "question,answer\nq3,a3\n");
  write("dataset_info.json", "{\"my_data\": {\"file_name\": \"a.json\"}}");
  write("README.md", "# readme");
  write("LICENSE.txt", "licence");
  write(".hidden.json", "[");
  write("_part.json", "[");
  fs::create_directories(folder_ / "sub.json");
  const TextDataset dataset = load_text_dataset({.path = folder_});
  ASSERT_EQ(dataset.rows.size(), 3U);
  EXPECT_EQ(flat(dataset.rows[0]) + flat(dataset.rows[1]) + flat(dataset.rows[2]), "|q1|a1|q2|a2|q3|a3");
  expect_problems(dataset, {"dataset_info.json:0: is one JSON object and no row; passed over"});
  require_usable(dataset, OnBadData::fail);  // a warning is no error
}

TEST_F(TextDatasets, TextFilesCountWhereThereIsNothingElse) {
  write("b.txt", "two");
  write("a.txt", "one");
  expect_rows(load_text_dataset({.path = folder_}), {"|one", "|two"});
  fs::remove_all(folder_);
  fs::create_directories(folder_);
  EXPECT_NE(message_of([this] { load_text_dataset({.path = folder_}); }).find("the folder has no"),
            std::string::npos);
}

TEST_F(TextDatasets, BadRowsFailOrAreSkipped) {
  std::string text = "{\"instruction\": \"q\", \"output\": \"a\"}\n";
  for (int i = 0; i < 1200; ++i) text += "{\"instruction\": \"q\"}\n";
  const TextDataset dataset = read("a.jsonl", text);
  EXPECT_EQ(dataset.problems.size(), 1000U);
  EXPECT_EQ(dataset.unlisted_errors, 200U);
  require_usable(dataset, OnBadData::skip);
  const std::string message = message_of([&] { require_usable(dataset, OnBadData::fail); });
  EXPECT_NE(message.find("1200 rows or files of the dataset are wrong:\n  "), std::string::npos) << message;
  EXPECT_NE(message.find("a.jsonl:21: the keys"), std::string::npos);
  EXPECT_NE(message.find("and 1180 more"), std::string::npos);
  const TextDataset none = read("b.jsonl", "{}\n");
  EXPECT_THROW(require_usable(none, OnBadData::skip), DataError);
}

TEST_F(TextDatasets, EvaluationRowsAreSetAsideByQuestion) {
  std::vector<Conversation> rows;
  for (int i = 0; i < 100; ++i) {
    Conversation row;
    row.messages.push_back({Role::user, std::to_string(i / 2), {}, false});
    row.messages.push_back({Role::assistant, std::to_string(i), {}, true});
    rows.push_back(std::move(row));
  }
  const TextSplitResult split = split_eval(rows, 0.1, 7), again = split_eval(rows, 0.1, 7),
                        other = split_eval(rows, 0.1, 8);
  ASSERT_EQ(split.eval.size(), 10U);
  ASSERT_EQ(split.train.size(), 90U);
  for (std::size_t i = 0; i < 10; i += 2) {
    EXPECT_EQ(split.eval[i].messages[0].text, split.eval[i + 1].messages[0].text);
  }
  const auto answers = [](const TextSplitResult& one) {
    std::vector<std::string> out;
    for (const Conversation& row : one.eval) out.push_back(row.messages[1].text);
    return out;
  };
  EXPECT_EQ(answers(split), answers(again));
  EXPECT_NE(answers(split), answers(other));
  EXPECT_THROW(split_eval(rows, 0, 1), std::invalid_argument);
  EXPECT_THROW(split_eval({rows[0]}, 0.5, 1), DataError);
  EXPECT_THROW(split_eval({rows[0], rows[1]}, 0.5, 1), DataError);
}

TEST_F(TextDatasets, ManyRowsAreRead) {
  std::string lines, list = "[";
  for (int i = 0; i < 50'000; ++i) {
    const std::string row = "{\"instruction\": \"What is " + std::to_string(i) +
                            " plus one?\", \"input\": \"\", \"output\": \"It is " + std::to_string(i + 1) +
                            ".\"}";
    lines += row + '\n';
    list += (i == 0 ? "" : ",\n") + row;
  }
  const TextDataset a = read("a.jsonl", lines), b = read("b.json", list + ']');
  ASSERT_EQ(a.rows.size(), 50'000U);
  ASSERT_EQ(b.rows.size(), 50'000U);
  EXPECT_TRUE(a.problems.empty() && b.problems.empty());
  EXPECT_EQ(flat(a.rows[49'999]), "|What is 49999 plus one?|It is 50000.");
  EXPECT_EQ(b.rows[49'999].where, (folder_ / "b.json").string() + ":50000");
}

std::string mutated(std::string text, std::mt19937& random) {
  static const std::string kSpecial("{}[]\",:\\\n\r;\t|\0\xff\xef\xe5 0", 19);
  const auto below = [&random](std::size_t n) {
    return static_cast<std::size_t>(random()) % std::max<std::size_t>(n, 1);
  };
  for (std::size_t edits = 1 + below(5); edits > 0; --edits) {
    const std::size_t at = below(text.size());
    switch (below(5)) {
      case 0:
        text.insert(at, 1, kSpecial[below(kSpecial.size())]);
        break;
      case 1:
        text.erase(at, 1 + below(6));
        break;
      case 2:
        if (!text.empty()) text[at] = static_cast<char>(below(256));
        break;
      case 3:
        text.resize(at);
        break;
      default:
        text.insert(at, text.substr(below(text.size()), below(40)));
    }
  }
  return text;
}

// Whatever the bytes, rows are well formed and all else is a problem or a DataError.
TEST_F(TextDatasets, MutatedFilesGiveRowsOrProblems) {
  const std::vector<std::pair<std::string, std::string>> seeds{
      {"a.json", R"([{"instruction": "q", "input": "i", "output": "a\u732b", "history": [["h", "r"]]},
 {"text": "t"}, {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}])"},
      {"b.jsonl", R"({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]}
{"instruction": "q", "instances": [{"input": "i", "output": "a"}]}
)"},
      {"c.csv", "question,answer,history\n\"q, \"\"x\"\"\",a,\"[[\"\"h\"\",\"\"r\"\"]]\"\nq,a\n"},
      {"d.txt", "{\"prompt\": \"q\", \"completion\": \"a\"}\n{\"prompt\": \"q\", \"completion\": \"a\"}\n"}};
  std::mt19937 random(11);
  std::size_t rows = 0, faults = 0;
  for (int round = 0; round < 6'000; ++round) {
    const auto& [name, text] = seeds[static_cast<std::size_t>(round) % seeds.size()];
    const TextDataset dataset = parse_text_dataset(mutated(text, random), name, {});
    for (const Conversation& row : dataset.rows) {
      ASSERT_FALSE(row.messages.empty());
      const bool alone = row.messages[0].role == Role::text;
      ASSERT_TRUE(alone ? row.messages.size() == 1 : row.messages.size() % 2 == 0);
      for (std::size_t i = 0; i < row.messages.size() && !alone; ++i) {
        ASSERT_EQ(row.messages[i].role, i % 2 == 0 ? Role::user : Role::assistant);
      }
    }
    ASSERT_TRUE(!dataset.rows.empty() || !dataset.problems.empty());
    rows += dataset.rows.size();
    faults += dataset.problems.size();
  }
  EXPECT_GT(rows, 2000U);
  EXPECT_GT(faults, 2000U);
}

TEST(SharedTextDatasets, AreReadWholly) {
  const fs::path folder = fs::path(RANKINE_SOURCE_DIR) / "../shared/data/text";
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder << ": published datasets are not read";
  const std::pair<const char*, std::size_t> kFiles[] = {{"llamafactory_alpaca_en_demo.json", 999},
                                                        {"llamafactory_alpaca_zh_demo.json", 1000},
                                                        {"llamafactory_identity.json", 91},
                                                        {"medicalgpt_medical_sft_1K.jsonl", 1000},
                                                        {"medchatglm_train.txt", 7622},
                                                        {"tinyshakespeare.txt", 1}};
  for (const auto& [name, rows] : kFiles) {
    const TextDataset dataset = load_text_dataset({.path = folder / name});
    EXPECT_EQ(dataset.rows.size(), rows) << name;
    for (const std::string& problem : problems(dataset)) ADD_FAILURE() << problem;
  }
  const TextDataset seeds = load_text_dataset({.path = folder / "alpaca_seed_tasks.jsonl"});
  EXPECT_GE(seeds.rows.size(), 175U);
}

}  // namespace
}  // namespace rankine
