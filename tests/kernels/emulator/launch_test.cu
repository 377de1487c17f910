// Launches: limits of the driver, order of threads by seed, and what a report says.
#include <emulator_intrinsics.h>

#include <algorithm>
#include <set>
#include <thread>

#include "tests/kernels/emulator/support.h"

namespace rankine {
namespace {
using namespace testing_support;

cudaError_t error_of(dim3 grid, dim3 block, std::size_t shared = 0, const void* function = nullptr) {
  DeviceArray<int> calls(std::vector<int>{0});
  int* n = calls.data();
  emulator::launch({"limits", function, __FILE__, __LINE__, grid, block, shared}, [=] { atomicAdd(n, 1); });
  const cudaError_t error = cudaPeekAtLastError();
  EXPECT_EQ(cudaGetLastError(), error);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);  // reading it clears it
  EXPECT_EQ(*n != 0, error == cudaSuccess);
  return error;
}
__global__ void with_much_shared_memory() {}

TEST(EmulatorLaunch, Limits) {
  EXPECT_EQ(error_of(1, dim3(8, 8, 16)), cudaSuccess);
  EXPECT_EQ(error_of(1, 1025), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_of(1, dim3(32, 33)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_of(1, dim3(1, 1, 65)), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_of(1, 0), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_of(dim3(1, 65536), 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_of(dim3(1, 1, 65536), 1), cudaErrorInvalidConfiguration);
  EXPECT_EQ(error_of(0, 1), cudaErrorInvalidConfiguration);
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidConfiguration), "invalid configuration argument");
}

TEST(EmulatorLaunch, SharedMemoryBeyondTheLimitMustBeGranted) {
  const auto* kernel = reinterpret_cast<const void*>(&with_much_shared_memory);
  EXPECT_EQ(error_of(1, 32, 48 * 1024, kernel), cudaSuccess);
  EXPECT_EQ(error_of(1, 32, 48 * 1024 + 1, kernel), cudaErrorInvalidValue);
  EXPECT_EQ(
      cudaFuncSetAttribute(with_much_shared_memory, cudaFuncAttributeMaxDynamicSharedMemorySize, 64 * 1024),
      cudaSuccess);
  EXPECT_EQ(error_of(1, 32, 64 * 1024, kernel), cudaSuccess);
  EXPECT_EQ(error_of(1, 32, 64 * 1024 + 1, kernel), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(with_much_shared_memory, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 99 * 1024 + 1),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
}

TEST(EmulatorLaunch, DynamicSharedMemoryIsAligned) {
  run("aligned", {1, 1, 100},
      [] { EXPECT_EQ(reinterpret_cast<std::uintptr_t>(emulator::dynamic_shared()) % 128, 0U); });
}

// The order in which blocks and threads come to a point.
std::vector<unsigned> arrivals(std::uint64_t seed) {
  DeviceArray<unsigned> order(std::vector<unsigned>(5 * 96, 0)), count(std::vector<unsigned>{0});
  unsigned *o = order.data(), *n = count.data();
  emulator::set_seed(seed);
  run("arrivals", {5, 96}, [=] { o[atomicAdd(n, 1U)] = blockIdx.x * 96 + threadIdx.x; });
  emulator::set_seed(1);
  return order.values();
}

TEST(EmulatorLaunch, TheSeedDecidesTheOrder) {
  std::set<std::vector<unsigned>> orders;
  for (const std::uint64_t seed : kSeeds) {
    const auto order = arrivals(seed);
    EXPECT_EQ(order, arrivals(seed)) << "the same seed gives the same order";
    EXPECT_EQ(std::set<unsigned>(order.begin(), order.end()).size(), 5 * 96U) << "every thread runs once";
    orders.insert(order);
  }
  EXPECT_EQ(orders.size(), std::size(kSeeds));
  const auto natural = arrivals(0);
  EXPECT_TRUE(std::is_sorted(natural.begin(), natural.end()));
}

TEST(EmulatorLaunch, AFaultSaysWhereAndWhatWasLaunched) {
  emulator::set_seed(3);
  const std::string fault = fault_of([] {
    run("my_kernel", {dim3(1, 2), dim3(4, 8)}, [] {
      if (blockIdx.y == 1 && threadIdx.x == 3 && threadIdx.y == 7) __trap();
    });  // launch: here
  });
  emulator::set_seed(1);
  for (const char* part : {"block (0,1,0) thread (3,7,0)", "my_kernel", "grid (1,2,1) block (4,8,1)",
                           "seed 3", "launch_test.cu:"})
    EXPECT_NE(fault.find(part), std::string::npos) << part << " in " << fault;
}

// After a fault the same thread can launch again, and the card's state is an error as on hardware.
TEST(EmulatorLaunch, GoesOnAfterAFault) {
  DeviceArray<int> out(64);
  int* o = out.data();
  EXPECT_THROW(run("bad", {1, 64},
                   [] {
                     if (threadIdx.x < 7) __syncthreads();
                     if (threadIdx.x == 9) __syncwarp();
                   }),
               emulator::Fault);
  EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
  expect_none([&] {
    run("good", {1, 64}, [=] {
      __syncthreads();
      o[threadIdx.x] = static_cast<int>(threadIdx.x);
    });
  });
  EXPECT_EQ(out.values()[63], 63);
}

TEST(EmulatorLaunch, MistakesOfTheHost) {
  EXPECT_THROW(emulator::dynamic_shared(), std::logic_error);
  EXPECT_THROW(emulator::cp_async_commit(), std::logic_error);
  const std::string fault = fault_of([] { run("outer", {1, 1}, [] { run("inner", {1, 1}, [] {}); }); });
  EXPECT_NE(fault.find("launched from inside a kernel"), std::string::npos) << fault;
}

TEST(EmulatorLaunch, SeveralHostThreads) {
  std::vector<std::thread> threads;
  std::vector<int> sums(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&sums, t] {
      DeviceArray<int> out(1);
      int* o = out.data();
      for (int i = 0; i < 10; ++i) {
        run("sum", {1, 64}, [=] {
          __shared__ int part[64];
          part[threadIdx.x] = t;
          __syncthreads();
          if (threadIdx.x != 0) return;
          int sum = 0;
          for (const int x : part) sum += x;
          *o = sum;
        });
      }
      sums[static_cast<std::size_t>(t)] = out.values()[0];
    });
  }
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(sums, (std::vector<int>{0, 64, 128, 192}));
}

}  // namespace
}  // namespace rankine
