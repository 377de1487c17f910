// Kernels that lack a barrier, a wait or a lane, next to the same kernels without the mistake.
#include <cuda_fp16.h>
#include <emulator_intrinsics.h>

#include "tests/kernels/emulator/support.h"

namespace rankine {
namespace {
using namespace testing_support;

// Rotates a block's values by one through shared memory, twice.
template <bool kRight>
__global__ void rotate(float* out, const float* in) {
  __shared__ float tile[128];
  const unsigned i = threadIdx.x, next = (i + 1) % blockDim.x;
  tile[i] = in[i];
  __syncthreads();
  const float x = tile[next];  // rotate: read
  if constexpr (kRight) __syncthreads();
  tile[i] = x;  // rotate: write
  __syncthreads();
  out[i] = tile[next];
}

TEST(EmulatorCatches, MissingSyncthreads) {
  DeviceArray<float> in(std::vector<float>(128, 1)), out(128);
  float *o = out.data(), *x = in.data();
  expect_none([&] { run("rotate", {1, 128}, [=] { rotate<true>(o, x); }); });
  RANKINE_REQUIRE_ACCESSES();
  expect_fault("race", {"rotate: read", "rotate: write"}, [&] {
    run("rotate", {1, 128}, [=] { rotate<false>(o, x); });
  });
}

// A tile that is read before every thread has filled its part.
template <bool kRight>
__global__ void reverse(int* out, const int* in) {
  __shared__ int tile[64];
  const unsigned i = threadIdx.x;
  tile[i] = 0;
  __syncthreads();
  tile[i] = in[i];  // reverse: write
  if constexpr (kRight) __syncthreads();
  out[i] = tile[63 - i];  // reverse: read
}

TEST(EmulatorCatches, ReadBeforeTheBarrier) {
  DeviceArray<int> in(std::vector<int>(64, 3)), out(64);
  int *o = out.data(), *x = in.data();
  expect_none([&] { run("reverse", {1, 64}, [=] { reverse<true>(o, x); }); });
  RANKINE_REQUIRE_ACCESSES();
  expect_fault("race", {"reverse: read", "reverse: write"}, [&] {
    run("reverse", {1, 64}, [=] { reverse<false>(o, x); });
  });
}

// Lanes of one warp exchange through shared memory. A shuffle brings them together but orders no memory.
enum class Between { nothing, shuffle, syncwarp };
template <Between kBetween>
__global__ void exchange(int* out) {
  __shared__ int box[4][32];
  const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  box[warp][lane] = -1;
  __syncwarp();
  box[warp][lane] = static_cast<int>(threadIdx.x);  // exchange: write
  if constexpr (kBetween == Between::shuffle) out[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFU, 1, 1);
  if constexpr (kBetween == Between::syncwarp) __syncwarp();
  out[threadIdx.x] = box[warp][lane ^ 1U];  // exchange: read
}

TEST(EmulatorCatches, MissingSyncwarp) {
  DeviceArray<int> out(128);
  int* o = out.data();
  expect_none([&] { run("exchange", {1, 128}, [=] { exchange<Between::syncwarp>(o); }); });
  RANKINE_REQUIRE_ACCESSES();
  const std::vector<std::string_view> lines{"exchange: write", "exchange: read"};
  expect_fault("race", lines, [&] { run("exchange", {1, 128}, [=] { exchange<Between::nothing>(o); }); });
  expect_fault("race", lines, [&] { run("exchange", {1, 128}, [=] { exchange<Between::shuffle>(o); }); });
}

// Halves of a warp meet with masks of their own: ordered inside a half, not across.
template <bool kRight>
__global__ void halves_of_a_warp(int* out) {
  __shared__ int box[32];
  const unsigned lane = threadIdx.x, mask = lane < 16 ? 0x0000FFFFU : 0xFFFF0000U;
  box[lane] = static_cast<int>(lane);  // halves: write
  __syncwarp(mask);
  out[lane] = kRight ? box[lane ^ 1U] : box[31 - lane];  // halves: read
}

TEST(EmulatorCatches, SyncwarpWithTooSmallAMask) {
  DeviceArray<int> out(32);
  int* o = out.data();
  expect_none([&] { run("halves", {1, 32}, [=] { halves_of_a_warp<true>(o); }); });
  RANKINE_REQUIRE_ACCESSES();
  for (const std::uint64_t seed : kSeeds) {  // whether the other half has written yet depends on the order
    emulator::set_seed(seed);
    const std::string fault = fault_of([&] { run("halves", {1, 32}, [=] { halves_of_a_warp<false>(o); }); });
    EXPECT_TRUE(fault.starts_with("race") || fault.starts_with("uninitialised read")) << fault;
    EXPECT_NE(fault.find(line_marked("halves: read")), std::string::npos) << fault;
  }
}

// Every block adds to one number.
enum class Add { plain, atomic };
template <Add kAdd>
__global__ void count_blocks(int* out) {
  if (threadIdx.x != 0) return;
  if constexpr (kAdd == Add::atomic)
    atomicAdd(out, 1);
  else
    *out += 1;  // count: plain
}

TEST(EmulatorCatches, RaceBetweenBlocks) {
  DeviceArray<int> out(std::vector<int>{0});
  int* o = out.data();
  expect_none([&] { run("count", {8, 32}, [=] { count_blocks<Add::atomic>(o); }); });
  EXPECT_EQ(out.values()[0], 8 * 8);  // blocks times seeds
  RANKINE_REQUIRE_ACCESSES();
  expect_fault("race", {"count: plain"}, [&] {
    run("count", {8, 32}, [=] { count_blocks<Add::plain>(o); });
  });
}

// A barrier orders a block's own accesses to global memory, not those of others.
__global__ void neighbours(int* data) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  data[i] = 1;  // neighbours: write
  __syncthreads();
  const unsigned other = (i + 1) % (gridDim.x * blockDim.x);
  data[64 + i] = data[other];  // neighbours: read
}

TEST(EmulatorCatches, ABarrierDoesNotOrderBlocks) {
  DeviceArray<int> data(128);
  int* d = data.data();
  expect_none([&] { run("neighbours", {1, 64}, [=] { neighbours(d); }); });
  RANKINE_REQUIRE_ACCESSES();
  expect_fault("race", {"neighbours: write", "neighbours: read"}, [&] {
    run("neighbours", {2, 32}, [=] { neighbours(d); });
  });
}

__global__ void count_then_set(int* out) {
  if (threadIdx.x == 0) *out = 0;           // set: plain
  if (threadIdx.x == 1) atomicAdd(out, 1);  // set: atomic
}

TEST(EmulatorCatches, AtomicAgainstPlainWrite) {
  RANKINE_REQUIRE_ACCESSES();
  DeviceArray<int> out(1);
  int* o = out.data();
  expect_fault("race", {"set: plain", "set: atomic"}, [&] {
    run("set", {1, 32}, [=] { count_then_set(o); });
  });
}

// Numbers smaller than a word, each with a thread of its own, are not a race; two threads on one are.
template <class T, bool kRight>
__global__ void small_numbers(T* out) {
  __shared__ T tile[64];
  const unsigned i = threadIdx.x;
  tile[kRight ? i : i / 2] = T(static_cast<float>(i));  // small: write
  if (kRight) out[i] = tile[i];
}
template <class T>
void expect_small_numbers_are_separate() {
  DeviceArray<T> out(64);
  T* o = out.data();
  expect_none([&] { run("small", {1, 64}, [=] { small_numbers<T, true>(o); }); });
  if (emulator::instrumented())
    expect_fault("race", {"small: write"}, [&] {
      run("small", {1, 64}, [=] { small_numbers<T, false>(o); });
    });
}
TEST(EmulatorCatches, RacesOfSmallNumbersExactly) {
  RANKINE_REQUIRE_ACCESSES();
  expect_small_numbers_are_separate<signed char>();
  expect_small_numbers_are_separate<short>();
  expect_small_numbers_are_separate<__half>();
}

// Two tiles, loaded ahead by cp.async.
template <int kPending, bool kBarrier>
__global__ void prefetch(float* out, const float* in) {
  __shared__ __align__(16) float tile[2][128];
  const unsigned i = threadIdx.x;
  for (int t = 0; t < 2; ++t) {
    for (unsigned k = 0; k < 4; ++k) tile[t][4 * i + k] = 0;
  }
  __syncthreads();
  for (int t = 0; t < 2; ++t) {
    emulator::cp_async(&tile[t][4 * i], in + 128 * t + 4 * i, 16, 16);  // prefetch: copy
    emulator::cp_async_commit();
  }
  emulator::cp_async_wait(kPending);
  if constexpr (kBarrier) __syncthreads();
  out[i] = tile[1][4 * ((i + 1) % 32)];  // prefetch: read
}

TEST(EmulatorCatches, MissingCpAsyncWait) {
  DeviceArray<float> in(std::vector<float>(256, 2)), out(32);
  float *o = out.data(), *x = in.data();
  expect_none([&] { run("prefetch", {1, 32}, [=] { prefetch<0, true>(o, x); }); });
  EXPECT_EQ(out.values(), std::vector<float>(32, 2));
  RANKINE_REQUIRE_ACCESSES();
  for (const int pending : {1, 2}) {
    expect_fault("stale read", {"prefetch: read", "prefetch: copy"}, [&] {
      run("prefetch", {1, 32}, [=] { pending == 1 ? prefetch<1, true>(o, x) : prefetch<2, true>(o, x); });
    });
  }
}

// The wait is for the thread's own copies: others need a barrier after it.
TEST(EmulatorCatches, MissingBarrierAfterCpAsyncWait) {
  RANKINE_REQUIRE_ACCESSES();
  DeviceArray<float> in(std::vector<float>(256, 2)), out(32);
  float *o = out.data(), *x = in.data();
  expect_fault("race", {"prefetch: read", "prefetch: copy"}, [&] {
    run("prefetch", {1, 32}, [=] { prefetch<0, false>(o, x); });
  });
}

// Without instrumentation the copy that has not landed shows as a NaN.
TEST(Emulator, ACopyThatHasNotLandedIsGarbage) {
  if (accesses_are_seen()) GTEST_SKIP() << "reported as a stale read in this build";
  DeviceArray<float> in(std::vector<float>(256, 2)), out(32);
  float *o = out.data(), *x = in.data();
  run("prefetch", {1, 32}, [=] { prefetch<1, true>(o, x); });
  for (const float y : out.values()) EXPECT_TRUE(y != y);
}

}  // namespace
}  // namespace rankine
