// Kernels that touch what is not theirs or not there yet, next to the same kernels without the mistake.
#include <emulator_intrinsics.h>

#include "tests/kernels/emulator/support.h"
#if defined(__clang__)
#include <sanitizer/asan_interface.h>
#endif

namespace rankine {
namespace {
using namespace testing_support;

__global__ void shift(int* out, const int* in, int by) {
  __shared__ int tile[64];
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = in[i];
  __syncthreads();
  const int* from = tile;  // UBSan would stop at an index of the array itself
  out[i] = from[i + by];   // shift: read
}

TEST(EmulatorCatches, OffByOneInASharedVariable) {
  DeviceArray<int> in(64), out(64);
  int *o = out.data(), *x = in.data();
  expect_none([&] { run("shift", {1, 64}, [=] { shift(o, x, 0); }); });
  RANKINE_REQUIRE_ACCESSES();
  expect_fault("out of bounds", {"shift: read"}, [&] { run("shift", {1, 64}, [=] { shift(o, x, 1); }); });
}

__global__ void fill_dynamic(int n) {
  auto* tile = static_cast<short*>(emulator::dynamic_shared());
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x))
    tile[i] = 1;  // fill: write
}

TEST(EmulatorCatches, OffByOneInDynamicSharedMemory) {
  expect_none([] { run("fill", {2, 32, 202}, [] { fill_dynamic(101); }); });
  RANKINE_REQUIRE_ACCESSES();
  expect_fault("out of bounds", {"fill: write"}, [] {
    run("fill", {2, 32, 202}, [] { fill_dynamic(102); });
  });
  expect_fault("out of bounds", {"fill: write"}, [] { run("fill", {2, 32, 0}, [] { fill_dynamic(1); }); });
}

__global__ void copy_from(float* out, const float* in, int first, int n) {
  const int i = static_cast<int>(threadIdx.x);
  if (i < n) out[i] = in[first + i];  // copy: both
}

TEST(EmulatorCatches, OffByOneInGlobalMemory) {
  DeviceArray<float> in(33), out(33);
  float *o = out.data(), *x = in.data();
  expect_none([&] { run("copy", {1, 64}, [=] { copy_from(o, x, 0, 33); }); });
  RANKINE_REQUIRE_ACCESSES();
  expect_fault("out of bounds: read", {"copy: both"}, [&] {
    run("copy", {1, 64}, [=] { copy_from(o, x, 1, 33); });
  });
  expect_fault("out of bounds: read", {"copy: both"}, [&] {
    run("copy", {1, 64}, [=] { copy_from(o, x, -1, 33); });
  });
  DeviceArray<float> larger(34);
  x = larger.data();
  expect_fault("out of bounds: write", {"copy: both"}, [&] {
    run("copy", {1, 64}, [=] { copy_from(o, x, 0, 34); });
  });
}

TEST(EmulatorCatches, MemoryThatHasBeenFreed) {
  RANKINE_REQUIRE_ACCESSES();
  DeviceArray<float> out(32);
  float *o = out.data(), *x = nullptr;
  {
    DeviceArray<float> in(32);
    x = in.data();
  }
  expect_fault("out of bounds: read", {"copy: both"}, [&] {
    run("copy", {1, 32}, [=] { copy_from(o, x, 0, 32); });
  });
}

TEST(EmulatorCatches, MemoryOfTheHost) {
  RANKINE_REQUIRE_ACCESSES();
  DeviceArray<float> device(32);
  std::vector<float> host(32, 1);
  float *d = device.data(), *h = host.data();
  expect_fault("out of bounds: read", {"copy: both"}, [&] {
    run("copy", {1, 32}, [=] { copy_from(d, h, 0, 32); });
  });
  float local[32] = {};
  h = local;
  expect_fault("host memory", {"copy: both"}, [&] { run("copy", {1, 32}, [=] { copy_from(h, d, 0, 32); }); });
  ASSERT_EQ(cudaHostRegister(host.data(), 32 * sizeof(float), cudaHostRegisterDefault), cudaSuccess);
  h = host.data();
  expect_none([&] { run("copy", {1, 32}, [=] { copy_from(d, h, 0, 32); }); });
  ASSERT_EQ(cudaHostUnregister(host.data()), cudaSuccess);
}

#if defined(__clang__)
// An allocator that divides a large allocation says what is free by AddressSanitizer's own means.
TEST(EmulatorCatches, FreePartsOfAnArena) {
  RANKINE_REQUIRE_ACCESSES();
#if __has_feature(address_sanitizer)
  DeviceArray<float> arena(256), out(33);
  float *o = out.data(), *x = arena.data();
  __asan_poison_memory_region(x + 32, 128);
  expect_none([&] { run("copy", {1, 64}, [=] { copy_from(o, x, 0, 32); }); });
  expect_fault("out of bounds: read", {"copy: both"}, [&] {
    run("copy", {1, 64}, [=] { copy_from(o, x, 0, 33); });
  });
  __asan_unpoison_memory_region(x + 32, 128);
#endif
}
#endif

// Sums what the threads below `n` have put down; what the others should have is not there.
__global__ void sum_all(float* out, int n, bool dynamic) {
  __shared__ float variable[32];
  float* part = dynamic ? static_cast<float*>(emulator::dynamic_shared()) : variable;
  const int i = static_cast<int>(threadIdx.x);
  // The first block fills everything: later ones must not live on what it left.
  if (i < n || blockIdx.x == 0) part[i] = 1;
  __syncthreads();
  if (i != 0) return;
  float sum = 0;
  for (int k = 0; k < 32; ++k) sum += part[k];  // sum: read
  out[blockIdx.x] = sum;
}

TEST(EmulatorCatches, UninitialisedSharedMemory) {
  DeviceArray<float> out(2);
  float* o = out.data();
  expect_none([&] { run("sum", {2, 32}, [=] { sum_all(o, 32, false); }); });
  expect_none([&] { run("sum", {2, 32, 128}, [=] { sum_all(o, 32, true); }); });
  RANKINE_REQUIRE_ACCESSES();
  const std::vector<std::string_view> line{"sum: read"};
  expect_fault("uninitialised read", line, [&] { run("sum", {2, 32}, [=] { sum_all(o, 31, false); }); });
  expect_fault("uninitialised read", line, [&] { run("sum", {2, 32, 128}, [=] { sum_all(o, 31, true); }); });
}

// Every build fills shared memory with NaNs before each block.
TEST(Emulator, UninitialisedSharedMemoryIsGarbage) {
  if (accesses_are_seen()) GTEST_SKIP() << "reported as an uninitialised read in this build";
  DeviceArray<float> out(2);
  float* o = out.data();
  emulator::set_seed(0);
  run("sum", {2, 32}, [=] { sum_all(o, 31, false); });
  EXPECT_EQ(out.values()[0], 32);
  EXPECT_TRUE(std::isnan(out.values()[1]));
  run("sum", {2, 32, 128}, [=] { sum_all(o, 31, true); });
  EXPECT_EQ(out.values()[0], 32);
  EXPECT_TRUE(std::isnan(out.values()[1]));
  emulator::set_seed(1);
}

// Vectors of numbers are seen as loads and stores, whatever the compiler makes of their copies.
__global__ void copy_vectors(uint4* out, const uint4* in, int shift) {
  __shared__ uint4 tile[32];
  const unsigned i = threadIdx.x;
  tile[i] = in[i];
  __syncthreads();
  out[i] = *reinterpret_cast<const uint4*>(reinterpret_cast<const char*>(tile + i) + shift);  // vectors: read
}

TEST(EmulatorCatches, VectorsOutsideAndMisaligned) {
  DeviceArray<uint4> in(std::vector<uint4>(32, make_uint4(1, 2, 3, 4))), out(32);
  uint4 *o = out.data(), *x = in.data();
  expect_none([&] { run("vectors", {1, 32}, [=] { copy_vectors(o, x, 0); }); });
  EXPECT_EQ(out.values()[31].w, 4U);
  RANKINE_REQUIRE_ACCESSES();
  expect_fault("out of bounds", {"vectors: read"}, [&] {
    run("vectors", {1, 32}, [=] { copy_vectors(o, x, 16); });
  });
}

// Longer structs and fills become calls of memcpy and memset, which are seen too.
struct Record {
  float values[6];
};
__global__ void copy_records(Record* out, const Record* in, int shift) {
  __shared__ Record table[32];
  __shared__ int zeros[32][32];
  const int i = static_cast<int>(threadIdx.x);
  for (int k = 0; k < 32; ++k) zeros[i][k] = 0;
  table[i] = in[i + shift];  // records: copy
  __syncthreads();
  out[i] = table[31 - i];
  out[i].values[0] += static_cast<float>(zeros[31 - i][i]);
}

TEST(EmulatorCatches, StructsOutsideOfTheirArray) {
  DeviceArray<Record> in(std::vector<Record>(32, Record{{1, 2, 3, 4, 5, 6}})), out(32);
  Record *o = out.data(), *x = in.data();
  expect_none([&] { run("records", {1, 32}, [=] { copy_records(o, x, 0); }); });
  EXPECT_EQ(out.values()[31].values[5], 6);
  RANKINE_REQUIRE_ACCESSES();
  expect_fault("out of bounds: read", {"records: copy"}, [&] {
    run("records", {1, 32}, [=] { copy_records(o, x, 1); });
  });
}

__global__ void misaligned_ldmatrix() {
  __shared__ __align__(16) char tile[1024];
  std::uint32_t r[1];
  emulator::ldmatrix(r, 1, tile + 2, false);  // misaligned: ldmatrix
}
__global__ void misaligned_copy(const char* in) {
  __shared__ __align__(16) char tile[1024];
  emulator::cp_async(tile, in + 4, 8, 8);  // misaligned: cp.async
}
__global__ void ldmatrix_of_global(const char* in) {
  std::uint32_t r[1];
  emulator::ldmatrix(r, 1, in, false);  // not shared: ldmatrix
}

TEST(EmulatorCatches, MisusedInstructions) {
  DeviceArray<char> in(64);
  const char* x = in.data();
  expect_fault("misaligned", {"misaligned: ldmatrix"}, [] {
    run("m", {1, 32}, [] { misaligned_ldmatrix(); });
  });
  expect_fault("misaligned", {"misaligned: cp.async"}, [&] {
    run("m", {1, 32}, [=] { misaligned_copy(x); });
  });
  expect_fault("not shared memory", {"not shared: ldmatrix"}, [&] {
    run("m", {1, 32}, [=] { ldmatrix_of_global(x); });
  });
}

}  // namespace
}  // namespace rankine
