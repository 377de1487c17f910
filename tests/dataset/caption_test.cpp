#include "io/dataset/caption.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <stdexcept>

namespace rankine {
namespace {

// Gives the listed numbers one after the other and fails the test when asked for more.
class Draws {
 public:
  explicit Draws(std::vector<double> values) : values_(std::move(values)) {}
  Uniform uniform() {
    return [this] {
      EXPECT_LT(at_, values_.size()) << "one more random number than documented";
      return at_ < values_.size() ? values_[at_++] : 0.0;
    };
  }
  bool all_used() const { return at_ == values_.size(); }

 private:
  std::vector<double> values_;
  std::size_t at_ = 0;
};

std::string processed(std::string_view caption, const CaptionOptions& options,
                      std::vector<double> values = {}, int epoch = 0) {
  Draws draws(std::move(values));
  const std::string out = process_caption(caption, options, epoch, draws.uniform());
  EXPECT_TRUE(draws.all_used());
  return out;
}

TEST(Caption, UntouchedWithoutOptions) { EXPECT_EQ(processed("a ,b,,  c", {}), "a ,b,,  c"); }

TEST(Caption, PrefixAndSuffix) {
  CaptionOptions options;
  options.prefix = "sks,";
  options.suffix = "photo";
  EXPECT_EQ(processed("a cat", options), "sks, a cat photo");
  EXPECT_EQ(processed("", options), "sks, photo");
}

TEST(Caption, DropoutTakesEverything) {
  CaptionOptions options;
  options.prefix = "sks";
  options.dropout = 0.25;
  EXPECT_EQ(processed("a", options, {0.2499}), "");
  EXPECT_EQ(processed("a", options, {0.25}), "sks a");
}

TEST(Caption, DropoutEveryNthEpochCountsFromTheFirst) {
  CaptionOptions options;
  options.dropout_every_n_epochs = 3;
  std::string seen;
  for (int epoch = 0; epoch < 7; ++epoch) seen += processed("a", options, {}, epoch).empty() ? '-' : 'a';
  EXPECT_EQ(seen, "aa-aa-a");
}

TEST(Caption, ShuffleKeepsTheFirstTags) {
  CaptionOptions options;
  options.shuffle = true;
  options.keep_tags = 2;
  // Fisher-Yates from the back on (c, d, e): swap e with c, then d with itself.
  EXPECT_EQ(processed("a, b, c , d,,e", options, {0.0, 0.6}), "a, b, e, d, c");
  EXPECT_EQ(processed("a, b", options, {}), "a, b");
  options.keep_tags = 9;
  EXPECT_EQ(processed("b,a", options, {}), "b, a");
}

TEST(Caption, ShuffleIsUniform) {
  CaptionOptions options;
  options.shuffle = true;
  std::mt19937 random(5);
  std::map<std::string, int> counts;
  for (int i = 0; i < 6000; ++i) {
    ++counts[process_caption("a,b,c", options, 0, [&random] { return random() / 4294967296.0; })];
  }
  ASSERT_EQ(counts.size(), 6U);
  for (const auto& entry : counts)
    EXPECT_NEAR(entry.second, 1000, 150) << entry.first;  // five standard deviations
}

TEST(Caption, TagDropoutSparesKeptTags) {
  CaptionOptions options;
  options.keep_tags = 1;
  options.tag_dropout = 0.5;
  EXPECT_EQ(processed("a,b,c,d", options, {0.4, 0.5, 0.1}), "a, c");
  options.tag_dropout = 1.0;
  EXPECT_EQ(processed("a,b,c", options, {0.9, 0.9}), "a");
}

TEST(Caption, KeepSeparatorFixesStartAndEnd) {
  CaptionOptions options;
  options.shuffle = true;
  options.keep_separator = "|||";
  options.keep_tags = 3;
  EXPECT_EQ(processed("x, y ||| a, b, c ||| z", options, {0.0, 0.0}), "x, y, b, c, a, z");
  EXPECT_EQ(processed("x ||| a, b", options, {0.0}), "x, b, a");
  options.shuffle = false;
  EXPECT_EQ(processed("x ||| a, b", options), "x, a, b");
  EXPECT_EQ(processed("a, b ,c", options), "a, b ,c");
}

TEST(Caption, SecondarySeparatorKeepsTagsTogether) {
  CaptionOptions options;
  options.shuffle = true;
  options.secondary_separator = ";";
  EXPECT_EQ(processed("a;b, c", options, {0.0}), "c, a,b");
}

TEST(Caption, OwnSeparator) {
  CaptionOptions options;
  options.shuffle = true;
  options.separator = " / ";
  EXPECT_EQ(processed("a, b / c", options, {0.0}), "c, a, b");
}

TEST(Caption, BadOptionsAreRefused) {
  CaptionOptions options;
  options.dropout = 1.5;
  EXPECT_THROW(processed("a", options), std::invalid_argument);
  options = {};
  options.separator = "";
  EXPECT_THROW(processed("a", options), std::invalid_argument);
  options = {};
  options.keep_tags = -1;
  EXPECT_THROW(processed("a", options), std::invalid_argument);
}

}  // namespace
}  // namespace rankine
