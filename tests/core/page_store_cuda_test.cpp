// engine/tape/page_store.h on CUDA: on a card (label gpu) and in the emulator (label emulator), which plays
// what was recorded in any order that its events allow.
#include <cstring>

#include "engine/core/cuda_device.h"
#include "engine/core/error.h"
#include "engine/core/step_graph.h"
#include "engine/core/transfer.h"
#include "engine/tape/page_store.h"
#include "tests/core/page_support.h"
#ifdef RANKINE_EMULATED
#include <emulator.h>
#endif

namespace rankine {
namespace {
using namespace testing_support;

constexpr std::size_t kStage = 1 << 16;
// More pieces than there are stages; pages of less than a stage, of none, and of odd sizes.
const std::vector<std::size_t> kSizes{1000, kStage, 3, 5 * kStage + 77, 0, 2 * kStage - 1, 4097, 70001};

class PageStoresCuda : public ::testing::TestWithParam<unsigned> {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device: paging was NOT run";
#ifdef RANKINE_EMULATED
    emulator::set_seed(GetParam());
#endif
    runtime = std::make_unique<Runtime>(Device::cuda(0), std::size_t{256} << 20, 1);
    sources = tensors(*runtime);
    results = tensors(*runtime);
  }
  void TearDown() override {
    if (runtime) cuda::synchronize(runtime->cuda_stream());
  }

  static std::vector<Tensor> tensors(Runtime& r) {
    std::vector<Tensor> all;
    for (const std::size_t n : kSizes)
      all.emplace_back(r.memory(), Shape{static_cast<std::int64_t>(n / 4 + 1)}, DType::f32, Account::data,
                       "data");
    return all;
  }
  void fill_sources(unsigned seed) {
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      upload(sources[i], random_bytes(sources[i].bytes(), seed * 100 + static_cast<unsigned>(i)));
      upload(results[i], Bytes(results[i].bytes(), std::byte{0xEE}));
    }
  }
  // Bytes of result i that came out of its page.
  Bytes result(std::size_t i) const { return first_bytes(results[i], kSizes[i]); }
  static Bytes first_bytes(const Tensor& t, std::size_t count) {
    Bytes bytes(t.bytes());
    download(bytes, t);
    bytes.resize(count);
    return bytes;
  }
  void expect_results() const {
    for (std::size_t i = 0; i < kSizes.size(); ++i)
      EXPECT_EQ(result(i) == first_bytes(sources[i], kSizes[i]), true) << "page " << i;
  }

  static void copy(Runtime& r, void* to, const void* from, std::size_t bytes) {
    if (!r.device().plan) cuda::copy_bytes(r.cuda_stream(), to, from, bytes);
  }

  // Pages out with one copy under way while the next block is made, then back with one read ahead. Blocks are
  // made where others just were, so that a copy that comes too early or too late has other bytes.
  std::vector<std::size_t> step(Runtime& r, PageStore& store) {
    std::vector<std::shared_ptr<Block>> blocks(kSizes.size());
    std::vector<PageStore::PagePtr> pages;
    std::vector<std::size_t> offsets;
    const auto make = [&](std::size_t i) {
      blocks[i] = r.memory().allocate(kSizes[i], Account::tape, "saved");
    };
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      make(i);
      copy(r, blocks[i]->data(), sources[i].raw(), kSizes[i]);
      pages.push_back(store.write(blocks[i]));
      offsets.push_back(pages.back()->offset() * 2 + (pages.back()->in_file() ? 1 : 0));
      if (i == 0) continue;
      store.finish_write(*pages[i - 1]);
      blocks[i - 1].reset();
    }
    store.finish_write(*pages.back());
    blocks.back().reset();
    const auto begin_read = [&](std::size_t i) {
      make(i);
      copy(r, blocks[i]->data(), sources[(i + 1) % 2].raw(), std::min<std::size_t>(kSizes[i], 1000));
      store.read(*pages[i], blocks[i]);
    };
    begin_read(kSizes.size() - 1);
    for (std::size_t i = kSizes.size(); i-- > 0;) {
      if (i > 0) begin_read(i - 1);
      store.finish_read(*pages[i]);
      copy(r, results[i].raw(), blocks[i]->data(), kSizes[i]);
      blocks[i].reset();
      pages.pop_back();
    }
    return offsets;
  }
  // What a plan of the step finds.
  PageStore::Limits limits(std::size_t host_bytes) {
    Runtime plan(Device::cuda(0).planned());
    PageStore store(plan, {host_bytes, PageStore::kUnlimited, folder.path(), kStage});
    step(plan, store);
    return store.needed();
  }

  ScratchFolder folder;
  std::unique_ptr<Runtime> runtime;
  std::vector<Tensor> sources, results;
};

std::string order_name(const ::testing::TestParamInfo<unsigned>& info) {
  return "order" + std::to_string(info.param);
}
#ifdef RANKINE_EMULATED
INSTANTIATE_TEST_SUITE_P(Orders, PageStoresCuda, ::testing::Range(1U, 9U), order_name);
#else
INSTANTIATE_TEST_SUITE_P(Orders, PageStoresCuda, ::testing::Values(0U), order_name);
#endif

// All in the file, some of each, all on the host.
TEST_P(PageStoresCuda, RecordedStepsGiveBackTheBits) {
  for (const std::size_t host_bytes : {std::size_t{0}, 3 * kStage, PageStore::kUnlimited}) {
    SCOPED_TRACE(host_bytes);
    const PageStore::Limits needed = limits(host_bytes);
    EXPECT_EQ(needed.file_bytes == 0, host_bytes == PageStore::kUnlimited);
    PageStore store(*runtime, needed);
    EXPECT_TRUE(folder.entries().empty());
    StepGraph graph;
    for (unsigned i = 0; i < 4; ++i) {
      SCOPED_TRACE(i);
      fill_sources(i);
      graph.run(Context(*runtime), [&] { step(*runtime, store); });
      expect_results();
    }
    EXPECT_EQ(graph.launched(), 3);
    store.throw_if_failed();
    EXPECT_EQ(store.host().high_water, needed.host_bytes);
    EXPECT_EQ(store.file().high_water, needed.file_bytes);
    EXPECT_EQ(store.host().held + store.file().held, 0U);
  }
}

// A launched graph runs no line of the program that counts, and still says what it moved.
TEST_P(PageStoresCuda, EveryRunOfAGraphCountsWhatItMoves) {
  PageStore store(*runtime, limits(3 * kStage));
  StepGraph graph;
  std::uint64_t moved = 0;
  for (const std::size_t bytes : kSizes) moved += bytes;
  for (unsigned i = 0; i < 5; ++i) {
    SCOPED_TRACE(i);
    runtime->traffic() = {};
    fill_sources(i);
    graph.run(Context(*runtime), [&] {
      step(*runtime, store);
      runtime->traffic().note_tape(700, 500);
    });
    EXPECT_EQ(runtime->traffic().paged_out, moved);
    EXPECT_EQ(runtime->traffic().paged_in, moved);
    EXPECT_EQ(runtime->traffic().tape_peak, 700U);
    EXPECT_EQ(runtime->traffic().paged_peak, 500U);
    EXPECT_EQ(runtime->traffic().waited_for_pages, 0);
  }
  EXPECT_EQ(graph.launched(), 4);
  EXPECT_EQ(store.counters().bytes_out, 2 * moved) << "of the first run and of the recording";
}

TEST_P(PageStoresCuda, StepsThatAreNotRecordedToo) {
  PageStore store(*runtime, limits(3 * kStage));
  for (unsigned i = 0; i < 3; ++i) {
    fill_sources(i);
    step(*runtime, store);
    expect_results();
  }
}

TEST_P(PageStoresCuda, PlacesAreThoseOfThePlanInEveryRun) {
  Runtime plan(Device::cuda(0).planned());
  PageStore planned(plan, {3 * kStage, PageStore::kUnlimited, {}});
  const std::vector<std::size_t> expected = step(plan, planned);
  PageStore store(*runtime, {3 * kStage, planned.needed().file_bytes, folder.path(), kStage});
  StepGraph graph;
  for (int i = 0; i < 3; ++i)
    graph.run(Context(*runtime), [&] { EXPECT_EQ(step(*runtime, store), expected); });
}

TEST_P(PageStoresCuda, AStepIsRecordedAgainWhenItsFrameMoved) {
  PageStore store(*runtime, limits(3 * kStage));
  StepGraph graph;
  const auto run = [&](unsigned seed) {
    fill_sources(seed);
    graph.run(Context(*runtime), [&] { step(*runtime, store); });
    expect_results();
  };
  for (unsigned i = 0; i < 3; ++i) run(i);
  const Tensor taken(runtime->memory(), {1 << 20}, DType::f32, Account::data, "kept");
  for (unsigned i = 3; i < 5; ++i) run(i);
  EXPECT_EQ(graph.recorded(), 2);
}

TEST_P(PageStoresCuda, WhatCouldNotBeReadIsNanAndSaid) {
  FaultyCalls calls;
  PageStore store(*runtime, limits(0), calls);
  StepGraph graph;
  const auto run = [&] { graph.run(Context(*runtime), [&] { step(*runtime, store); }); };
  fill_sources(1);
  for (int i = 0; i < 2; ++i) run();
  expect_results();
  store.throw_if_failed();
  calls.fail_read = calls.reads + 3;
  run();
  cuda::synchronize(runtime->cuda_stream());
  const std::string message = message_of([&] { store.throw_if_failed(); });
  EXPECT_NE(message.find(std::strerror(EIO)), std::string::npos) << message;
  int bad = 0;
  for (std::size_t i = 0; i < kSizes.size(); ++i) {
    const Bytes got = result(i), want = first_bytes(sources[i], kSizes[i]);
    for (std::size_t at = 0; at < got.size(); at += kStage) {  // each piece is right or nothing but 0xFF
      const std::size_t n = std::min(got.size() - at, kStage);
      const bool right = std::memcmp(got.data() + at, want.data() + at, n) == 0;
      const Bytes nan(n, std::byte{0xFF});
      EXPECT_TRUE(right || std::memcmp(got.data() + at, nan.data(), n) == 0) << i << " at " << at;
      bad += right ? 0 : 1;
    }
  }
  EXPECT_GT(bad, 0);
  const int before = calls.reads + calls.writes;
  run();
  cuda::synchronize(runtime->cuda_stream());
  EXPECT_EQ(calls.reads + calls.writes, before) << "no file is tried again";
  EXPECT_THROW(step(*runtime, store), IoError);
}

TEST_P(PageStoresCuda, ADiskThatFillsUpIsSaid) {
  for (int n = 0; n < 10; ++n) {
    FaultyCalls calls;
    calls.fail_write = n;
    calls.error = ENOSPC;
    PageStore store(*runtime, limits(0), calls);
    fill_sources(1);
    const auto run = [&] {
      step(*runtime, store);
      cuda::synchronize(runtime->cuda_stream());
      store.throw_if_failed();
    };
    EXPECT_THROW(run(), IoError) << n;
    EXPECT_EQ(store.file().held, 0U);
  }
}

TEST_P(PageStoresCuda, ACopyIsFinishedInTheWorkThatBeganIt) {
  PageStore store(*runtime, {1 << 20, 0, {}});
  auto block = runtime->memory().allocate(1000, Account::tape, "saved");
  auto page = store.write(block);
  StepGraph graph;
  EXPECT_THROW(graph.run(Context(*runtime), [&] { store.finish_write(*page); }), std::logic_error);
  page.reset();  // waits
  EXPECT_EQ(store.host().held, 0U);
}

}  // namespace
}  // namespace rankine
