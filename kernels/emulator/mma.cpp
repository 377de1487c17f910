// ldmatrix and mma: the last lane to arrive does the work of all.
#include <bit>
#include <cmath>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/half.h"
#include "kernels/emulator/executor.h"
#include "kernels/emulator/include/emulator_intrinsics.h"
#include "kernels/emulator/shadow.h"

namespace rankine::emulator {
namespace {

constexpr unsigned kAll = 0xFFFFFFFFU;

struct LdmatrixPayload {
  std::uint32_t* r;
  const unsigned char* row;
  int matrices;
  bool trans;
};

void complete_ldmatrix(Thread* lanes, unsigned) {
  const auto& first = *static_cast<LdmatrixPayload*>(lanes[0].payload);
  std::uint16_t matrix[8][8];
  for (int m = 0; m < first.matrices; ++m) {
    for (int row = 0; row < 8; ++row)
      std::memcpy(matrix[row], static_cast<LdmatrixPayload*>(lanes[8 * m + row].payload)->row, 16);
    for (int lane = 0; lane < 32; ++lane) {
      const int g = lane / 4, t = lane % 4 * 2;
      const std::uint32_t low = first.trans ? matrix[t][g] : matrix[g][t];
      const std::uint32_t high = first.trans ? matrix[t + 1][g] : matrix[g][t + 1];
      static_cast<LdmatrixPayload*>(lanes[lane].payload)->r[m] = low | high << 16;
    }
  }
}
const Collective kLdmatrix{"ldmatrix", true, false, complete_ldmatrix};

struct MmaPayload {
  const std::uint32_t *a, *b;
  const float* c;
  float* d;
  const std::uint32_t* c_half;
  std::uint32_t* d_half;
};

// Exact, and without branches so that it vectorises: scaling by a power of two normalises subnormals.
float half_value(std::uint32_t bits) {
  const std::uint32_t magnitude = (bits & 0x7FFFU) << 13;
  const float scaled = std::bit_cast<float>(magnitude) * 0x1p112F;
  const std::uint32_t special = magnitude >= 0x0F800000U ? 0x7F800000U : 0U;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | special | (bits & 0x8000U) << 16);
}

template <MmaType type>
void unpack(std::uint32_t pair, float& low, float& high) {
  if constexpr (type == MmaType::f16) {
    low = half_value(pair & 0xFFFFU);
    high = half_value(pair >> 16);
  } else {
    low = std::bit_cast<float>(pair << 16);
    high = std::bit_cast<float>(pair & 0xFFFF0000U);
  }
}

// The warp's fragments as matrices (layouts: emulator_intrinsics.h).
template <int k, MmaType type>
struct Tiles {
  float a[16][k], b[k][8], c[16][8];

  explicit Tiles(Thread* lanes) {
    for (int lane = 0; lane < 32; ++lane) {
      const auto& p = *static_cast<MmaPayload*>(lanes[lane].payload);
      const int g = lane / 4, t = lane % 4 * 2;
      for (int half = 0; half < k / 8; ++half) {
        const int at = t + 8 * half;
        unpack<type>(p.a[2 * half], a[g][at], a[g][at + 1]);
        unpack<type>(p.a[2 * half + 1], a[g + 8][at], a[g + 8][at + 1]);
        unpack<type>(p.b[half], b[at][g], b[at + 1][g]);
      }
      for (int row = 0; row < 2; ++row) {
        if (p.c) {
          c[g + 8 * row][t] = p.c[2 * row];
          c[g + 8 * row][t + 1] = p.c[2 * row + 1];
        } else {
          unpack<type>(p.c_half[row], c[g + 8 * row][t], c[g + 8 * row][t + 1]);
        }
      }
    }
  }
  void multiply() {
    for (int row = 0; row < 16; ++row) {
      float sum[8];
      for (int n = 0; n < 8; ++n) sum[n] = c[row][n];
      for (int i = 0; i < k; ++i) {
        for (int n = 0; n < 8; ++n) sum[n] += a[row][i] * b[i][n];
      }
      for (int n = 0; n < 8; ++n) c[row][n] = sum[n];
    }
  }
};

template <int k, MmaType type>
void complete_mma(Thread* lanes, unsigned) {
  Tiles<k, type> tiles(lanes);
  tiles.multiply();
  for (int lane = 0; lane < 32; ++lane) {
    const auto& p = *static_cast<MmaPayload*>(lanes[lane].payload);
    for (int row = 0; row < 2; ++row) {
      const float* from = &tiles.c[lane / 4 + 8 * row][lane % 4 * 2];
      if (p.d) {
        std::memcpy(p.d + 2 * row, from, 2 * sizeof(float));
      } else {
        p.d_half[row] = to_half(from[0]).bits | std::uint32_t{to_half(from[1]).bits} << 16;
      }
    }
  }
}

const Collective kMma16F16{"mma.m16n8k16", true, false, complete_mma<16, MmaType::f16>};
const Collective kMma16Bf16{"mma.m16n8k16", true, false, complete_mma<16, MmaType::bf16>};
const Collective kMma8F16{"mma.m16n8k8", true, false, complete_mma<8, MmaType::f16>};
const Collective kMma8Bf16{"mma.m16n8k8", true, false, complete_mma<8, MmaType::bf16>};
const Collective kMma16F16Acc{"mma.m16n8k16.f16", true, false, complete_mma<16, MmaType::f16>};

}  // namespace

void ldmatrix(std::uint32_t* r, int matrices, const void* row, bool trans, Where where) {
  const Inside e("ldmatrix");
  where.pc = __builtin_return_address(0);
  if (matrices != 1 && matrices != 2 && matrices != 4)
    e->fail(join("ldmatrix at ", where, ": ", matrices, " matrices, allowed are 1, 2 and 4"));
  // Addresses of lanes beyond the last row are not used.
  if (static_cast<int>(e->self().lane()) < 8 * matrices) {
    if (reinterpret_cast<std::uintptr_t>(row) % 16)
      e->fail(join("misaligned: ldmatrix at ", where, " needs rows on 16 bytes"));
    shadow::require_shared(*e, row, 16, "ldmatrix", where.pc);
    shadow::access(*e, row, 16, shadow::Kind::read, where.pc);
  }
  LdmatrixPayload payload{r, static_cast<const unsigned char*>(row), matrices, trans};
  e->meet(kLdmatrix, kAll, &payload, where);
}

void mma_m16n8k16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                  const float (&c)[4], MmaType type, Where where) {
  where.pc = __builtin_return_address(0);
  MmaPayload payload{a, b, c, d, nullptr, nullptr};
  Inside("mma")->meet(type == MmaType::f16 ? kMma16F16 : kMma16Bf16, kAll, &payload, where);
}

void mma_m16n8k8(float (&d)[4], const std::uint32_t (&a)[2], const std::uint32_t& b, const float (&c)[4],
                 MmaType type, Where where) {
  where.pc = __builtin_return_address(0);
  MmaPayload payload{a, &b, c, d, nullptr, nullptr};
  Inside("mma")->meet(type == MmaType::f16 ? kMma8F16 : kMma8Bf16, kAll, &payload, where);
}

void mma_m16n8k16_f16acc(std::uint32_t (&d)[2], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                         const std::uint32_t (&c)[2], Where where) {
  where.pc = __builtin_return_address(0);
  MmaPayload payload{a, b, nullptr, nullptr, c, d};
  Inside("mma")->meet(kMma16F16Acc, kAll, &payload, where);
}

float ex2(float x) {
  const float y = std::exp2(x);
  return std::fabs(y) < 0x1p-126F ? 0.0F : y;
}

}  // namespace rankine::emulator
