// mma, ldmatrix and cp.async against products and copies written out.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <emulator_intrinsics.h>

#include <cmath>
#include <random>

#include "tests/kernels/emulator/support.h"

namespace rankine {
namespace {
using namespace testing_support;
using emulator::MmaType;

template <class T>
std::vector<T> random_values(std::size_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<T> values(n);
  for (T& v : values) v = T(normal(generator));
  return values;
}

std::uint32_t pair_of(const void* p) {
  std::uint32_t bits;
  std::memcpy(&bits, p, 4);
  return bits;
}

// D = A (16,k) B (k,8) + C with fragments filled by the tables of the PTX ISA: for element i of a fragment
// its row and column in the matrix.
template <class T, int k>
__global__ void multiply(float* d, const T* a, const T* b, const float* c) {
  const int g = static_cast<int>(threadIdx.x) >> 2, t = static_cast<int>(threadIdx.x) & 3;
  T fa[k / 2], fb[k / 4];
  for (int i = 0; i < k / 2; ++i) {
    const int row = (i / 2) % 2 == 0 ? g : g + 8, column = 2 * t + (i & 1) + (i < 4 ? 0 : 8);
    fa[i] = a[row * k + column];
  }
  for (int i = 0; i < k / 4; ++i) fb[i] = b[(2 * t + (i & 1) + (i < 2 ? 0 : 8)) * 8 + g];
  float fc[4], fd[4];
  for (int i = 0; i < 4; ++i) fc[i] = c[(i < 2 ? g : g + 8) * 8 + 2 * t + (i & 1)];
  std::uint32_t ra[k / 4], rb[k / 8];
  std::memcpy(ra, fa, sizeof(ra));
  std::memcpy(rb, fb, sizeof(rb));
  constexpr MmaType type = std::is_same_v<T, __half> ? MmaType::f16 : MmaType::bf16;
  if constexpr (k == 16)
    emulator::mma_m16n8k16(fd, ra, rb, fc, type);
  else
    emulator::mma_m16n8k8(fd, ra, rb[0], fc, type);
  for (int i = 0; i < 4; ++i) d[(i < 2 ? g : g + 8) * 8 + 2 * t + (i & 1)] = fd[i];
}

template <class T, int k>
void check_product(unsigned seed) {
  const auto a = random_values<T>(16 * k, seed), b = random_values<T>(8 * k, seed + 1);
  const auto c = random_values<float>(16 * 8, seed + 2);
  DeviceArray<T> da(a), db(b);
  DeviceArray<float> dc(c), dd(16 * 8);
  float *pd = dd.data(), *pc = dc.data();
  T *pa = da.data(), *pb = db.data();
  run("multiply", {1, 32}, [=] { multiply<T, k>(pd, pa, pb, pc); });
  const auto d = dd.values();
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      double sum = c[row * 8 + column], size = std::fabs(sum);
      for (int i = 0; i < k; ++i) {
        const double product =
            double{static_cast<float>(a[row * k + i])} * static_cast<float>(b[i * 8 + column]);
        sum += product;
        size += std::fabs(product);
      }
      // k + 1 roundings of fp32 partial sums, each at most half a unit of at most `size`.
      EXPECT_NEAR(d[row * 8 + column], sum, (k + 1) * 0x1p-24 * size) << row << "," << column;
    }
  }
}
TEST(Emulator, MmaFragments) {
  for (unsigned seed = 0; seed < 5; ++seed) {
    check_product<__half, 16>(seed);
    check_product<__nv_bfloat16, 16>(seed);
    check_product<__half, 8>(seed);
    check_product<__nv_bfloat16, 8>(seed);
  }
}

// Each of A, B and D a unit matrix element: the layouts without any rounding, and infinities and subnormals.
TEST(Emulator, MmaOfSpecialValues) {
  for (const float x : {1.0F, -2.5F, 0x1p-24F, -0x1.8p-15F, INFINITY}) {
    std::vector<__half> a(16 * 16, __half(0.0F)), b(16 * 8, __half(0.0F));
    a[5 * 16 + 11] = __half(x);
    b[11 * 8 + 6] = __half(2.0F);
    DeviceArray<__half> da(a), db(b);
    DeviceArray<float> dc(std::vector<float>(128, 0)), dd(128);
    float *pd = dd.data(), *pc = dc.data();
    __half *pa = da.data(), *pb = db.data();
    run("multiply", {1, 32}, [=] { multiply<__half, 16>(pd, pa, pb, pc); });
    EXPECT_EQ(dd.values()[5 * 8 + 6], 2 * x);
    if (std::isfinite(x)) {
      EXPECT_EQ(dd.values()[5 * 8 + 5], 0);
    } else {  // infinity times zero
      EXPECT_TRUE(std::isnan(dd.values()[5 * 8 + 5]));
    }
  }
}

TEST(Emulator, MmaWithHalfSums) {
  const auto a = random_values<__half>(16 * 16, 1), b = random_values<__half>(16 * 8, 2);
  const auto c = random_values<__half>(16 * 8, 3);
  DeviceArray<__half> da(a), db(b), dc(c), dd(16 * 8);
  const __half *pa = da.data(), *pb = db.data(), *pc = dc.data();
  __half* pd = dd.data();
  run("half sums", {1, 32}, [=] {
    const int g = static_cast<int>(threadIdx.x) >> 2, t = 2 * (static_cast<int>(threadIdx.x) & 3);
    const std::uint32_t ra[4] = {pair_of(pa + g * 16 + t), pair_of(pa + (g + 8) * 16 + t),
                                 pair_of(pa + g * 16 + t + 8), pair_of(pa + (g + 8) * 16 + t + 8)};
    std::uint32_t rb[2];
    for (int i = 0; i < 2; ++i)
      rb[i] = pb[(t + 8 * i) * 8 + g].bits | std::uint32_t{pb[(t + 8 * i + 1) * 8 + g].bits} << 16;
    const std::uint32_t rc[2] = {pair_of(pc + g * 8 + t), pair_of(pc + (g + 8) * 8 + t)};
    std::uint32_t rd[2];
    emulator::mma_m16n8k16_f16acc(rd, ra, rb, rc);
    for (int i = 0; i < 2; ++i) {
      pd[(g + 8 * i) * 8 + t] = __ushort_as_half(static_cast<unsigned short>(rd[i]));
      pd[(g + 8 * i) * 8 + t + 1] = __ushort_as_half(static_cast<unsigned short>(rd[i] >> 16));
    }
  });
  const auto d = dd.values();
  for (int row = 0; row < 16; ++row) {
    for (int column = 0; column < 8; ++column) {
      double sum = static_cast<float>(c[row * 8 + column]);
      for (int i = 0; i < 16; ++i)
        sum += double{static_cast<float>(a[row * 16 + i])} * static_cast<float>(b[i * 8 + column]);
      // One rounding to fp16 (11 bits), and fp32 ones that do not show.
      EXPECT_NEAR(static_cast<float>(d[row * 8 + column]), sum, std::fabs(sum) * 0x1.01p-11 + 1e-5);
    }
  }
}

template <int kMatrices, bool kTrans>
void check_ldmatrix() {
  constexpr int kStride = 24;  // elements, so that rows are apart
  std::vector<unsigned short> values(32 * kStride);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<unsigned short>(i * 7);
  DeviceArray<unsigned short> in(values);
  DeviceArray<std::uint32_t> out(32 * kMatrices);
  const unsigned short* x = in.data();
  std::uint32_t* o = out.data();
  run("ldmatrix", {1, 32, values.size() * 2}, [=] {
    auto* tile = static_cast<unsigned short*>(emulator::dynamic_shared());
    const int lane = static_cast<int>(threadIdx.x);
    for (int i = lane; i < 32 * kStride; i += 32) tile[i] = x[i];
    __syncwarp();
    std::uint32_t r[kMatrices];
    emulator::ldmatrix(r, kMatrices, tile + lane * kStride, kTrans);
    for (int m = 0; m < kMatrices; ++m) o[lane * kMatrices + m] = r[m];
  });
  const auto got = out.values();
  for (int lane = 0; lane < 32; ++lane) {
    for (int m = 0; m < kMatrices; ++m) {
      const auto element = [&](int row, int column) {
        return std::uint32_t{values[static_cast<std::size_t>((8 * m + row) * kStride + column)]};
      };
      const int first = lane / 4, second = lane % 4 * 2;
      const std::uint32_t want = kTrans ? element(second, first) | element(second + 1, first) << 16
                                        : element(first, second) | element(first, second + 1) << 16;
      EXPECT_EQ(got[lane * kMatrices + m], want) << "lane " << lane << " matrix " << m;
    }
  }
}
TEST(Emulator, Ldmatrix) {
  check_ldmatrix<1, false>();
  check_ldmatrix<2, false>();
  check_ldmatrix<4, false>();
  check_ldmatrix<1, true>();
  check_ldmatrix<2, true>();
  check_ldmatrix<4, true>();
}

TEST(Emulator, CpAsyncFillsWithZeros) {
  std::vector<unsigned char> values(16);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<unsigned char>(i + 1);
  for (const int bytes : {4, 8, 16}) {
    for (int valid = 0; valid <= bytes; ++valid) {
      DeviceArray<unsigned char> in(values), out(16);
      const unsigned char* x = in.data();
      unsigned char* o = out.data();
      run("zeros", {1, 1, 16}, [=] {
        auto* tile = static_cast<unsigned char*>(emulator::dynamic_shared());
        emulator::cp_async(tile, valid ? x : nullptr, bytes, valid);  // without valid bytes nothing is read
        emulator::cp_async_commit();
        emulator::cp_async_wait(0);
        for (int i = 0; i < bytes; ++i) o[i] = tile[i];
      });
      const auto got = out.values();
      for (int i = 0; i < bytes; ++i) EXPECT_EQ(got[i], i < valid ? i + 1 : 0) << bytes << " " << valid;
    }
  }
}

// Groups land in order: at each wait exactly those that it covers.
TEST(Emulator, CpAsyncGroupsLandInOrder) {
  DeviceArray<int> in(std::vector<int>{1, 2, 3, 4}), out(6);
  const int* x = in.data();
  int* o = out.data();
  expect_none([&] {
    run("groups", {1, 1, 16}, [=] {
      auto* tile = static_cast<int*>(emulator::dynamic_shared());
      for (int i = 0; i < 4; ++i) {
        emulator::cp_async(tile + i, x + i, 4, 4);
        if (i < 3) emulator::cp_async_commit();  // the fourth is in no group yet
      }
      emulator::cp_async_wait(2);
      o[0] = tile[0];
      emulator::cp_async_wait(1);
      o[1] = tile[1];
      emulator::cp_async_commit();
      emulator::cp_async_wait(0);
      for (int i = 2; i < 4; ++i) o[i] = tile[i];
    });
  });
  EXPECT_EQ(out.values()[0], 1);
  EXPECT_EQ(out.values()[1], 2);
  EXPECT_EQ(out.values()[2], 3);
  EXPECT_EQ(out.values()[3], 4);
}

TEST(Emulator, Ex2) {
  for (const float x : {-3.5F, -1.0F, 0.0F, 0.25F, 10.0F}) EXPECT_EQ(emulator::ex2(x), std::exp2(x));
  EXPECT_EQ(emulator::ex2(-INFINITY), 0);
  EXPECT_EQ(emulator::ex2(-127), 0);  // would be subnormal
  EXPECT_EQ(emulator::ex2(-126), 0x1p-126F);
}

template <bool kExited>
__global__ void lonely_mma(float* out) {
  float d[4] = {};
  const std::uint32_t a[4] = {}, b[2] = {};
  if (threadIdx.x == 31) {
    if constexpr (!kExited) emulator::mma_m16n8k16(d, a, b, d, MmaType::f16);  // mma: other line
  } else {
    emulator::mma_m16n8k16(d, a, b, d, MmaType::f16);  // mma: most lanes
  }
  out[threadIdx.x] = d[0];
}
TEST(EmulatorCatches, MmaWithoutAllLanes) {
  DeviceArray<float> out(32);
  float* o = out.data();
  expect_fault("missing lane", {"mma: most lanes"}, [&] {
    run("mma", {1, 32}, [=] { lonely_mma<true>(o); });
  });
  expect_fault("divergent warp", {"mma: most lanes", "mma: other line"}, [&] {
    run("mma", {1, 32}, [=] { lonely_mma<false>(o); });
  });
}

}  // namespace
}  // namespace rankine
