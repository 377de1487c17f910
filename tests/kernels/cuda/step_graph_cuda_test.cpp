// engine/core/step_graph.h, stream.h and the frames of memory.h on CUDA.
#include "engine/core/step_graph.h"

#include <set>

#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"
#include "tests/kernels/gpu_support.h"

namespace rankine {
namespace {
using namespace testing_support;

class StepGraphCuda : public OnGpu {};
INSTANTIATE_TEST_SUITE_P(Types, StepGraphCuda, gpu_float_types(), gpu_case_name);

// y = drop(x + x) + noise, with tensors of its own on the way.
void work_on(const Context& c, Tensor& y, const Tensor& x) {
  Tensor sum = c.like(x, "sum"), noise = c.like(x, "noise");
  add(c, sum, x, x);
  dropout(c, sum, sum, c.random(purpose("mask"), 1), 0.5F);
  fill_normal(c, noise, c.random(purpose("noise"), 0));
  add(c, y, sum, noise);
}

TEST_P(StepGraphCuda, LaunchesHaveTheBitsOfOrdinaryRuns) {
  const Shape shape{37};
  Tensor x = random(shape, 1), y = garbage(shape), live(c().memory(), {2}, DType::i32, Account::data, "live");
  StepGraph graph;
  for (std::uint32_t step = 0; step < 4; ++step) {
    SCOPED_TRACE(step);
    const Tensor fresh = random(shape, 10 + step);
    copy(c(), x, fresh);
    set_ints(live, std::vector<std::int32_t>{static_cast<std::int32_t>(step), 5});
    graph.run(c(), [&] { work_on(c().with_live_step(live), y, x); });
    const std::vector<std::byte> played = bytes_from_device(y);

    Context plain = c();
    plain.step = step;
    plain.first_sample = 5;
    Tensor expected = garbage(shape);
    work_on(plain, expected, x);
    EXPECT_EQ(played, bytes_from_device(expected));
  }
  EXPECT_EQ(graph.recorded(), 1);
  EXPECT_EQ(graph.launched(), 3);
}

#ifdef RANKINE_EMULATED
TEST_P(StepGraphCuda, ALaunchRunsWhatAnOrdinaryRunDoesInTheSameOrder) {
  const Tensor x = random({40}, 1);
  Tensor y = garbage({40});
  StepGraph graph;
  std::vector<std::vector<std::string>> names;
  for (int i = 0; i < 3; ++i) {
    emulator::Recording recording;
    graph.run(c(), [&] { work_on(c(), y, x); });
    names.push_back(recording.names());
  }
  const std::vector<std::string> expected{"add", "dropout", "fill_normal", "add"};
  EXPECT_EQ(names, std::vector(3, expected));
}

// What is played is free to take any order that the events leave open: one that was forgotten shows.
TEST_P(StepGraphCuda, StreamsMeetByTheirEventsAlone) {
  const Tensor x = random({64}, 1);
  Tensor a = garbage({64}), b = garbage({64}), y = garbage({64});
  Stream side(Device::cuda(0));
  Stream main = Stream::over(c().cuda_stream());
  const auto fork_and_join = [&] {
    scale(c(), a, x, 2.0F);
    side.wait(main.record());
    side.run([&] { scale(c().on(side), b, a, 3.0F); });
    add(c(), y, a, x);  // beside it
    main.wait(side.record());
    add(c(), y, y, b);
    scale(c(), b, y, 0.0F);  // after `side` wrote it
  };
  bool always_right = true;
  for (unsigned seed = 1; seed < 12; ++seed) {
    emulator::set_seed(seed);
    StepGraph graph;
    Tensor expected = garbage({64});
    fork_and_join();
    copy(c(), expected, y);
    fill(c(), y, 0.0F);
    for (int i = 0; i < 2; ++i) graph.run(c(), fork_and_join);
    always_right = always_right && bytes_from_device(y) == bytes_from_device(expected);
  }
  EXPECT_TRUE(always_right);
}

TEST_P(StepGraphCuda, AForgottenEventShows) {
  const Tensor x = random({64}, 1);
  Tensor a = garbage({64}), b = garbage({64}), y = garbage({64});
  Stream side(Device::cuda(0));
  Stream main = Stream::over(c().cuda_stream());
  const auto forgets = [&] {
    fill(c(), b, 0.0F);
    side.wait(main.record());
    side.run([&] { scale(c().on(side), b, x, 3.0F); });
    copy(c(), y, b);  // before or after `side` wrote b
    main.wait(side.record());
  };
  std::set<std::vector<std::byte>> outcomes;
  for (unsigned seed = 1; seed < 12; ++seed) {
    emulator::set_seed(seed);
    StepGraph graph;
    for (int i = 0; i < 2; ++i) graph.run(c(), forgets);
    outcomes.insert(bytes_from_device(y));
  }
  EXPECT_EQ(outcomes.size(), 2U);
}
#endif

TEST_P(StepGraphCuda, IsRecordedAgainWhenTensorsTookItsPlace) {
  const Tensor x = random({40}, 1);
  Tensor y = garbage({40});
  StepGraph graph;
  const auto run = [&] { graph.run(c(), [&] { work_on(c(), y, x); }); };
  for (int i = 0; i < 3; ++i) run();
  const std::vector<std::byte> before = bytes_from_device(y);
  const Tensor taken(c().memory(), {1 << 20}, DType::f32, Account::data, "kept");
  for (int i = 0; i < 2; ++i) run();
  EXPECT_EQ(graph.recorded(), 2);
  EXPECT_EQ(bytes_from_device(y), before);
}

TEST_P(StepGraphCuda, WorkMustKeepNothingAndWaitForNothing) {
  const Tensor x = random({40}, 1);
  Tensor y = garbage({40}), kept;
  StepGraph keeps, waits, throws;
  EXPECT_THROW(keeps.run(c(), [&] { kept = c().like(x, "kept"); }), std::logic_error);
  kept = {};
  const auto asks = [&] {
    add(c(), y, x, x);
    floats_of(y);
  };
  waits.run(c(), asks);
  EXPECT_THROW(waits.run(c(), asks), Error);
  const auto fails = [&] {
    add(c(), y, x, x);
    if (throws.launched() == 0) throw DataError("picture.png: broken");
  };
  EXPECT_THROW(throws.run(c(), fails), DataError);
  EXPECT_THROW(throws.run(c(), fails), DataError);
  StepGraph fine;  // the stream records no more
  for (int i = 0; i < 3; ++i) fine.run(c(), [&] { add(c(), y, x, x); });
  EXPECT_EQ(fine.launched(), 2);
  Tensor expected = garbage({40});
  add(c(), expected, x, x);
  EXPECT_EQ(bytes_from_device(y), bytes_from_device(expected));
}

// A plan takes the same offsets, so the forecast holds for recorded steps.
TEST_P(StepGraphCuda, APlanReachesTheSameMark) {
  const auto mark = [&](Device device) {
    Runtime r(device, std::size_t{64} << 20, 1);
    const Context plain(r);
    const Tensor x(r.memory(), {1000}, DType::f32, Account::data, "x");
    Tensor y(r.memory(), {1000}, DType::f32, Account::data, "y");
    StepGraph graph;
    for (int i = 0; i < 3; ++i) graph.run(plain, [&] { work_on(plain, y, x); });
    return r.memory().high_water();
  };
  EXPECT_EQ(mark(Device::cuda(0)), mark(Device::cuda(0).planned()));
}

struct Numbers {
  Tensor x, absent;
  std::vector<Tensor*> tensors() { return {&x, &absent}; }
};

// Shapes take turns; the contents are of each run, and nothing of it stays.
TEST_P(StepGraphCuda, AGraphPerShapeKeepsNoTensor) {
  StepGraphs<Numbers> graphs;
  const std::size_t held = c().memory().held();
  for (std::uint32_t step = 0; step < 3; ++step) {
    for (const std::int64_t n : {5, 70, 31}) {
      SCOPED_TRACE(join(n, " numbers, step ", step));
      std::vector<std::byte> played, expected;
      {
        Tensor y = garbage({n}), z = garbage({n});
        Context now = c();
        now.step = step;
        Tensor x = random({n}, step);
        work_on(now, z, x);
        graphs.run(now, Numbers{std::move(x), {}}, true,
                   [&](const Context& live, const Numbers& in) { work_on(live, y, in.x); });
        played = bytes_from_device(y);
        expected = bytes_from_device(z);
      }
      EXPECT_EQ(played, expected);
      EXPECT_EQ(c().memory().held(), held);
    }
  }
  EXPECT_EQ(graphs.recorded(), 3);
  EXPECT_EQ(graphs.launched(), 6);
}

TEST_P(StepGraphCuda, TheGraphUnusedForLongestGoes) {
  if (!takes_large()) return;
  StepGraphs<Numbers> graphs;
  Tensor y = garbage({1});
  const auto run = [&](std::size_t n) {
    graphs.run(c(), Numbers{random({static_cast<std::int64_t>(n)}, 1), {}}, true,
               [&](const Context& live, const Numbers& in) { copy(live, y, in.x.slice(0, 1)); });
  };
  constexpr std::size_t kMost = StepGraphs<Numbers>::kMost;
  for (const std::size_t n : {1, 1, 2, 2}) run(n);
  EXPECT_EQ(graphs.launched(), 2);
  for (std::size_t n = 3; n <= kMost; ++n) run(n);  // they all fit
  for (const std::size_t n : {1, 2}) run(n);
  EXPECT_EQ(graphs.launched(), 4);
  for (const std::size_t n : {std::size_t{1}, kMost + 1}) run(n);  // shape 3 goes
  for (std::size_t n = 4; n <= kMost; ++n) run(n);
  EXPECT_EQ(graphs.launched(), 5 + static_cast<std::int64_t>(kMost) - 3);
  run(3);
  EXPECT_EQ(graphs.launched(), 5 + static_cast<std::int64_t>(kMost) - 3) << "seen as if for the first time";
  EXPECT_EQ(graphs.recorded(), 2 + static_cast<std::int64_t>(kMost) - 3);
}

// However many shapes came before: a plan runs the largest alone.
TEST_P(StepGraphCuda, APlanOfTheLargestShapeReachesTheMarkOfAll) {
  const auto mark = [&](Device device, const std::vector<std::int64_t>& sizes) {
    Runtime r(device, std::size_t{64} << 20, 1);
    const Context plain(r);
    Tensor y(r.memory(), {16}, DType::f32, Account::data, "y");
    StepGraphs<Numbers> graphs;
    for (const std::int64_t n : sizes) {
      Tensor x(r.memory(), {n}, DType::f32, Account::data, "x"), start = x.slice(0, 16);
      fill(plain, start, 1.0F);
      start = {};
      graphs.run(plain, Numbers{std::move(x), {}}, true, [&](const Context& live, const Numbers& in) {
        Tensor sum(r.memory(), {16}, DType::f32, Account::activations, "sum");
        add(live, sum, in.x.slice(0, 16), in.x.slice(0, 16));
        copy(live, y, sum);
      });
    }
    return r.memory().high_water();
  };
  constexpr std::int64_t kMiB = (std::int64_t{1} << 20) / sizeof(float);
  EXPECT_EQ(mark(Device::cuda(0), {kMiB, 2 * kMiB, kMiB, 3 * kMiB, 2 * kMiB, 3 * kMiB, kMiB, 3 * kMiB}),
            mark(Device::cuda(0).planned(), {3 * kMiB}));
}

TEST_P(StepGraphCuda, UploadsAreInTheStreamsOrder) {
  if (!takes_large()) return;
  Tensor x = garbage({300000}), sum = garbage({300000});
  fill(c(), sum, 0.0F);
  for (int i = 1; i <= 3; ++i) {  // more than the ring of page-locked memory holds at once
    set_floats(x, std::vector<float>(300000, static_cast<float>(i)));
    add(c(), sum, sum, x);
  }
  const std::vector<float> got = floats_of(sum);
  EXPECT_EQ(got.front(), 6.0F);
  EXPECT_EQ(got.back(), 6.0F);
}

}  // namespace
}  // namespace rankine
