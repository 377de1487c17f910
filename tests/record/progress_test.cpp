// The progress line and its parts.
#include "io/record/progress.h"

#include <gtest/gtest.h>

#include <cmath>

#include "io/record/smoothing.h"

namespace rankine {
namespace {

Progress some_progress() {
  Progress p;
  p.step = 120;
  p.total_steps = 1000;
  p.epoch = 2;
  p.epochs = 10;
  p.seconds_per_step = 0.85;
  p.samples_per_second = 4.7;
  p.loss = 0.12341;
  p.learning_rate = 9.8e-5;
  p.grad_norm = 0.43;
  p.memory_bytes = 6'549'825'126;
  p.memory_budget_bytes = 22ULL << 30;
  return p;
}

TEST(ProgressTest, ShowsEverythingOnOneLine) {
  EXPECT_EQ(progress_line(some_progress()),
            "step  120/1000   12%  epoch 2/10  loss 0.1234  lr 9.80e-05  grad 0.4300  4.70 img/s  mem "
            "6.1/22.0 GiB  "
            "eta 12m 28s");
}

TEST(ProgressTest, ShortLinesKeepWhatMattersMost) {
  const std::string line = progress_line(some_progress(), 60);
  EXPECT_LE(line.size(), 60U);
  EXPECT_EQ(line, "step  120/1000   12%  loss 0.1234  4.70 img/s  eta 12m 28s");
  EXPECT_EQ(progress_line(some_progress(), 1), "step  120/1000   12%  loss 0.1234  eta 12m 28s");
}

TEST(ProgressTest, PagesAreShownWhereThereAreAnyAndGoFirst) {
  Progress p = some_progress();
  p.paged_bytes = 1'288'490'189;
  p.waited_share = 0.031;
  const std::string line = progress_line(p);
  EXPECT_NE(line.find("mem 6.1/22.0 GiB, paged 1.2 GiB (waited 3 %)  eta"), std::string::npos) << line;
  EXPECT_EQ(progress_line(p, line.size() - 1), progress_line(some_progress()));
  EXPECT_EQ(progress_line(p, 60), progress_line(some_progress(), 60));
  p.waited_share.reset();  // not measured: nothing is said of it
  EXPECT_NE(progress_line(p).find("GiB, paged 1.2 GiB  eta"), std::string::npos);
}

TEST(ProgressTest, StartAndEnd) {
  Progress p = some_progress();
  p.seconds_per_step = 0;
  EXPECT_LT(remaining_seconds(p), 0);
  EXPECT_NE(progress_line(p).find("eta ?"), std::string::npos);
  p.step = 999;
  EXPECT_NE(progress_line(p).find(" 99%"), std::string::npos);  // 99.9 % is not done
  p.step = 1000;
  p.seconds_per_step = 1;
  EXPECT_NE(progress_line(p).find("100%"), std::string::npos);
  EXPECT_EQ(remaining_seconds(p), 0);
  EXPECT_NE(progress_line(Progress{}).find("step 0/0"), std::string::npos);
}

TEST(ProgressTest, Durations) {
  EXPECT_EQ(format_duration(0), "0s");
  EXPECT_EQ(format_duration(59.4), "59s");
  EXPECT_EQ(format_duration(59.6), "1m 00s");
  EXPECT_EQ(format_duration(3599), "59m 59s");
  EXPECT_EQ(format_duration(3 * 3600 + 5 * 60), "3h 05m");
  EXPECT_EQ(format_duration(2 * 86400 + 4 * 3600), "2d 04h");
  EXPECT_EQ(format_duration(-1), "?");
  EXPECT_EQ(format_duration(NAN), "?");
  EXPECT_EQ(format_duration(HUGE_VAL), "?");
}

TEST(ProgressTest, Bytes) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1024), "1.0 KiB");
  EXPECT_EQ(format_bytes((1ULL << 30) - 1), "1.0 GiB");
  EXPECT_EQ(format_bytes(22ULL << 30), "22.0 GiB");
  EXPECT_EQ(format_bytes(~0ULL), "16.0 EiB");
}

TEST(ProgressTest, CompactNumbers) {
  EXPECT_EQ(format_compact(0), "0");
  EXPECT_EQ(format_compact(0.12345), "0.1235");
  EXPECT_EQ(format_compact(12.3456), "12.35");
  EXPECT_EQ(format_compact(12345.6), "12346");
  EXPECT_EQ(format_compact(1e-4), "1.00e-04");
  EXPECT_EQ(format_compact(-250), "-250.0");
  EXPECT_EQ(format_compact(NAN), "nan");
  EXPECT_EQ(format_compact(-HUGE_VAL), "-inf");
}

TEST(SmoothingTest, TheMedianForgetsOldAndIgnoresSlowSteps) {
  MovingMedian median(3);
  EXPECT_EQ(median.median(), 0);
  median.add(5);
  EXPECT_EQ(median.median(), 5);
  median.add(1);
  EXPECT_EQ(median.median(), 3);
  median.add(100);
  EXPECT_EQ(median.median(), 5);
  median.add(1);
  EXPECT_EQ(median.median(), 1);
  EXPECT_EQ(median.count(), 3U);
  EXPECT_THROW(MovingMedian(0), std::logic_error);
}

TEST(SmoothingTest, TheAverageOfAConstantIsTheConstant) {
  MovingAverage average(0.9);
  EXPECT_EQ(average.value(), 0);
  for (int i = 0; i < 5; ++i) {
    average.add(3);
    EXPECT_NEAR(average.value(), 3, 1e-12);
  }
  average.add(NAN);
  EXPECT_NEAR(average.value(), 3, 1e-12);
  MovingAverage two(0.5);
  two.add(1);
  two.add(4);
  EXPECT_NEAR(two.value(), (0.25 * 1 + 0.5 * 4) / 0.75, 1e-12);
}

}  // namespace
}  // namespace rankine
