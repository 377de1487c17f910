#include <gtest/gtest.h>

#include <functional>
#include <random>

#include "engine/core/error.h"
#include "io/dataset/csv.h"
#include "io/dataset/metadata.h"
#include "io/dataset/text_file.h"

namespace rankine {
namespace {

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const DataError& error) {
    return error.what();
  }
  return "(no DataError)";
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << text << "' lacks '" << part << "'";
}

std::vector<std::vector<std::string>> table(std::string_view text, char separator) {
  const std::string name = "t.csv";
  CsvReader reader(text, separator, name);
  std::vector<std::vector<std::string>> rows;
  CsvRow row;
  while (reader.next(row)) {
    rows.emplace_back();
    for (const CsvField& field : row.fields) rows.back().push_back(field.text);
  }
  return rows;
}

using Table = std::vector<std::vector<std::string>>;

TEST(Csv, FieldsQuotesAndLineEnds) {
  EXPECT_EQ(table("a,b\nc,d", ','), (Table{{"a", "b"}, {"c", "d"}}));
  EXPECT_EQ(table("a , b\r\n\r\nc,\rd,e\n", ','), (Table{{"a", "b"}, {"c", ""}, {"d", "e"}}));
  EXPECT_EQ(table("\"a,\"\"b\"\"\nc\",  \" d \" ,e\"f", ','), (Table{{"a,\"b\"\nc", " d ", "e\"f"}}));
  EXPECT_EQ(table("a\t\tb\n\"\"", '\t'), (Table{{"a", "", "b"}, {""}}));
  EXPECT_EQ(table(" \n\n", ','), Table{});
  EXPECT_EQ(table("", ','), Table{});
}

TEST(Csv, FaultsNameTheLine) {
  expect_contains(message_of([] { table("a,b\n\"c\n\n", ','); }), "t.csv:2: a double quote opens here");
  expect_contains(message_of([] { table("\"a\nb\" c,d", ','); }),
                  "t.csv:2: text follows a closing double quote");
  expect_contains(message_of([] { table(std::string(1001, ','), ','); }), "more than 1000 fields");
}

TEST(Csv, LinesAreCountedThroughQuotedLineEnds) {
  const std::string name = "t";
  const std::string text = "\"a\r\nb\nc\rd\",1\n\nx,2\n";
  CsvReader reader(text, ',', name);
  CsvRow row;
  ASSERT_TRUE(reader.next(row));
  EXPECT_EQ(row.line, 1);
  ASSERT_TRUE(reader.next(row));
  EXPECT_EQ(row.line, 6);
  EXPECT_FALSE(reader.next(row));
}

struct Parsed {
  std::vector<MetadataRow> rows;
  std::vector<Problem> problems;
};

Parsed csv(std::string_view text) {
  Parsed parsed;
  parsed.rows = parse_metadata_csv(text, "m.csv", parsed.problems);
  return parsed;
}

Parsed jsonl(std::string_view text) {
  Parsed parsed;
  parsed.rows = parse_metadata_jsonl(text, "m.jsonl", parsed.problems);
  return parsed;
}

void expect_pairs(const Parsed& parsed, const std::vector<std::pair<std::string, std::string>>& pairs) {
  EXPECT_TRUE(parsed.problems.empty()) << parsed.problems.front().to_string();
  ASSERT_EQ(parsed.rows.size(), pairs.size());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    EXPECT_EQ(parsed.rows[i].file, pairs[i].first);
    EXPECT_EQ(parsed.rows[i].caption, pairs[i].second);
  }
}

TEST(MetadataCsv, HeadersInManySpellings) {
  for (const char* header :
       {"image,prompt", "file_name,text", "FILENAME,Caption", "Image Path,DESCRIPTION", "img,text",
        "path,prompt", "\"file-name\",\"caption\"", "图片,提示词", "文件名,描述",
        "\xef\xbb\xbf"
        "file,text"}) {
    SCOPED_TRACE(header);
    expect_pairs(csv(std::string(header) + "\r\na.png,a cat\r\n"), {{"a.png", "a cat"}});
  }
}

TEST(MetadataCsv, SeparatorsAreFound) {
  for (const char separator : {',', ';', '\t', '|'}) {
    std::string text = "id~file~caption\n1~a.png~one, two; three | four\n2~b.png~five\n";
    std::replace(text.begin(), text.end(), '~', separator);
    expect_pairs(csv(text), {{"a.png", "one, two; three | four"}, {"b.png", "five"}});
  }
}

TEST(MetadataCsv, ColumnsInAnyOrderAndExtraOnes) {
  expect_pairs(csv("seed,text,x,file_name\n1,\"a, b\",9,a.png\n2,c,9,b.png\n"),
               {{"a.png", "a, b"}, {"b.png", "c"}});
  expect_pairs(csv("image,tags,caption\na.png,t,c\n"), {{"a.png", "c"}});
}

TEST(MetadataCsv, WithoutHeader) {
  expect_pairs(csv("a.png,a cat\nb.JPG,\"a dog, sitting\"\n"),
               {{"a.png", "a cat"}, {"b.JPG", "a dog, sitting"}});
  expect_pairs(csv("a.png;a cat, big\n"), {{"a.png", "a cat, big"}});
  expect_pairs(csv("a.png\ta, cat\n"), {{"a.png", "a, cat"}});
  expect_pairs(csv("a cat,a.png\na dog,b.png"), {{"a.png", "a cat"}, {"b.png", "a dog"}});
  expect_pairs(csv("a.png,one, two,three\n"), {{"a.png", "one, two,three"}});
}

TEST(MetadataCsv, UnquotedSeparatorsInTheLastColumnBelongToTheCaption) {
  expect_pairs(csv("file_name,text\na.png,1girl, solo,  red hair\nb.png,\n"),
               {{"a.png", "1girl, solo,  red hair"}, {"b.png", ""}});
  expect_pairs(csv("file_name,text,\na.png,cat, dog,\nb.png,x,\n"), {{"a.png", "cat, dog,"}, {"b.png", "x"}});
  const Parsed parsed = csv("text,file_name\ncat,a.png\ncat, dog,b.png\n");
  ASSERT_EQ(parsed.rows.size(), 1U);
  ASSERT_EQ(parsed.problems.size(), 1U);
  EXPECT_EQ(parsed.problems[0].line, 3);
  expect_contains(parsed.problems[0].to_string(), "m.csv:3: has 3 columns; expected 2");
}

TEST(MetadataCsv, QuotedLineEndsBecomeSpacesAndLinesStayRight) {
  const Parsed parsed = csv("file,text\na.png,\"first\r\n second \"\n\n,nothing\nb.png,x\n");
  ASSERT_EQ(parsed.rows.size(), 2U);
  EXPECT_EQ(parsed.rows[0].caption, "first second");
  EXPECT_EQ(parsed.rows[1].line, 6);
  ASSERT_EQ(parsed.problems.size(), 1U);
  EXPECT_EQ(parsed.problems[0].to_string(), "m.csv:5: no picture is named");
}

TEST(MetadataCsv, UnusableFilesSayWhatIsExpected) {
  expect_contains(message_of([] { csv(""); }), "m.csv: the file is empty");
  expect_contains(message_of([] { csv("name,text\na,b\n"); }),
                  "m.csv:1: the columns 'name', 'text' do not name");
  expect_contains(message_of([] { csv("name,text\na,b\n"); }), "file_name, filename");
  expect_contains(message_of([] { csv("file_name,text\n"); }), "no rows");
  expect_contains(message_of([] { csv("file,text\na.png,\"open\n"); }), "m.csv:2: a double quote opens");
  expect_contains(message_of([] { csv("file,text\na.png,\xb0\xa1\n"); }), "m.csv:2: is not valid UTF-8");
  expect_contains(message_of([] {
                    csv("\xff\xfe"
                        "f\0");
                  }),
                  "UTF-16");
  expect_contains(message_of([] { csv(std::string("file,text\na\0b,c", 15)); }), "m.csv:2: holds a NUL byte");
}

TEST(MetadataJsonl, KeysInManySpellings) {
  expect_pairs(jsonl("{\"file_name\": \"a.png\", \"text\": \"a cat\", \"x\": [1, {}]}\r\n\n"
                     "{\"Prompt\": \"a\\ndog \\u732b\", \"IMAGE\": \"b.png\"}\n"
                     "{\"图片\": \"c.png\", \"提示词\": \"\"}"),
               {{"a.png", "a cat"}, {"b.png", "a dog \xe7\x8c\xab"}, {"c.png", ""}});
}

TEST(MetadataJsonl, EveryFaultIsListedWithItsLine) {
  const Parsed parsed = jsonl(
      "{\"image\": \"a.png\", \"text\": \"ok\"}\n{\"image\": \n[1]\n{\"text\": \"x\"}\n{\"image\": 3, "
      "\"text\": \"x\"}\n"
      "{\"image\": \"a\", \"text\": [\"x\"]}\n{\"image\": \"a\"}\n{\"image\": \"a\\u0000b\", \"text\": "
      "\"\"}\n"
      "{\"image\": \" \", \"text\": \"x\"}\n");
  ASSERT_EQ(parsed.rows.size(), 1U);
  ASSERT_EQ(parsed.problems.size(), 8U);
  const char* expected[] = {"m.jsonl:2: is not valid JSON at column ",
                            "m.jsonl:3: expected a JSON object",
                            "m.jsonl:4: no picture is named",
                            "m.jsonl:5: the picture's name is not a string",
                            "m.jsonl:6: the caption is not a string",
                            "m.jsonl:7: has no caption",
                            "m.jsonl:8: holds a NUL",
                            "m.jsonl:9: no picture is named"};
  for (std::size_t i = 0; i < 8; ++i) expect_contains(parsed.problems[i].to_string(), expected[i]);
}

TEST(MetadataJsonl, DeepNestingIsHarmless) {
  const std::string deep(200'000, '[');
  EXPECT_EQ(jsonl(deep).problems.size(), 1U);
  EXPECT_EQ(jsonl("{\"x\": " + deep + std::string(200'000, ']') + ", \"image\": \"a\", \"text\": \"t\"}")
                .rows.size(),
            1U);
  EXPECT_THROW(jsonl("\n \n"), DataError);
}

TEST(CheckedUtf8, AcceptsAllOfUnicodeAndNothingElse) {
  const std::string good =
      "\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf";
  EXPECT_EQ(checked_utf8(good, "x"), good);
  for (const char* bad : {"\x80", "\xc1\xbf", "\xc2", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe4\xb8", "\xff"}) {
    EXPECT_THROW(checked_utf8(bad, "x"), DataError) << static_cast<int>(bad[0]);
  }
}

// Mutations of good files: anything may come out except another exception than DataError.
std::string mutated(std::string text, std::mt19937& random) {
  static const std::string kSpecial =
      ",;\t|\"\n\r\\{}[]: \xef\xe5\x00\xff"
      "a.png";
  const auto below = [&random](std::size_t n) {
    return static_cast<std::size_t>(random()) % std::max<std::size_t>(n, 1);
  };
  for (std::size_t edits = 1 + below(5); edits > 0; --edits) {
    const std::size_t at = below(text.size());
    switch (below(4)) {
      case 0:
        text.insert(at, 1, kSpecial[below(kSpecial.size())]);
        break;
      case 1:
        text.erase(at, 1 + below(6));
        break;
      case 2:
        if (!text.empty()) text[at] = static_cast<char>(below(256));
        break;
      default:
        text.insert(at, text.substr(below(text.size()), below(20)));
    }
  }
  return text;
}

TEST(Metadata, MutatedFilesThrowOnlyDataError) {
  std::mt19937 random(7);
  const std::string csv_seed =
      "file_name;text\na.png;\"a; \"\"cat\"\"\n two\"\nb.png;dog; big\n\xe7\x8c\xab.png;x\n";
  const std::string json_seed =
      "{\"file_name\": \"a.png\", \"text\": \"a \\\"cat\\u732b\"}\n{\"image\": \"b.png\", \"prompt\": "
      "\"x\"}\n";
  int accepted = 0, refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Problem> problems;
    try {
      if (round % 2 == 0) parse_metadata_csv(mutated(csv_seed, random), "f", problems);
      if (round % 2 == 1) parse_metadata_jsonl(mutated(json_seed, random), "f", problems);
      ++accepted;
    } catch (const DataError& error) {
      ASSERT_EQ(std::string(error.what()).substr(0, 2), "f:");
      ++refused;
    }
  }
  EXPECT_GT(accepted, 1000);
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace rankine
