#include "engine/tape/page_store.h"

#include <cstring>

#include "engine/core/error.h"
#include "tests/core/page_support.h"

namespace rankine {
namespace {
using namespace testing_support;

class PageStores : public ::testing::Test {
 protected:
  std::shared_ptr<Block> block(std::size_t bytes) {
    return runtime.memory().allocate(bytes, Account::tape, "block");
  }
  std::shared_ptr<Block> block(const Bytes& bytes) {
    auto b = block(bytes.size());
    if (!bytes.empty()) std::memcpy(b->data(), bytes.data(), bytes.size());
    return b;
  }
  static Bytes contents(const Block& b) { return {b.data(), b.data() + b.bytes()}; }
  PageStore::Limits limits(std::size_t file_bytes) const { return {0, file_bytes, folder.path()}; }

  // Writes `bytes` and lets the block go.
  PageStore::PagePtr put(PageStore& store, const Bytes& bytes) {
    auto page = store.write(block(bytes));
    store.finish_write(*page);
    return page;
  }
  Bytes get(PageStore& store, PageStore::Page& page) {
    auto to = block(Bytes(page.bytes(), std::byte{0xAA}));
    store.read(page, to);
    store.finish_read(page);
    return contents(*to);
  }

  ScratchFolder folder;
  Runtime runtime{Device::cpu(), std::size_t{256} << 20, 1};
};

TEST_F(PageStores, GiveBackTheBitsOfEverySize) {
  PageStore store(runtime, limits(64 << 20));
  std::vector<Bytes> all;
  std::vector<PageStore::PagePtr> pages;
  unsigned seed = 0;
  for (const std::size_t n :
       {0UL, 1UL, 63UL, 4095UL, 4096UL, 4097UL, 100001UL, (3UL << 20) + 5, 16UL << 20}) {
    all.push_back(random_bytes(n, ++seed));
    pages.push_back(put(store, all.back()));
  }
  EXPECT_EQ(runtime.memory().held(), 0U);
  EXPECT_TRUE(folder.entries().empty());
  for (std::size_t i = pages.size(); i-- > 0;) EXPECT_EQ(get(store, *pages[i]), all[i]) << i;
  EXPECT_EQ(get(store, *pages[7]), all[7]) << "a page may be read again";
  EXPECT_EQ(store.counters().pages_out, 9U);
  EXPECT_EQ(store.counters().pages_in, 10U);
  EXPECT_EQ(store.counters().bytes_in, store.counters().bytes_out + all[7].size());
  EXPECT_EQ(store.counters().file_bytes_out, store.counters().bytes_out);
  pages.clear();
  EXPECT_EQ(store.file().held, 0U);
}

// Copies are begun and finished in any order that the protocol allows; the model is a map of bytes.
TEST_F(PageStores, AnyInterleavingKeepsTheBits) {
  std::mt19937 random(5);
  PageStore store(runtime, limits(64 << 20));
  struct Entry {
    PageStore::PagePtr page;
    Bytes bytes;
    std::shared_ptr<Block> block;
    enum { writing, kept, reading } state;
  };
  std::vector<Entry> entries;
  for (int i = 0; i < 3000; ++i) {
    if (entries.size() < 12 && random() % 3 == 0) {
      Bytes bytes = random_bytes(random() % 60000, random());
      auto b = block(bytes);
      auto page = store.write(b);
      entries.push_back({std::move(page), std::move(bytes), std::move(b), Entry::writing});
      continue;
    }
    if (entries.empty()) continue;
    Entry& e = entries[random() % entries.size()];
    if (e.state == Entry::writing) {
      store.finish_write(*e.page);
      std::memset(e.block->data(), 0x55, e.block->bytes());
      e.block.reset();
      e.state = Entry::kept;
    } else if (e.state == Entry::kept) {
      e.block = block(e.bytes.size());
      store.read(*e.page, e.block);
      e.state = Entry::reading;
    } else {
      store.finish_read(*e.page);
      ASSERT_EQ(contents(*e.block), e.bytes);
      e.block.reset();
      e.state = Entry::kept;
      if (random() % 2 == 0) {
        std::swap(e, entries.back());
        entries.pop_back();
      }
    }
  }
  entries.clear();  // with copies under way
  EXPECT_EQ(store.file().held, 0U);
  EXPECT_EQ(runtime.memory().held(), 0U);
  store.throw_if_failed();
}

TEST_F(PageStores, CallsOutOfOrderAreMisuse) {
  PageStore store(runtime, limits(1 << 20)), other(runtime, limits(1 << 20));
  auto b = block(100), small = block(99);
  auto page = store.write(b);
  EXPECT_THROW(store.read(*page, b), std::logic_error);
  EXPECT_THROW(store.finish_read(*page), std::logic_error);
  EXPECT_THROW(other.finish_write(*page), std::logic_error);
  store.finish_write(*page);
  EXPECT_THROW(store.finish_write(*page), std::logic_error);
  EXPECT_THROW(store.finish_read(*page), std::logic_error);
  EXPECT_THROW(store.read(*page, small), std::logic_error);
  EXPECT_THROW(store.write(nullptr), std::logic_error);
  Runtime stranger(Device::cpu(), 1 << 20, 1);
  EXPECT_THROW(store.write(stranger.memory().allocate(1, Account::tape, "x")), std::logic_error);
  EXPECT_THROW(PageStore(runtime, limits(PageStore::kUnlimited)), std::logic_error);
}

TEST_F(PageStores, AFullTierIsSaid) {
  PageStore store(runtime, limits(8192));
  const auto a = put(store, random_bytes(8000, 1));
  const std::string message = message_of([&] { put(store, random_bytes(1, 1)); });
  EXPECT_NE(message.find("8.00 KiB of 8.00 KiB of the page file"), std::string::npos) << message;
  EXPECT_THROW(put(store, random_bytes(1, 1)), OutOfMemory);
  PageStore none(runtime, limits(0));
  EXPECT_THROW(none.write(block(1)), OutOfMemory);
}

// ---- faults ----

// What a step does: pages out, then back in the mirror order.
void step(PageStore& store, Runtime& runtime) {
  std::vector<PageStore::PagePtr> pages;
  for (int i = 0; i < 5; ++i) {
    auto b = runtime.memory().allocate(10000 + static_cast<std::size_t>(i), Account::tape, "b");
    std::memset(b->data(), i, b->bytes());
    pages.push_back(store.write(b));
    if (i > 0) store.finish_write(*pages[static_cast<std::size_t>(i) - 1]);
  }
  store.finish_write(*pages.back());
  while (!pages.empty()) {
    auto to = runtime.memory().allocate(pages.back()->bytes(), Account::tape, "b");
    store.read(*pages.back(), to);
    store.finish_read(*pages.back());
    pages.pop_back();
    EXPECT_EQ(to->data()[to->bytes() - 1], static_cast<std::byte>(pages.size()));
  }
}

TEST_F(PageStores, ADiskThatFillsUpAnywhereEndsTheStepWithItsReason) {
  for (int n = 0; n < 10; ++n) {
    SCOPED_TRACE(n);
    FaultyCalls calls;
    calls.most_per_call = 5003;  // two or three calls per page
    PageStore store(runtime, limits(1 << 20), calls);
    step(store, runtime);
    calls.fail_write = calls.writes + n;
    calls.error = ENOSPC;
    EXPECT_THROW(step(store, runtime), IoError);
    const std::string again = message_of([&] { store.throw_if_failed(); });
    EXPECT_NE(again.find(std::strerror(ENOSPC)), std::string::npos) << again;
    EXPECT_THROW(step(store, runtime), IoError) << "a store that lost bytes stays failed";
    EXPECT_EQ(store.file().held, 0U);
    EXPECT_EQ(runtime.memory().held(), 0U);
  }
}

TEST_F(PageStores, AReadThatFailsAnywhereEndsTheStep) {
  for (const bool at_end : {false, true}) {
    for (int n = 0; n < 10; ++n) {
      FaultyCalls calls;
      calls.most_per_call = 5003;
      PageStore store(runtime, limits(1 << 20), calls);
      calls.fail_read = n;
      calls.at_end = at_end;
      EXPECT_THROW(step(store, runtime), IoError);
      EXPECT_THROW(store.throw_if_failed(), IoError);
    }
  }
}

TEST_F(PageStores, InterruptionsAndShortCallsAreNoFaults) {
  FaultyCalls calls;
  calls.most_per_call = 777;
  calls.interrupt_every = 2;
  PageStore store(runtime, limits(1 << 20), calls);
  step(store, runtime);
  store.throw_if_failed();
}

TEST_F(PageStores, AnErrorOfAPageThatIsDroppedIsNotLost) {
  FaultyCalls calls;
  calls.fail_write = 0;
  PageStore store(runtime, limits(1 << 20), calls);
  store.write(block(random_bytes(100, 1))).reset();
  EXPECT_THROW(store.throw_if_failed(), IoError);
}

// ---- plans ----

struct Layout {
  std::vector<std::tuple<bool, std::size_t>> places;
  PageStore::Limits needed;
  friend bool operator==(const Layout& a, const Layout& b) {
    return a.places == b.places && a.needed.host_bytes == b.needed.host_bytes &&
           a.needed.file_bytes == b.needed.file_bytes;
  }
};

// Two steps of random sizes with pages dropped here and there.
Layout walk(Runtime& runtime, PageStore& store) {
  Layout layout;
  std::vector<Layout> steps(2);
  for (Layout& s : steps) {
    std::mt19937 random(11);
    std::vector<PageStore::PagePtr> pages;
    for (int i = 0; i < 60; ++i) {
      pages.push_back(store.write(runtime.memory().allocate(random() % 30000, Account::tape, "b")));
      store.finish_write(*pages.back());
      s.places.emplace_back(pages.back()->in_file(), pages.back()->offset());
      if (random() % 3 == 0)
        pages.erase(pages.begin() + static_cast<std::ptrdiff_t>(random() % pages.size()));
    }
  }
  EXPECT_EQ(steps[0].places, steps[1].places) << "the same places every step";
  return {steps[0].places, store.needed()};
}

TEST_F(PageStores, APlanFindsWhatTheRealOneNeeds) {
  Runtime plan(Device::cpu().planned());
  PageStore planned(plan, {PageStore::kUnlimited, PageStore::kUnlimited, {}});
  const Layout forecast = walk(plan, planned);
  EXPECT_EQ(forecast.needed.host_bytes, 0U);
  PageStore store(runtime, limits(forecast.needed.file_bytes));
  EXPECT_TRUE(walk(runtime, store) == forecast);
  EXPECT_EQ(store.file().high_water, forecast.needed.file_bytes);
  PageStore less(runtime, limits(forecast.needed.file_bytes - 1));
  EXPECT_THROW(walk(runtime, less), OutOfMemory);
}

TEST_F(PageStores, APlanOfACardTakesTheHostFirst) {
  Runtime plan(Device::cuda(0).planned());
  PageStore all(plan, {PageStore::kUnlimited, PageStore::kUnlimited, {}});
  const PageStore::Limits most = [&] {
    const Layout l = walk(plan, all);
    for (const auto& [in_file, offset] : l.places) EXPECT_FALSE(in_file);
    return l.needed;
  }();
  EXPECT_EQ(most.file_bytes, 0U);
  PageStore exact(plan, {most.host_bytes, 0, {}});
  EXPECT_EQ(walk(plan, exact).needed.host_bytes, most.host_bytes);
  PageStore half(plan, {most.host_bytes / 2, PageStore::kUnlimited, {}});
  const Layout l = walk(plan, half);
  EXPECT_LE(l.needed.host_bytes, most.host_bytes / 2);
  EXPECT_GT(l.needed.file_bytes, 0U);
}

// 1000 bytes a second on the link, 100 on the disk.
Card slow_card(DeviceKind kind) {
  Card card;
  card.kind = kind;
  card.flops_per_second = 1;
  card.bytes_per_second = 1;
  card.link_bytes_per_second = 1000;
  card.file_bytes_per_second = 100;
  return card;
}

TEST_F(PageStores, TheClockOfACardWaitsForCopies) {
  Runtime plan(Device::cuda(0).planned());
  plan.time_on(slow_card(DeviceKind::cuda));
  PageStore store(plan, {4096, 1 << 20, {}});
  const auto b = plan.memory().allocate(4000, Account::tape, "b");
  const auto host = store.write(b);  // done at 4 s
  const auto file = store.write(b);  // on the link until 8 s, on the disk until 40 s
  EXPECT_FALSE(host->in_file());
  EXPECT_TRUE(file->in_file());
  EXPECT_EQ(plan.clock()->now(), 0);
  plan.clock()->compute({3, 0});
  store.finish_write(*host);
  EXPECT_DOUBLE_EQ(plan.clock()->now(), 4);
  EXPECT_DOUBLE_EQ(store.counters().seconds_waited, 1);
  store.finish_write(*file);
  EXPECT_DOUBLE_EQ(plan.clock()->now(), 40);
  store.read(*file, b);  // done at 80 s
  plan.clock()->compute({50, 0});
  store.finish_read(*file);
  EXPECT_DOUBLE_EQ(plan.clock()->now(), 90) << "nothing to wait for";
  EXPECT_DOUBLE_EQ(store.counters().seconds_waited, 37);
  EXPECT_DOUBLE_EQ(plan.clock()->busy(Link::to_host), 8);
  EXPECT_DOUBLE_EQ(plan.clock()->busy(Link::to_file), 40);
  EXPECT_DOUBLE_EQ(plan.clock()->busy(Link::from_host), 4);
  EXPECT_DOUBLE_EQ(plan.clock()->busy(Link::from_file), 40);
}

TEST_F(PageStores, TheTrafficTellsTapesFromWeights) {
  Runtime plan(Device::cpu().planned());
  plan.time_on(slow_card(DeviceKind::cpu));
  PageStore store(plan, {0, 1 << 20, {}});
  const auto tape = plan.memory().allocate(500, Account::tape, "tape");
  const auto weights = plan.memory().allocate(300, Account::weights, "weights");
  const auto streamed = plan.memory().allocate(300, Account::streamed, "weights again");
  const auto kept = store.write(weights);  // while a model is loaded: no traffic of a step
  store.finish_write(*kept);               // at 3 s
  plan.traffic() = {};
  const auto page = store.write(tape);
  store.finish_write(*page);    // 5 s
  store.read(*kept, streamed);  // from here on the disk reads: 3 s
  store.read(*page, tape);      // and 5 more
  store.finish_read(*kept);
  store.finish_read(*page);
  EXPECT_EQ(plan.traffic().paged_out, 500U);
  EXPECT_EQ(plan.traffic().paged_in, 500U);
  EXPECT_EQ(plan.traffic().moved(), 1000U);
  EXPECT_EQ(plan.traffic().streamed, 300U);
  EXPECT_DOUBLE_EQ(plan.traffic().waited_for_weights, 3);
  EXPECT_DOUBLE_EQ(plan.traffic().waited_for_pages, 10);
  EXPECT_DOUBLE_EQ(store.counters().seconds_waited, 16);
}

TEST_F(PageStores, TheClockOfACpuKnowsTheDiskAlone) {
  Runtime plan(Device::cpu().planned());
  plan.time_on(slow_card(DeviceKind::cpu));
  PageStore store(plan, {0, 1 << 20, {}});
  const auto b = plan.memory().allocate(500, Account::tape, "b");
  const auto page = store.write(b);
  store.finish_write(*page);
  EXPECT_DOUBLE_EQ(plan.clock()->now(), 5);
  EXPECT_DOUBLE_EQ(plan.clock()->busy(Link::to_host), 0);
}

}  // namespace
}  // namespace rankine
