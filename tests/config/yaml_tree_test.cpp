// Limits of the YAML reader.
#include "io/config/yaml_tree.h"

#include <gtest/gtest.h>

#include "io/config/run_config.h"

namespace rankine::config {
namespace {

YamlNode parse(const std::string& text) {
  Problems problems;
  const int source = problems.add_source("t.yaml", text, true);
  YamlNode root = parse_yaml(text, source, problems);
  problems.throw_if_any();
  return root;
}

std::string error_of(const std::string& text) {
  try {
    parse(text);
  } catch (const InvalidRunConfig& e) {
    return e.problems().front().where + ": " + e.problems().front().message;
  }
  return "no error";
}

std::string repeat(const std::string& s, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += s;
  return out;
}

TEST(YamlTreeTest, KeepsOrderPlacesAndQuotes) {
  const YamlNode root = parse("b: 1\na: ['x', {c: }]\n");
  ASSERT_EQ(root.entries.size(), 2U);
  EXPECT_EQ(root.entries[0].key, "b");
  EXPECT_EQ(root.entries[1].at.line, 2);
  const YamlNode& list = root.entries[1].value;
  ASSERT_EQ(list.items.size(), 2U);
  EXPECT_TRUE(list.items[0].quoted);
  EXPECT_FALSE(root.entries[0].value.quoted);
  EXPECT_EQ(list.items[0].at.column, 5);
  EXPECT_EQ(list.items[1].entries[0].value.kind, YamlNode::Kind::null);
}

TEST(YamlTreeTest, AliasesStandForTheirValue) {
  const YamlNode root = parse("a: &x [1, 2]\nb: *x\n");
  EXPECT_EQ(root.entries[1].value.items.size(), 2U);
}

TEST(YamlTreeTest, DepthIsLimited) {
  EXPECT_EQ(parse(repeat("[", 32) + repeat("]", 32)).kind, YamlNode::Kind::sequence);
  EXPECT_EQ(error_of(repeat("[", 33) + repeat("]", 33)), "t.yaml:1:33: nested deeper than 32 levels");
  EXPECT_EQ(error_of("a: &x " + repeat("[", 20) + repeat("]", 20) + "\nb: " + repeat("[", 20) + "*x" +
                     repeat("]", 20)),
            "t.yaml:2:24: nested deeper than 32 levels");
  EXPECT_NE(error_of(repeat("[", 100000)), "no error");
}

TEST(YamlTreeTest, AliasesCannotGrowTheTree) {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 8; ++i) {
    const std::string previous = "*a" + std::to_string(i - 1);
    bomb += join("a", i, ": &a", i, " [", previous, repeat(join(", ", previous), 7), "]\n");
  }
  EXPECT_NE(error_of(bomb).find("more than 50000 values"), std::string::npos) << error_of(bomb);
  EXPECT_NE(error_of("a: &x 1\nb: [" + repeat("*x, ", 65) + "]\n").find("more than 64 aliases"),
            std::string::npos);
  EXPECT_NE(error_of("a: &x [*x]\n").find("inside its own anchor"), std::string::npos);
  EXPECT_NE(error_of("a: *x\n").find("not valid YAML"), std::string::npos);
}

TEST(YamlTreeTest, NodesAreLimited) {
  EXPECT_EQ(parse(join("[", repeat("1,", 49'000), "]")).items.size(), 49'000U);
  EXPECT_NE(error_of(join("[", repeat("1,", 50'001), "]")).find("more than 50000 values"), std::string::npos);
}

TEST(YamlTreeTest, SizeIsLimited) {
  EXPECT_EQ(error_of(std::string((1 << 20) + 1, '#')), "t.yaml: too large: 1048577 bytes, at most 1048576");
  EXPECT_EQ(error_of(std::string(1 << 20, '#')), "no error");
}

TEST(YamlTreeTest, RefusesWhatRunFilesDoNotNeed) {
  EXPECT_EQ(error_of("a: !!int 3\n"), "t.yaml:1:4: tags are not allowed: tag:yaml.org,2002:int");
  EXPECT_EQ(error_of("a: !x [1]\n"), "t.yaml:1:4: tags are not allowed: !x");
  EXPECT_EQ(error_of("a: &x {b: 1}\nc: {<<: *x}\n"),
            "t.yaml:2:5: merge keys are not allowed; write the keys out");
  EXPECT_EQ(error_of("? [a]\n: b\n"), "t.yaml:1:3: a key must be plain text, not a list or a map");
  EXPECT_EQ(error_of("a: 1\n---\nb: 2\n"), "t.yaml:2:1: a second document starts here; a run file holds one");
  EXPECT_EQ(error_of("a: {b: 1, c: 2, b: 3}\n"),
            "t.yaml:1:17: the key stands twice, first on line 1, again on line 1; keep one");
}

TEST(YamlTreeTest, TextMustBeUtf8) {
  EXPECT_EQ(error_of("a: 1\nb: \xFF\n"), "t.yaml:2:4: the text is not UTF-8; save the file as UTF-8");
  EXPECT_EQ(error_of(std::string("a\0b", 3)), "t.yaml:1:2: the text is not UTF-8; save the file as UTF-8");
  EXPECT_EQ(error_of("a: \xC0\xAF\n").substr(0, 12), "t.yaml:1:4: ");      // overlong
  EXPECT_EQ(error_of("a: \xED\xA0\x80\n").substr(0, 12), "t.yaml:1:4: ");  // surrogate
  EXPECT_EQ(parse("a: \xF0\x9F\xA6\x8A\n").entries[0].value.text, "\xF0\x9F\xA6\x8A");
}

TEST(YamlTreeTest, EscapesBecomeUtf8) {
  EXPECT_EQ(parse(R"(a: "x\_é\N\u00e9\U0001F98A\xe9")").entries[0].value.text,
            "x\xC2\xA0é\xC2\x85é\xF0\x9F\xA6\x8Aé");
  EXPECT_NE(error_of(R"(a: "\ud800")"), "no error");
}

TEST(YamlTreeTest, BrokenYamlHasAPlace) {
  EXPECT_EQ(error_of("a: [1, 2\nb: 3\n").substr(0, 9), "t.yaml:2:");
  EXPECT_EQ(error_of("a: 1\nb: 'x\n"), "t.yaml:2:4: not valid YAML: this quote never closes");
  EXPECT_EQ(error_of("a: &k \"x\\\"\nb: 1\n"), "t.yaml:1:4: not valid YAML: this quote never closes");
  EXPECT_EQ(error_of("a: 'x''y'\nb: \"\\\\\"\nc: &k 'z'\n"), "no error");
  EXPECT_EQ(
      error_of("a: 1\nb: c: d\n"),
      "t.yaml:2:5: not valid YAML: a ':' where no key can stand; check the indentation, or quote the value");
}

}  // namespace
}  // namespace rankine::config
