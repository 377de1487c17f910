// The sizes of micro-batches of text: what rounding wastes, and that it is a rounding.
#include "models/tasks/text_shapes.h"

#include <gtest/gtest.h>

#include <set>

namespace rankine {
namespace {

constexpr std::int64_t kMostTokens = 5003;

TEST(TextShapes, ExactOnesAreTheTokensToAMultipleAndTheTargetsThemselves) {
  const TextShapes exact;
  for (std::int64_t n = 1; n <= kMostTokens; ++n) {
    EXPECT_EQ(exact.columns(n) % TextShapes::kMultiple, 0);
    EXPECT_GE(exact.columns(n), n);
    EXPECT_LT(exact.columns(n), n + TextShapes::kMultiple);
  }
  EXPECT_EQ(exact.targets(37, 64), 37);
}

TEST(TextShapes, RecurringColumnsWasteAnEighthAtMostAndNeverPassTheLargest) {
  const TextShapes exact, shapes = TextShapes::recurring(kMostTokens);
  std::set<std::int64_t> sizes;
  std::int64_t before = 0;
  for (std::int64_t n = 1; n <= kMostTokens; ++n) {
    const std::int64_t columns = shapes.columns(n);
    EXPECT_GE(columns, exact.columns(n));
    EXPECT_LE(columns, exact.columns(kMostTokens));
    EXPECT_LE(columns - n, std::max(TextShapes::kMultiple - 1, n / 8)) << n;
    EXPECT_GE(columns, before) << n;
    EXPECT_EQ(shapes.columns(columns), columns) << n;
    sizes.insert(before = columns);
  }
  EXPECT_EQ(shapes.columns(kMostTokens), exact.columns(kMostTokens)) << "what a plan runs";
  // Of 8, 16, .. 64, eight to each power of two from there to 4096, and 4608 and the largest.
  EXPECT_EQ(sizes.size(), 8U + 6 * 8 + 2);
}

TEST(TextShapes, RecurringTargetsAreQuartersOfTheColumns) {
  const TextShapes shapes = TextShapes::recurring(kMostTokens);
  for (const std::int64_t columns : {8, 40, 576, 5008}) {
    std::int64_t before = 0;
    std::set<std::int64_t> sizes;
    for (std::int64_t n = 1; n <= columns; ++n) {
      const std::int64_t targets = shapes.targets(n, columns);
      EXPECT_GE(targets, std::max(n, before));
      EXPECT_LT(targets - n, columns / 4);
      EXPECT_LE(targets, columns);
      EXPECT_EQ(shapes.targets(targets, columns), targets);
      sizes.insert(before = targets);
    }
    EXPECT_EQ(sizes.size(), 4U);
    EXPECT_EQ(shapes.targets(0, columns), 0);
  }
}

}  // namespace
}  // namespace rankine
