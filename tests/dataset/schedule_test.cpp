#include "io/dataset/schedule.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

#include "engine/core/error.h"

namespace rankine {
namespace {

std::vector<ScheduleItem> items(int count, int buckets, int repeats = 1) {
  std::vector<ScheduleItem> out;
  for (int i = 0; i < count; ++i) out.push_back({i % buckets, repeats, false});
  return out;
}

std::map<int, int> visits(const std::vector<Batch>& batches) {
  std::map<int, int> out;
  for (const Batch& batch : batches) {
    for (const int i : batch.samples) ++out[i];
  }
  return out;
}

TEST(Schedule, EverySampleItsRepeatsInItsBucket) {
  std::vector<ScheduleItem> list = items(23, 3);
  for (std::size_t i = 0; i < list.size(); ++i) list[i].repeats = static_cast<int>(i % 4);
  for (const int batch_size : {1, 2, 4, 7, 100}) {
    const ScheduleOptions options{batch_size, 9};
    const std::vector<Batch> batches = make_epoch(list, options, 2);
    auto seen = visits(batches);
    std::map<int, int> size_of_bucket, short_batches;
    for (std::size_t i = 0; i < list.size(); ++i) {
      EXPECT_EQ(seen[static_cast<int>(i)], list[i].repeats);
      size_of_bucket[list[i].bucket] += list[i].repeats;
    }
    std::size_t expected = 0;
    for (const auto& entry : size_of_bucket)
      expected += static_cast<std::size_t>((entry.second + batch_size - 1) / batch_size);
    EXPECT_EQ(batches.size(), expected);
    EXPECT_EQ(batches_in_epoch(list, options, 2), expected);
    for (const Batch& batch : batches) {
      ASSERT_GE(batch.samples.size(), 1U);
      ASSERT_LE(batch.samples.size(), static_cast<std::size_t>(batch_size));
      if (batch.samples.size() < static_cast<std::size_t>(batch_size)) ++short_batches[batch.bucket];
      for (const int i : batch.samples) ASSERT_EQ(list[static_cast<std::size_t>(i)].bucket, batch.bucket);
    }
    for (const auto& entry : short_batches) EXPECT_EQ(entry.second, 1);
  }
}

TEST(Schedule, PureFunctionOfSeedAndEpoch) {
  const std::vector<ScheduleItem> list = items(40, 2);
  const auto order = [&](std::uint64_t seed, int epoch) { return make_epoch(list, {4, seed}, epoch); };
  EXPECT_EQ(order(1, 5), order(1, 5));
  EXPECT_NE(order(1, 5), order(1, 6));
  EXPECT_NE(order(1, 5), order(2, 5));
  EXPECT_NE(order(1, 5), order(2, 4));  // seed and epoch are not merely added
}

// Pinned, so that an engine update cannot silently change what a resumed run trains on.
TEST(Schedule, OrderIsStableAcrossVersions) {
  std::vector<int> order;
  for (const Batch& batch : make_epoch(items(8, 1), {1, 42}, 0)) order.push_back(batch.samples[0]);
  EXPECT_EQ(order, (std::vector<int>{2, 6, 5, 7, 0, 1, 4, 3}));
}

TEST(Schedule, ShuffleReachesEveryOrderEvenly) {
  std::map<std::vector<int>, int> counts;
  for (int epoch = 0; epoch < 6000; ++epoch) ++counts[make_epoch(items(3, 1), {3, 1}, epoch)[0].samples];
  ASSERT_EQ(counts.size(), 6U);
  for (const auto& entry : counts) EXPECT_NEAR(entry.second, 1000, 150);  // five standard deviations
}

TEST(Schedule, RegularisationIsRepeatedOrCutToTheTrainCount) {
  std::vector<ScheduleItem> few = items(10, 1, 3);
  for (int i = 0; i < 4; ++i) few.push_back({1, 1, true});
  auto seen = visits(make_epoch(few, {2, 0}, 0));
  int prior = 0;
  for (int i = 10; i < 14; ++i) {
    EXPECT_TRUE(seen[i] == 7 || seen[i] == 8);
    prior += seen[i];
  }
  EXPECT_EQ(prior, 30);

  std::vector<ScheduleItem> many = items(5, 1);
  for (int i = 0; i < 12; ++i) many.push_back({0, 1, true});
  std::set<int> used;
  for (int epoch = 0; epoch < 3; ++epoch) {
    int in_epoch = 0;
    for (const auto& entry : visits(make_epoch(many, {2, 0}, epoch))) {
      if (entry.first < 5) continue;
      used.insert(entry.first);
      in_epoch += entry.second;
    }
    EXPECT_EQ(in_epoch, 5) << "cut to the train count";
  }
  EXPECT_EQ(used.size(), 12U) << "later epochs go on with those left out";
}

TEST(Schedule, BadInputIsRefused) {
  EXPECT_THROW(make_epoch({}, {1, 0}, 0), DataError);
  EXPECT_THROW(make_epoch(items(2, 1, 0), {1, 0}, 0), DataError);
  EXPECT_THROW(make_epoch(items(2, 1), {0, 0}, 0), std::invalid_argument);
  EXPECT_THROW(make_epoch(items(2, 1, -1), {1, 0}, 0), std::invalid_argument);
  EXPECT_THROW(make_epoch(items(2, 1), {1, 0}, -1), std::invalid_argument);
  EXPECT_THROW(make_epoch(items(3, 1, 2'000'000'000), {1, 0}, 0), DataError);
}

}  // namespace
}  // namespace rankine
