#include "engine/core/philox.h"

#include <gtest/gtest.h>

#include <set>

namespace rankine {
namespace {

// Known answers of philox4x32-10 from the test vectors of the Random123 library (Salmon et al. 2011).
// Counter words are (block, sample, step, purpose); the key is the seed, low word first.
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox::generate({0, 0, 0, 0}, 0),
            (philox::Block{0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}));
  EXPECT_EQ(philox::generate({0xFFFFFFFFFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF}, 0xFFFFFFFF),
            (philox::Block{0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}));
  EXPECT_EQ(philox::generate({0x299F31D0A4093822, 0x03707344, 0x13198A2E, 0x85A308D3}, 0x243F6A88),
            (philox::Block{0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}));
}

TEST(Philox, UniformIsStrictlyInsideTheInterval) {
  EXPECT_GT(philox::to_uniform(0), 0.0F);
  EXPECT_LT(philox::to_uniform(0xFFFFFFFF), 1.0F);
  EXPECT_LT(philox::to_uniform(0xFFFFFEFF), 1.0F);
  EXPECT_FLOAT_EQ(philox::to_uniform(0x80000000), 0.5F);
  for (std::uint32_t w = 0; w < 0xFFFF0000U; w += 0xFFFFU)
    ASSERT_LE(philox::to_uniform(w), philox::to_uniform(w + 0xFFFFU));
}

TEST(Philox, NormalIsFiniteAtTheEdges) {
  for (const std::uint32_t a : {0U, 1U, 0x7FFFFFFFU, 0xFFFFFFFFU}) {
    for (const std::uint32_t b : {0U, 0x80000000U, 0xFFFFFFFFU}) {
      for (const float v : philox::to_normal({a, b, b, a})) EXPECT_TRUE(std::isfinite(v)) << a << ' ' << b;
    }
  }
}

TEST(Philox, HostRandomReadsTheStreamWordByWord) {
  const RandomStream stream{77, purpose("host"), 5, 9};
  HostRandom random(stream);
  for (std::uint32_t block = 0; block < 3; ++block) {
    for (const std::uint32_t word : philox::generate(stream, block)) EXPECT_EQ(random.word(), word);
  }
}

TEST(Philox, BelowStaysBelowAndReachesEverything) {
  HostRandom random({1, purpose("below"), 0, 0});
  std::set<std::uint32_t> seen;
  for (int i = 0; i < 500; ++i) seen.insert(random.below(7));
  EXPECT_EQ(seen.size(), 7U);
  EXPECT_EQ(*seen.rbegin(), 6U);
}

TEST(Philox, PurposesDiffer) {
  EXPECT_EQ(purpose(""), 2166136261U);   // the offset of FNV-1a
  EXPECT_EQ(purpose("a"), 0xE40C292CU);  // published test vector
  EXPECT_EQ(purpose("foobar"), 0xBF9CF968U);
}

}  // namespace
}  // namespace rankine
