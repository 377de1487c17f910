#include "kernels/matmul/few_rows.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/common/row_decoder.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/few_rows.cpp"
#include "kernels/common/simd_targets.h"

#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace rankine::HWY_NAMESPACE {
namespace {

using cpu::Gemm;
using cpu::kFewRows;
using cpu::Range;
using cpu::Term;

inline constexpr int kVector = static_cast<int>(hn::MaxLanes(F32()));
// A run of all rows of A, a run of the rows of W that are multiplied together and the sums of a panel of W's
// rows stay in the first-level cache.
inline constexpr std::int64_t kRun = 512;             // elements of a row decoded at a time
inline constexpr std::int64_t kRunPitch = kRun + 16;  // an odd number of cache lines
inline constexpr std::int64_t kPanel = cpu::kFewRowsUnit;

// Rows of W side by side for M rows of A: enough sums to hide the latency of an addition, few enough to stay
// in registers.
constexpr int rows_for(int m) {
  const int registers = kVector == 16 ? 16 : 8;
  int rows = 8;
  while (rows > 1 && rows * m > registers) rows /= 2;
  return rows;
}

// Rows of W in a panel. Few rows of A are small enough to be read again for every step of the weight, which
// is then read in its order.
constexpr std::int64_t panel_for(int m) { return m <= 4 ? rows_for(m) : kPanel; }

// One vector for every row of A and every row of the panel.
template <int kM>
struct Sums {
  static constexpr std::int64_t kSize = kM * panel_for(kM) * kVector;
  float* data;
  float* at(std::int64_t m, std::int64_t row) const { return data + (m * panel_for(kM) + row) * kVector; }
};

// sums(m, row + r) += x_m * w_r over n elements.
template <int kM>
void multiply_run(Sums<kM> sums, std::int64_t row, const float* const* w, const cpu::Gather& x, Range run) {
  constexpr int kRows = rows_for(kM);
  VecF acc[kM][kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kM; ++m) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) acc[m][r] = load(sums.at(m, row + r));
  }
  const float* x0 = x.data + run.begin;
  for_vectors(run.size(), [&](auto io, std::int64_t i) HWY_ATTR {
    VecF wv[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) wv[r] = io.get(w[r] + i);
#pragma GCC unroll 8
    for (int m = 0; m < kM; ++m) {
      const VecF xv = io.get(x0 + m * x.pitch + i);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) acc[m][r] = hn::MulAdd(xv, wv[r], acc[m][r]);
    }
  });
#pragma GCC unroll 8
  for (int m = 0; m < kM; ++m) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) store(acc[m][r], sums.at(m, row + r));
  }
}

// Rows of one term's right side, read run by run.
struct WeightRows {
  const std::uint8_t* data;
  cpu::RowDecoder decode;
  std::int64_t row_bytes;
  std::int64_t elements, bytes;  // of a block
  bool plain;                    // fp32: read where it lies

  explicit WeightRows(const cpu::Right& b)
      : data(static_cast<const std::uint8_t*>(b.data)),
        decode(cpu::row_decoder(b.dtype)),
        row_bytes(static_cast<std::int64_t>(bytes_of(b.dtype, b.pitch))),
        elements(block_of(b.dtype).elements),
        bytes(static_cast<std::int64_t>(block_of(b.dtype).bytes)),
        plain(b.dtype == DType::f32) {}

  const float* read(std::int64_t row, Range run, float* y) const {
    const std::uint8_t* at = data + row * row_bytes;
    if (plain) return reinterpret_cast<const float*>(at) + run.begin;
    decode(at, run.begin, run.size(), y);
    return y;
  }
  void prefetch(std::int64_t row, Range run) const {
    const std::uint8_t* at = data + row * row_bytes;
    for (std::int64_t i = run.begin * bytes / elements; i < run.end * bytes / elements; i += 64)
      hwy::Prefetch(at + i);
  }
};

// The sums of one term for columns [cols) of C, a panel; rows of W beyond its end repeat the last one. What
// follows, up to `end`, is asked for ahead.
template <int kM>
void sum_term(Sums<kM> sums, const Term& term, Range cols, std::int64_t end, float* buffer) {
  constexpr int kRows = rows_for(kM);
  const WeightRows rows(term.b);
  std::fill_n(sums.data, Sums<kM>::kSize, 0.0F);
  for (std::int64_t k = 0; k < term.k; k += kRun) {
    const Range run{k, std::min(term.k, k + kRun)};
    for (std::int64_t row = 0; row < cols.size(); row += kRows) {
      const float* w[kRows];
      for (int r = 0; r < kRows; ++r) {
        rows.prefetch(std::min(cols.begin + row + r + kRows, end - 1), run);
        w[r] = rows.read(std::min(cols.begin + row + r, cols.end - 1), run, buffer + r * kRunPitch);
      }
      multiply_run<kM>(sums, row, w, term.a.rows, run);
    }
  }
}

template <int kM>
void multiply_panel(const Gemm& g, Range cols, std::int64_t end, float* scratch) {
  const Sums<kM> total{scratch}, sums{scratch + Sums<kM>::kSize};
  float* buffer = scratch + 2 * Sums<kM>::kSize;
  std::fill_n(total.data, Sums<kM>::kSize, 0.0F);
  for (const Term& term : g.terms) {
    sum_term<kM>(sums, term, cols, end, buffer);
    const VecF scale = set(term.b.scale);
    for (std::int64_t i = 0; i < Sums<kM>::kSize; i += kVector)
      store(hn::MulAdd(scale, load(sums.data + i), load(total.data + i)), total.data + i);
  }
  for (int m = 0; m < kM; ++m) {
    float* c = g.c.row(m);
    for (std::int64_t n = cols.begin; n < cols.end; ++n) {
      const float y = sum_lanes(load(total.at(m, n - cols.begin))) + (g.bias ? g.bias[n] : 0.0F);
      c[n] = g.accumulate ? c[n] + y : y;
    }
  }
}

template <int kM>
void multiply_columns(const Gemm& g, Range cols, float* scratch) {
  constexpr std::int64_t kStep = panel_for(kM);
  for (std::int64_t n = cols.begin; n < cols.end; n += kStep)
    multiply_panel<kM>(g, {n, std::min(n + kStep, cols.end)}, cols.end, scratch);
}

using Columns = void (*)(const Gemm&, Range, float*);
template <int... kIndex>
constexpr std::array<Columns, kFewRows> columns_table(std::integer_sequence<int, kIndex...>) {
  return {&multiply_columns<kIndex + 1>...};
}

}  // namespace

void few_rows_simd(const Gemm& g, Range cols, float* scratch) {
  static constexpr auto kTable = columns_table(std::make_integer_sequence<int, kFewRows>());
  static_assert(2 * Sums<kFewRows>::kSize + 8 * kRunPitch <= cpu::gemm_scratch(1));
  kTable[static_cast<std::size_t>(g.m - 1)](g, cols, scratch);
}

}  // namespace rankine::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace rankine::cpu {

HWY_EXPORT(few_rows_simd);

bool takes_few_rows(const Gemm& g) {
  return g.m >= 1 && g.m <= kFewRows && std::all_of(g.terms.begin(), g.terms.end(), [](const Term& t) {
           return !t.a.transposed && t.a.rows.is_plain() && t.b.order == Right::Order::by_column;
         });
}

void few_rows_block(const Gemm& g, Range cols, float* scratch) {
  if (cols.size() > 0) HWY_DYNAMIC_DISPATCH(few_rows_simd)(g, cols, scratch);
}

}  // namespace rankine::cpu
#endif
