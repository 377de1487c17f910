// Barriers, votes and shuffles against their meaning, and what is reported when threads cannot meet.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "tests/kernels/emulator/support.h"

namespace rankine {
namespace {
using namespace testing_support;
constexpr unsigned kAll = 0xFFFFFFFFU;

TEST(Emulator, ThreadsKnowTheirPlace) {
  DeviceArray<unsigned> out(std::size_t{2} * 3 * 2 * 4 * 2 * 5);
  unsigned* o = out.data();
  run("place", {dim3(2, 3, 2), dim3(4, 2, 5)}, [=] {
    const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    o[block * 40 + thread] = block * 1000 + thread;
  });
  const auto got = out.values();
  for (unsigned i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], i / 40 * 1000 + i % 40);
}

TEST(Emulator, BarriersCountPredicates) {
  DeviceArray<int> out(3 * 96);
  int* o = out.data();
  expect_none([&] {
    run("predicates", {1, 96}, [=] {
      const int i = static_cast<int>(threadIdx.x);
      o[i] = __syncthreads_count(i % 3 == 0);
      o[96 + i] = __syncthreads_or(i == 95) + 2 * __syncthreads_or(0);
      o[192 + i] = __syncthreads_and(i >= 0) + 2 * __syncthreads_and(i != 40);
    });
  });
  const auto got = out.values();
  for (int i = 0; i < 96; ++i) {
    EXPECT_EQ(got[i], 32);
    EXPECT_EQ(got[96 + i], 1);
    EXPECT_EQ(got[192 + i], 1);
  }
}

TEST(Emulator, Votes) {
  DeviceArray<unsigned> out(3 * 64);
  unsigned* o = out.data();
  expect_none([&] {
    run("votes", {1, 64}, [=] {
      const unsigned i = threadIdx.x, lane = i % 32;
      o[i] = __ballot_sync(kAll, lane % 5 == i / 32);
      o[64 + i] = static_cast<unsigned>(__any_sync(kAll, lane == 31 && i < 32));
      const unsigned mask = lane < 8 ? 0xFFU : ~0xFFU;
      o[128 + i] = static_cast<unsigned>(__all_sync(mask, lane < 8));
    });
  });
  const auto got = out.values();
  for (unsigned i = 0; i < 64; ++i) {
    unsigned ballot = 0;
    for (unsigned lane = 0; lane < 32; ++lane) ballot |= unsigned{lane % 5 == i / 32} << lane;
    EXPECT_EQ(got[i], ballot);
    EXPECT_EQ(got[64 + i], unsigned{i < 32});
    EXPECT_EQ(got[128 + i], unsigned{i % 32 < 8});
  }
}

// Lane l of a shuffle of the lanes' numbers, by the rules of the programming guide.
int expected_source(char kind, int lane, int by, int width) {
  const int begin = lane / width * width, end = begin + width;
  if (kind == 'i') return begin + by % width;
  if (kind == 'u') return lane - by >= begin ? lane - by : lane;
  if (kind == 'd') return lane + by < end ? lane + by : lane;
  return (lane ^ by) < end ? lane ^ by : lane;
}

template <class T>
void check_shuffles() {
  for (const int width : {32, 16, 8, 2}) {
    for (const int by : {0, 1, 3, 5, 16}) {
      DeviceArray<T> out(4 * 32);
      T* o = out.data();
      expect_none([&] {
        run("shuffles", {1, 32}, [=] {
          const int lane = static_cast<int>(threadIdx.x);
          const T x = T(static_cast<float>(lane + 1));
          o[lane] = __shfl_sync(kAll, x, by, width);
          o[32 + lane] = __shfl_up_sync(kAll, x, static_cast<unsigned>(by), width);
          o[64 + lane] = __shfl_down_sync(kAll, x, static_cast<unsigned>(by), width);
          o[96 + lane] = __shfl_xor_sync(kAll, x, by, width);
        });
      });
      const std::vector<T> got = out.values();
      for (int i = 0; i < 128; ++i)
        EXPECT_EQ(static_cast<float>(got[i]),
                  static_cast<float>(expected_source("iudx"[i / 32], i % 32, by, width) + 1))
            << "iudx"[i / 32] << " lane " << i % 32 << " by " << by << " width " << width;
    }
  }
}
TEST(Emulator, Shuffles) {
  check_shuffles<int>();
  check_shuffles<unsigned>();
  check_shuffles<float>();
  check_shuffles<double>();
  check_shuffles<long long>();
  check_shuffles<unsigned long long>();
  check_shuffles<__half>();
  check_shuffles<__nv_bfloat16>();
}
TEST(Emulator, ShufflesOfPairs) {
  DeviceArray<float2> out(32);
  DeviceArray<__half2> halves(32);
  float2* o = out.data();
  __half2* h = halves.data();
  run("pairs", {1, 32}, [=] {
    const auto lane = static_cast<float>(threadIdx.x);
    o[threadIdx.x] = __shfl_xor_sync(kAll, make_float2(lane, -lane), 7);
    h[threadIdx.x] = __shfl_xor_sync(kAll, __floats2half2_rn(lane, -lane), 7);
  });
  for (int lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(out.values()[lane].y, -static_cast<float>(lane ^ 7));
    EXPECT_EQ(__high2float(halves.values()[lane]), -static_cast<float>(lane ^ 7));
  }
}

// Threads that leave early are not waited for by barriers; sub-warps meet on their own.
TEST(Emulator, MeetingsOfThoseWhoAreThere) {
  DeviceArray<int> out(70);
  int* o = out.data();
  expect_none([&] {
    run("early", {1, 70}, [=] {
      const int i = static_cast<int>(threadIdx.x);
      if (i >= 60) return;
      __syncthreads();
      if (i / 32 == 1) __syncwarp();
      const unsigned mask = i % 32 < 16 ? 0xFFFFU : i < 32 ? 0xFFFF0000U : 0x0FFF0000U;
      int sum = i;
      if (i % 32 < 16) {
        for (int d = 8; d > 0; d /= 2) sum += __shfl_xor_sync(mask, sum, d, 16);
      } else {
        __syncwarp(mask);
      }
      o[i] = sum;
    });
  });
  EXPECT_EQ(out.values()[3], 120);
  EXPECT_EQ(out.values()[40], 16 * 32 + 120);
  EXPECT_EQ(out.values()[50], 50);
}

__global__ void some_wait() {
  if (threadIdx.x < 40) {
    __syncthreads();  // deadlock: block
  } else {
    __syncwarp();  // deadlock: warp
  }
}
__global__ void two_barriers() {
  if (threadIdx.x < 32) {
    __syncthreads();  // barriers: one
  } else {
    __syncthreads();  // barriers: other
  }
}

TEST(EmulatorCatches, DivergentBarriers) {
  expect_fault("deadlock", {"deadlock: block", "deadlock: warp"}, [] {
    run("wait", {1, 64}, [] { some_wait(); });
  });
  expect_fault("divergent barrier", {"barriers: one", "barriers: other"}, [] {
    run("wait", {1, 64}, [] { two_barriers(); });
  });
}

enum class Missing { exited, elsewhere, not_in_block, not_in_mask, source };
template <Missing kMissing>
__global__ void missing_lane() {
  const int lane = static_cast<int>(threadIdx.x);
  int x = lane;
  if constexpr (kMissing == Missing::exited) {
    if (lane == 9) return;
    x += __shfl_xor_sync(kAll, x, 1);  // missing: exited
  } else if constexpr (kMissing == Missing::elsewhere) {
    if (lane != 9) x += __shfl_xor_sync(kAll, x, 1);              // missing: shuffle
    if (lane == 9) x = static_cast<int>(__ballot_sync(kAll, x));  // missing: ballot
  } else if constexpr (kMissing == Missing::not_in_block) {
    x += __shfl_xor_sync(kAll, x, 1);  // missing: block
  } else if constexpr (kMissing == Missing::not_in_mask) {
    x += __shfl_xor_sync(0xFFFFFFFEU, x, 2);  // missing: mask
  } else {
    if (lane < 16) x += __shfl_sync(0xFFFFU, x, 20);  // missing: source
  }
  __syncthreads();
}

TEST(EmulatorCatches, MissingLanes) {
  const auto launch = [](auto kernel, unsigned threads) { run("lanes", {1, threads}, kernel); };
  expect_fault("missing lane", {"missing: exited"},
               [&] { launch([] { missing_lane<Missing::exited>(); }, 32); });
  expect_fault("divergent warp", {"missing: shuffle", "missing: ballot"},
               [&] { launch([] { missing_lane<Missing::elsewhere>(); }, 32); });
  expect_fault("missing lane", {"missing: block"},
               [&] { launch([] { missing_lane<Missing::not_in_block>(); }, 24); });
  expect_fault("missing lane", {"missing: mask"},
               [&] { launch([] { missing_lane<Missing::not_in_mask>(); }, 32); });
  expect_fault("missing lane", {"missing: source"},
               [&] { launch([] { missing_lane<Missing::source>(); }, 32); });
}

// A lane that waits at a barrier for lanes that wait for it.
TEST(EmulatorCatches, LanesThatWaitForEachOther) {
  expect_fault("deadlock", {"each other: shuffle", "each other: barrier"}, [] {
    run("each other", {1, 32}, [] {
      if (threadIdx.x == 5) __syncthreads();             // each other: barrier
      if (threadIdx.x != 5) __shfl_sync(kAll, 1.0F, 0);  // each other: shuffle
    });
  });
}

TEST(EmulatorCatches, Traps) {
  expect_fault("__trap", {"trap: here"}, [] {
    run("trap", {4, 64}, [] {
      if (blockIdx.x == 2 && threadIdx.x == 33) __trap();  // trap: here
    });
  });
}

}  // namespace
}  // namespace rankine
