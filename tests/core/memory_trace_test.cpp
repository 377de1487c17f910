// What a trace of memory notes, and that thinning it loses no peak.
#include "engine/core/memory_trace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

#include "engine/core/philox.h"

namespace rankine {
namespace {

Card card() { return {"test", DeviceKind::cpu, 0, 1e9, 1e9, 1e9, 1e9, 0, "made up"}; }

std::uint64_t at(const MemoryTrace::Point& p, Account account) {
  return p.held[static_cast<std::size_t>(account)];
}

TEST(MemoryTraceTest, NotesEveryChangeWithItsTime) {
  Runtime runtime(Device::cpu().planned());
  runtime.time_on(card());
  runtime.clock()->compute({5e8, 0});  // before the work: its time starts at 0
  const Context c(runtime);
  const auto weights = runtime.memory().allocate(1000, Account::weights, "w");
  const MemoryTrace trace = trace_of(runtime, [&] {
    c.phase("forward");
    auto a = runtime.memory().allocate(300, Account::activations, "a");
    runtime.clock()->compute({1e9, 0});
    a->move_to(Account::tape);
    c.phase("backward");
    auto b = runtime.memory().allocate(50, Account::workspace, "b");
    runtime.clock()->compute({2e9, 0});
    a.reset();
    c.phase("");
  });
  EXPECT_TRUE(trace.timed);
  ASSERT_EQ(trace.points.size(), 7U);  // start, a, moved, b, a gone, b gone, end
  const auto is = [&](std::size_t i, double x, std::uint64_t tape, std::uint64_t rest) {
    EXPECT_DOUBLE_EQ(trace.points[i].x, x) << i;
    EXPECT_EQ(at(trace.points[i], Account::weights), 1000U) << i;
    EXPECT_EQ(at(trace.points[i], Account::tape), tape) << i;
    EXPECT_EQ(trace.points[i].total(), 1000 + tape + rest) << i;
  };
  is(0, 0, 0, 0);
  is(1, 0, 0, 300);
  is(2, 1, 300, 0);
  is(3, 1, 300, 50);
  is(4, 3, 0, 50);
  is(5, 3, 0, 0);
  is(6, 3, 0, 0);
  EXPECT_EQ(trace.peak(), 1350U);
  EXPECT_EQ(trace.marks, (std::vector<MemoryTrace::Mark>{{0, "forward"}, {1, "backward"}, {3, ""}}));
}

TEST(MemoryTraceTest, CountsChangesWithoutAClock) {
  Runtime runtime(Device::cpu().planned());
  const MemoryTrace trace = trace_of(runtime, [&] {
    const auto a = runtime.memory().allocate(64, Account::data, "a");
    const auto b = runtime.memory().allocate(64, Account::data, "b");
  });
  EXPECT_FALSE(trace.timed);
  ASSERT_EQ(trace.points.size(), 6U);
  EXPECT_EQ(trace.points[2].x, 2);
  EXPECT_EQ(trace.points.back().x, 4);
  EXPECT_EQ(trace.peak(), 128U);
}

TEST(MemoryTraceTest, FilesThatAreUsedAsTheyLieAreNoMemory) {
  Runtime runtime(Device::cpu());
  const std::vector<std::byte> file(4096);
  const MemoryTrace trace = trace_of(runtime, [&] {
    const auto mapped = runtime.memory().adopt({file, nullptr}, file.size(), "file");
  });
  EXPECT_EQ(trace.peak(), 0U);
  EXPECT_EQ(at(trace.points[1], Account::mapped), 4096U);
}

TEST(MemoryTraceTest, NobodyListensAfterwards) {
  Runtime runtime(Device::cpu().planned());
  const Context c(runtime);
  EXPECT_THROW(trace_of(runtime, [] { throw std::runtime_error("no"); }), std::runtime_error);
  const auto a = runtime.memory().allocate(64, Account::data, "a");  // would use what is gone
  c.phase("forward");
  const MemoryTrace trace = trace_of(runtime, [] {});
  EXPECT_EQ(trace.points.size(), 2U);
  EXPECT_TRUE(trace.marks.empty());
}

MemoryTrace random_trace(std::size_t points) {
  MemoryTrace trace;
  HostRandom random({3, purpose("trace"), 0, 0});
  for (std::size_t i = 0; i < points; ++i) {
    MemoryTrace::Point p{static_cast<double>(i), {}};
    p.held[static_cast<std::size_t>(Account::tape)] = random.below(1000);
    p.held[static_cast<std::size_t>(Account::mapped)] = random.below(100000);
    trace.points.push_back(p);
  }
  return trace;
}

TEST(MemoryTraceTest, ThinningKeepsPeaksEndsAndOrder) {
  const MemoryTrace all = random_trace(10007);
  for (const std::size_t limit : {std::size_t{4}, std::size_t{5}, std::size_t{400}, std::size_t{10006}}) {
    const MemoryTrace few = thinned(all, limit);
    EXPECT_LE(few.points.size(), limit);
    EXPECT_EQ(few.peak(), all.peak()) << limit;
    EXPECT_EQ(few.points.front(), all.points.front());
    EXPECT_EQ(few.points.back(), all.points.back());
    EXPECT_TRUE(std::is_sorted(few.points.begin(), few.points.end(),
                               [](const auto& a, const auto& b) { return a.x < b.x; }));
    for (const MemoryTrace::Point& p : few.points)
      EXPECT_EQ(p, all.points[static_cast<std::size_t>(p.x)]) << "a point that never was";
  }
  EXPECT_EQ(thinned(all, 20000), all);
  EXPECT_EQ(thinned({}, 400), MemoryTrace{});
  EXPECT_THROW(thinned(all, 3), std::logic_error);
}

// Spikes apart from each other by more than a group all stay.
TEST(MemoryTraceTest, ThinningKeepsLocalPeaks) {
  MemoryTrace all = random_trace(10000);
  for (std::size_t i = 100; i < all.points.size(); i += 100)
    all.points[i].held[static_cast<std::size_t>(Account::workspace)] = 5000 + i;
  const MemoryTrace few = thinned(all, 400);
  for (std::size_t i = 100; i < all.points.size(); i += 100)
    EXPECT_TRUE(std::find(few.points.begin(), few.points.end(), all.points[i]) != few.points.end()) << i;
}

TEST(MemoryTraceTest, LongWorkStaysSmall) {
  Runtime runtime(Device::cpu().planned());
  const MemoryTrace trace = trace_of(runtime, [&] {
    for (int i = 0; i < 50000; ++i) {
      const std::size_t bytes = i == 31234 ? 7777 : 64;
      const auto a = runtime.memory().allocate(bytes, Account::data, "a");
    }
  });
  EXPECT_LE(trace.points.size(), kTracePoints);
  EXPECT_EQ(trace.peak(), 7777U);
  EXPECT_EQ(trace.points.back().x, 100000);
}

}  // namespace
}  // namespace rankine
