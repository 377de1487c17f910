#include <algorithm>
#include <utility>

#include "kernels/lowrank/lowrank_impl.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lowrank/up_backward_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/foreach_target.h>

#include "kernels/matmul/gemm_pack-inl.h"

// The engine of products wants long rows; here one side has `rank` elements, so copying dy would take longer
// than the products. Both read it where it lies, lanes along its columns, a few ranks at a time in registers.

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using cpu::UpGradPart;

constexpr int kRanks = 8;  // at a time
constexpr int kRows = 2;   // of dS at a time
constexpr std::int64_t kSquare = std::int64_t{kLanes} * kLanes;

// Bᵀ of ranks [rank, rank + kRanks) and the part's columns, whole vectors: beyond the columns zeros.
struct Up {
  HWY_ALIGN float rows[kRanks][UpGradPlan::kColumns];
};
void turn_up(Up& up, const UpGradArgs& a, const UpGradPart& p, std::int64_t rank, std::int64_t ranks) {
  HWY_ALIGN float square[kSquare], turned[kSquare];
  for (std::int64_t n = p.first; n < p.last; n += kLanes) {
    for (std::int64_t at = 0; at < ranks; at += kLanes) {
      for (std::int64_t i = 0; i < kLanes; ++i) {
        const float* row = a.up + (n + i) * a.plan.rank + rank + at;
        store(n + i < p.last ? load_up_to(row, ranks - at) : set(0.0F), square + i * kLanes);
      }
      turn(turned, kLanes, square);
      for (std::int64_t r = 0; r < std::min<std::int64_t>(kLanes, ranks - at); ++r)
        store(load(turned + r * kLanes), up.rows[at + r] + (n - p.first));
    }
  }
}

// sums[i] = the sum of the lanes of v[i].
template <int kCount>
HWY_INLINE void sum_all_lanes(const VecF* v, float* sums) {
  HWY_ALIGN float square[kSquare] = {}, turned[kSquare];
  for (int i = 0; i < kCount; i += kLanes) {
    for (int j = 0; j < std::min(kLanes, kCount - i); ++j) store(v[i + j], square + j * kLanes);
    turn(turned, kLanes, square);
    VecF total = load(turned);
    for (int j = 1; j < kLanes; ++j) total = hn::Add(total, load(turned + j * kLanes));
    store_up_to(total, sums + i, kCount - i);
  }
}

// dS of kRows rows, or of the last one twice: = or += scale dy · B.
template <int kCount>
HWY_INLINE void ds_rows(const UpGradArgs& a, const UpGradPart& p, const Up& up, std::int64_t rank,
                        std::int64_t row) {
  const std::int64_t n = p.last - p.first, last = p.end - 1;
  const float* dy[kRows];
  VecF sum[kRows * kCount];
#pragma GCC unroll 2
  for (int i = 0; i < kRows; ++i) dy[i] = a.dy + std::min(row + i, last) * a.plan.out + p.first;
#pragma GCC unroll 16
  for (int i = 0; i < kRows * kCount; ++i) sum[i] = set(0.0F);
  const auto add = [&](std::int64_t at, std::int64_t left) HWY_ATTR __attribute__((always_inline)) {
    const VecF y0 = load_up_to(dy[0] + at, left), y1 = load_up_to(dy[1] + at, left);
#pragma GCC unroll 8
    for (int r = 0; r < kCount; ++r) {
      const VecF b = load(up.rows[r] + at);
      sum[r] = hn::MulAdd(y0, b, sum[r]);
      sum[kCount + r] = hn::MulAdd(y1, b, sum[kCount + r]);
    }
  };
  std::int64_t at = 0;
  for (; at + kLanes <= n; at += kLanes) add(at, kLanes);
  if (at < n) add(at, n - at);
  float sums[kRows * kCount];
  sum_all_lanes<kRows * kCount>(sum, sums);
  for (int i = 0; i < kRows && row + i < p.end; ++i) {
    float* ds = a.ds + (row + i) * a.s.pitch + rank;
    for (int r = 0; r < kCount; ++r) ds[r] = (p.first > 0 ? ds[r] : 0.0F) + a.scale * sums[i * kCount + r];
  }
}

// The part's share of scale dBᵀ, two vectors of columns at a time.
template <int kCount>
HWY_INLINE void dup_columns(const UpGradArgs& a, const UpGradPart& p, std::int64_t rank, std::int64_t at,
                            float* partial) {
  const std::int64_t left = p.last - at;
  VecF sum[kCount][2];
#pragma GCC unroll 8
  for (int r = 0; r < kCount; ++r) sum[r][0] = sum[r][1] = set(0.0F);
  const auto add = [&](std::int64_t row, VecF y0, VecF y1) HWY_ATTR __attribute__((always_inline)) {
    const float* s = a.s.data + row * a.s.pitch + rank;
#pragma GCC unroll 8
    for (int r = 0; r < kCount; ++r) {
      const VecF factor = set(s[r]);
      sum[r][0] = hn::MulAdd(factor, y0, sum[r][0]);
      sum[r][1] = hn::MulAdd(factor, y1, sum[r][1]);
    }
  };
  const float* dy = a.dy + at;
  if (left >= 2 * kLanes) {
    for (std::int64_t row = p.begin; row < p.end; ++row)
      add(row, load(dy + row * a.plan.out), load(dy + row * a.plan.out + kLanes));
  } else {
    const std::int64_t n0 = std::min<std::int64_t>(left, kLanes), n1 = left - n0;
    for (std::int64_t row = p.begin; row < p.end; ++row) {
      const float* y = dy + row * a.plan.out;
      add(row, load_up_to(y, n0), n1 > 0 ? load_up_to(y + kLanes, n1) : set(0.0F));
    }
  }
  for (int r = 0; r < kCount; ++r) {
    float* y = partial + (rank + r) * a.plan.out + at;
    for (int v = 0; v < 2 && left > v * kLanes; ++v, y += kLanes) {
      const VecF before = p.adds ? load_up_to(y, left - v * kLanes) : set(0.0F);
      store_up_to(hn::MulAdd(set(a.scale), sum[r][v], before), y, left - v * kLanes);
    }
  }
}

template <int kCount>
void ranks_of_part(const UpGradArgs& a, const UpGradPart& p, std::int64_t rank, float* partial) {
  Up up;
  turn_up(up, a, p, rank, kCount);
  for (std::int64_t row = p.begin; row < p.end; row += kRows) ds_rows<kCount>(a, p, up, rank, row);
  for (std::int64_t at = p.first; at < p.last; at += std::int64_t{2} * kLanes)
    dup_columns<kCount>(a, p, rank, at, partial);
}

using RanksFn = void (*)(const UpGradArgs&, const UpGradPart&, std::int64_t, float*);
template <int... kCounts>
HWY_INLINE RanksFn pick_ranks(std::int64_t count, std::integer_sequence<int, kCounts...>) {
  static constexpr RanksFn kTable[] = {&ranks_of_part<kCounts + 1>...};
  return kTable[count - 1];
}

}  // namespace

void up_backward_part(const UpGradArgs& a, const UpGradPart& p, float* partial) {
  for (std::int64_t rank = 0; rank < a.plan.rank; rank += kRanks) {
    const std::int64_t count = std::min<std::int64_t>(kRanks, a.plan.rank - rank);
    pick_ranks(count, std::make_integer_sequence<int, kRanks>())(a, p, rank, partial);
  }
}

// dup of outputs [begin, end) += the sum of the partial transposes, in the order of the stripes.
void add_partials(const UpGradArgs& a, std::int64_t begin, std::int64_t end) {
  const std::int64_t rank = a.plan.rank, out = a.plan.out, stripes = a.plan.stripes();
  HWY_ALIGN float square[kSquare] = {};
  HWY_ALIGN float turned[kSquare];
  for (std::int64_t o = begin; o < end; o += kLanes) {
    const std::int64_t rows = std::min<std::int64_t>(kLanes, end - o);
    for (std::int64_t at = 0; at < rank; at += kLanes) {
      const std::int64_t ranks = std::min<std::int64_t>(kLanes, rank - at);
      for (std::int64_t r = 0; r < ranks; ++r) {
        const float* part = a.partial + (at + r) * out + o;
        VecF sum = load_up_to(part, rows);
        for (std::int64_t p = 1; p < stripes; ++p)
          sum = hn::Add(sum, load_up_to(part + p * rank * out, rows));
        store(sum, square + r * kLanes);
      }
      turn(turned, kLanes, square);
      for (std::int64_t i = 0; i < rows; ++i) {
        float* y = a.dup + (o + i) * rank + at;
        store_up_to(hn::Add(load_up_to(y, ranks), load(turned + i * kLanes)), y, ranks);
      }
    }
  }
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

namespace {
namespace dispatch {
HWY_EXPORT(up_backward_part);
HWY_EXPORT(add_partials);
}  // namespace dispatch
}  // namespace

void up_backward_part(const UpGradArgs& a, const UpGradPart& p, float* partial) {
  HWY_DYNAMIC_DISPATCH(dispatch::up_backward_part)(a, p, partial);
}

void up_backward_sums(const UpGradArgs& a, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(dispatch::add_partials)(a, begin, end);
}

}  // namespace rankine::cpu
#endif
