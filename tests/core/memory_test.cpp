#include "engine/core/memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <stdexcept>
#include <vector>

#include "engine/core/error.h"
#include "engine/core/philox.h"

namespace rankine {
namespace {

constexpr std::size_t kUnit = OffsetAllocator::kAlignment;

std::size_t rounded(std::size_t bytes) { return bytes == 0 ? kUnit : (bytes + kUnit - 1) / kUnit * kUnit; }

// What must hold of the held ranges after every call.
void check_ranges(const OffsetAllocator& a, const std::map<std::size_t, std::size_t>& held) {
  std::size_t end = 0, sum = 0;
  for (const auto& [offset, bytes] : held) {
    ASSERT_GE(offset, end) << "ranges overlap";
    ASSERT_EQ(offset % kUnit, 0U);
    end = offset + bytes;
    sum += bytes;
  }
  ASSERT_EQ(a.held(), sum);
  ASSERT_GE(a.high_water(), end);
}

TEST(OffsetAllocator, RandomSequencesKeepTheInvariants) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    HostRandom random({seed, purpose("allocator"), 0, 0});
    OffsetAllocator a;
    std::map<std::size_t, std::size_t> held;
    for (int step = 0; step < 600; ++step) {
      if (held.empty() || random.below(100) < 55) {
        const std::size_t bytes = random.below(20) == 0 ? 0 : random.below(3000);
        const std::size_t before = a.high_water(), expected_end = a.end_after(bytes);
        const std::size_t offset = a.allocate(bytes);
        ASSERT_TRUE(held.emplace(offset, rounded(bytes)).second);
        ASSERT_EQ(a.high_water(), std::max(before, expected_end));
      } else {
        auto it = std::next(held.begin(), random.below(static_cast<std::uint32_t>(held.size())));
        a.release(it->first);
        held.erase(it);
      }
      check_ranges(a, held);
    }
    while (!held.empty()) {
      a.release(held.begin()->first);
      held.erase(held.begin());
    }
    // Everything coalesced: the next block begins at zero, whatever its size.
    EXPECT_EQ(a.held(), 0U);
    EXPECT_EQ(a.end_after(1 << 20), 1U << 20);
    EXPECT_EQ(a.allocate(1 << 20), 0U);
  }
}

TEST(OffsetAllocator, NeighbouringHolesBecomeOne) {
  for (const std::vector<int>& order : {std::vector<int>{1, 2}, {2, 1}, {1, 3, 2}, {3, 2, 1}, {2, 3, 1}}) {
    OffsetAllocator a;
    std::vector<std::size_t> at;
    for (int i = 0; i < 5; ++i) at.push_back(a.allocate(kUnit));
    for (const int i : order) a.release(at[i]);
    EXPECT_EQ(a.allocate(order.size() * kUnit), at[1]) << "the holes were not joined";
    EXPECT_EQ(a.high_water(), 5 * kUnit);
  }
}

TEST(OffsetAllocator, TakesTheSmallestHoleThatFits) {
  OffsetAllocator a;
  const std::size_t large = a.allocate(4 * kUnit);
  a.allocate(kUnit);
  const std::size_t small = a.allocate(2 * kUnit);
  a.allocate(kUnit);
  a.release(large);
  a.release(small);
  EXPECT_EQ(a.allocate(2 * kUnit), small);
  EXPECT_EQ(a.allocate(kUnit), large);
}

TEST(OffsetAllocator, ReleasingTwiceIsAMisuse) {
  OffsetAllocator a;
  const std::size_t at = a.allocate(1);
  a.release(at);
  EXPECT_THROW(a.release(at), std::logic_error);
  EXPECT_THROW(a.release(12345), std::logic_error);
}

// The forecast is the program: the same calls reach the same peak on a plan device and for real.
TEST(Memory, PlanAndRealReachTheSameHighWater) {
  Memory real(Device::cpu()), plan(Device::cpu().planned());
  const auto run = [](Memory& memory) {
    HostRandom random({5, purpose("memory"), 0, 0});
    std::vector<std::shared_ptr<Block>> blocks;
    for (int step = 0; step < 500; ++step) {
      if (blocks.empty() || random.below(2)) {
        blocks.push_back(
            memory.allocate(random.below(100000), static_cast<Account>(random.below(kAccounts - 1)), "b"));
        if (blocks.back()->data()) std::memset(blocks.back()->data(), 1, blocks.back()->bytes());
      } else {
        blocks.erase(blocks.begin() + random.below(static_cast<std::uint32_t>(blocks.size())));
      }
    }
  };
  run(real);
  run(plan);
  EXPECT_GT(plan.high_water(), 0U);
  EXPECT_EQ(real.high_water(), plan.high_water());
  EXPECT_EQ(real.peak_held(), plan.peak_held());
  EXPECT_EQ(real.allocations(), plan.allocations());
  for (int i = 0; i < kAccounts; ++i) {
    EXPECT_EQ(real.at_peak(static_cast<Account>(i)), plan.at_peak(static_cast<Account>(i)));
  }
  EXPECT_EQ(real.held(), 0U);
  EXPECT_EQ(plan.held(), 0U);
}

TEST(Memory, BudgetIsExactAndTheMessageSaysWhatWasWanted) {
  Memory memory(Device::cpu(), 4096);
  const auto weights = memory.allocate(3000, Account::weights, "w");  // 3008 after rounding
  EXPECT_NO_THROW(memory.allocate(1088, Account::activations, "fits"));
  try {
    memory.allocate(1089, Account::workspace, "im2col");
    ADD_FAILURE() << "the budget was passed";
  } catch (const OutOfMemory& e) {
    const std::string message = e.what();
    EXPECT_NE(message.find("out of memory on cpu: \"im2col\" (workspace) needs 1.06 KiB"), std::string::npos)
        << message;
    EXPECT_NE(message.find("only 4.00 KiB may be used"), std::string::npos) << message;
    EXPECT_NE(message.find("weights"), std::string::npos) << message;
    EXPECT_NE(message.find("2.93 KiB"), std::string::npos) << message;
  }
  EXPECT_EQ(memory.held(Account::workspace), 0U);  // a refused allocation leaves no trace
  EXPECT_NO_THROW(memory.allocate(1088, Account::activations, "still fits"));
}

TEST(Memory, AccountsFollowTheirBlocksAndThePeak) {
  Memory memory(Device::cpu());
  auto weights = memory.allocate(640, Account::weights, "w");
  {
    const auto scratch = memory.allocate(1280, Account::workspace, "s");
    EXPECT_EQ(memory.held(), 1920U);
    EXPECT_EQ(memory.held(Account::workspace), 1280U);
  }
  EXPECT_EQ(memory.held(Account::workspace), 0U);
  EXPECT_EQ(memory.peak_held(), 1920U);
  EXPECT_EQ(memory.at_peak(Account::workspace), 1280U);
  memory.reset_peak();
  EXPECT_EQ(memory.peak_held(), 640U);
  EXPECT_EQ(memory.at_peak(Account::workspace), 0U);
  EXPECT_EQ(memory.high_water(), 640U);
}

TEST(Memory, BlocksOfAPlanHaveNoBytes) {
  Memory plan(Device::cpu().planned());
  const auto block = plan.allocate(std::size_t{1} << 45, Account::weights, "far more than the machine has");
  EXPECT_EQ(block->data(), nullptr);
  EXPECT_EQ(plan.held(), std::size_t{1} << 45);
}

// The same requests get the same offsets, whatever is held below; the plan does as the real one.
TEST(Memory, AFrameStartsEveryTimeAtItsBase) {
  const auto marks = [](Device device) {
    Memory memory(device, std::size_t{64} << 20);
    std::vector<std::size_t> seen;
    const auto work = [&] {
      Memory::Frame frame(memory);
      auto a = memory.allocate(1000, Account::activations, "a");
      auto b = memory.allocate(500, Account::workspace, "b");
      a.reset();
      const auto c = memory.allocate(100, Account::activations, "c");
      if (b->data()) seen.push_back(static_cast<std::size_t>(b->data() - c->data()));
      b.reset();
      seen.push_back(frame.base());
      seen.push_back(memory.held());
    };
    const auto kept = memory.allocate(3000, Account::weights, "kept");
    work();
    work();
    const auto passing = memory.allocate(Memory::Frame::kStep * 2, Account::data, "moves the base");
    work();
    seen.push_back(memory.high_water());
    return std::pair(seen, memory.held());
  };
  const auto [real, held] = marks(Device::cpu());
  const std::size_t step = Memory::Frame::kStep;
  const std::size_t first[] = {1024, step, OffsetAllocator::rounded(3000) + 128};
  ASSERT_EQ(real.size(), 10U);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(real[i], first[i]);
    EXPECT_EQ(real[3 + i], first[i]) << "again";
  }
  EXPECT_EQ(real[6], 1024U);
  EXPECT_EQ(real[7], 3 * step) << "above what is held";
  EXPECT_EQ(real[9], 3 * step + 1024 + 512);
  const auto [planned, planned_held] = marks(Device::cpu().planned());
  EXPECT_EQ(planned.back(), real.back());
  EXPECT_EQ(planned_held, held);
}

TEST(Memory, AFrameIsAloneAndKeepsNothing) {
  Memory memory(Device::cpu(), 1 << 20);
  std::shared_ptr<Block> kept;
  {
    Memory::Frame frame(memory);
    EXPECT_THROW(Memory::Frame second(memory), std::logic_error);
    kept = memory.allocate(10, Account::data, "kept");
    EXPECT_THROW(frame.close(), std::logic_error);
  }
  EXPECT_THROW(Memory::Frame again(memory), std::logic_error) << "its bytes are still held";
  kept.reset();
  Memory::Frame again(memory);
  EXPECT_THROW(memory.allocate((1 << 20) + 1, Account::data, "more than the budget"), OutOfMemory);
  again.close();
  EXPECT_EQ(memory.held(), 0U);
}

TEST(Memory, HumanBytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1.5 * 1024 * 1024 * 1024), "1.50 GiB");
  EXPECT_EQ(human_bytes(12.0 * 1024 * 1024), "12.0 MiB");
}

}  // namespace
}  // namespace rankine
