// Atomics: each returns what was there and leaves what its name says.
#include "tests/kernels/emulator/support.h"

namespace rankine {
namespace {
using namespace testing_support;

// The result of `operation` on one number that starts as `start`.
template <class T, class Operation>
T left_by(T start, Operation operation) {
  DeviceArray<T> x(std::vector<T>{start, T{}});
  T* p = x.data();
  run("atomic", {1, 1}, [=] { p[1] = operation(p); });
  EXPECT_EQ(x.values()[1], start);
  return x.values()[0];
}

template <class T>
class EmulatorAtomics : public ::testing::Test {};
using Types = ::testing::Types<int, unsigned, unsigned long long>;
TYPED_TEST_SUITE(EmulatorAtomics, Types);

TYPED_TEST(EmulatorAtomics, Operations) {
  using T = TypeParam;
  EXPECT_EQ(left_by(T{12}, [](T* p) { return atomicAdd(p, T{5}); }), T{17});
  EXPECT_EQ(left_by(T{12}, [](T* p) { return atomicMax(p, T{5}); }), T{12});
  EXPECT_EQ(left_by(T{12}, [](T* p) { return atomicMin(p, T{5}); }), T{5});
  EXPECT_EQ(left_by(T{12}, [](T* p) { return atomicExch(p, T{5}); }), T{5});
  EXPECT_EQ(left_by(T{12}, [](T* p) { return atomicAnd(p, T{5}); }), T{4});
  EXPECT_EQ(left_by(T{12}, [](T* p) { return atomicOr(p, T{5}); }), T{13});
  EXPECT_EQ(left_by(T{12}, [](T* p) { return atomicXor(p, T{5}); }), T{9});
  EXPECT_EQ(left_by(T{12}, [](T* p) { return atomicCAS(p, T{12}, T{5}); }), T{5});
  EXPECT_EQ(left_by(T{12}, [](T* p) { return atomicCAS(p, T{11}, T{5}); }), T{12});
}
TEST(EmulatorAtomics, OfOneType) {
  EXPECT_EQ(left_by(1.5F, [](float* p) { return atomicAdd(p, 2.0F); }), 3.5F);
  EXPECT_EQ(left_by(1.5F, [](float* p) { return atomicExch(p, 2.0F); }), 2.0F);
  EXPECT_EQ(left_by(1.5, [](double* p) { return atomicAdd(p, 2.0); }), 3.5);
  EXPECT_EQ(left_by(2147483647, [](int* p) { return atomicAdd(p, 1); }), -2147483647 - 1);  // wraps
  EXPECT_EQ(left_by(3, [](int* p) { return atomicSub(p, 5); }), -2);
  EXPECT_EQ(left_by(3U, [](unsigned* p) { return atomicInc(p, 3U); }), 0U);
  EXPECT_EQ(left_by(0U, [](unsigned* p) { return atomicDec(p, 7U); }), 7U);
}

// Every thread of every block takes a ticket: all are different.
TEST(EmulatorAtomics, Tickets) {
  DeviceArray<unsigned> next(std::vector<unsigned>{0}), taken(std::vector<unsigned>(6 * 64, 0));
  unsigned *n = next.data(), *t = taken.data();
  expect_none([&] {
    *n = 0;
    run("tickets", {6, 64}, [=] { atomicAdd(t + atomicAdd(n, 1U), 1U); });
  });
  for (const unsigned count : taken.values()) EXPECT_EQ(count, std::size(kSeeds));
}

TEST(EmulatorAtomics, OnSharedMemory) {
  DeviceArray<int> out(4);
  int* o = out.data();
  expect_none([&] {
    run("histogram", {1, 256, 16}, [=] {
      auto* bins = static_cast<int*>(emulator::dynamic_shared());
      if (threadIdx.x < 4) bins[threadIdx.x] = 0;
      __syncthreads();
      atomicAdd(bins + threadIdx.x % 4, 1);
      __syncthreads();
      if (threadIdx.x < 4) o[threadIdx.x] = bins[threadIdx.x];
    });
  });
  EXPECT_EQ(out.values(), std::vector<int>(4, 64));
}

}  // namespace
}  // namespace rankine
