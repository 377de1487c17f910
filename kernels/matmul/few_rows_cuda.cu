// Few rows times a stored weight. A warp computes kOuts numbers of every row of y: lane l takes elements
// 8l .. 8l + 7 of each 256 along `in`, decodes them from kOuts rows of w and multiplies them with the rows of
// x, which the block keeps in shared memory as fp32, a chunk at a time.
#include "kernels/matmul/few_rows_cuda.h"

#include "kernels/common/launch.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/matmul/stored_rows_cuda.cuh"

namespace rankine::cuda {
namespace {

constexpr std::string_view kName = "few_rows_forward";
constexpr int kWarps = kThreads / kWarp;
constexpr int kStep = 8 * kWarp;  // elements of a row that a warp reads at once

// Kernels exist for one row of x and for eight; with more, a warp takes two rows of w, which share the reads
// of x. With 4 bits per number and eight rows the weight's memory is still the limit of a GeForce card.
template <int kRows>
constexpr int kOutsFor = kRows == 1 ? 1 : 2;
template <int kRows>
constexpr int kChunk = kRows == 1 ? 4096 : 1024;  // 16 or 32 KiB of shared memory

struct FewRows {
  FewRowsArgs args;
  std::int64_t row_bytes;  // of w
  bool x_aligned, w_aligned;
};

// Four numbers and the four after them lie in two planes, so that 16-byte loads of neighbouring lanes touch
// neighbouring banks.
template <int kLength>
struct ChunkOfX {
  float* data;
  __device__ __forceinline__ float4* at(int row, int half, int eighth) const {
    return reinterpret_cast<float4*>(data) + (2 * row + half) * (kLength / 8) + eighth;
  }
};

template <int kRows, int kLength>
__device__ __forceinline__ void load_x(const FewRows& f, std::int64_t first, const ChunkOfX<kLength>& to) {
  const FewRowsArgs& a = f.args;
  const auto bytes = a.in * (a.type == DType::f32 ? 4 : 2);
  for (int i = static_cast<int>(threadIdx.x); i < kRows * kLength / 8; i += kThreads) {
    const int row = i / (kLength / 8), eighth = i % (kLength / 8);
    const std::int64_t k = first + 8 * eighth;
    if (k >= a.in) continue;
    Eight e{};
    if (row < a.rows)
      e = load_activations(static_cast<const std::uint8_t*>(a.x) + row * bytes, a.type,
                           {k, a.in, f.x_aligned});
    *to.at(row, 0, eighth) = make_float4(e.x[0], e.x[1], e.x[2], e.x[3]);
    *to.at(row, 1, eighth) = make_float4(e.x[4], e.x[5], e.x[6], e.x[7]);
  }
}

// sums[m][o] += row m of the chunk · row o of w, over the n elements from `begin` on; each lane its own.
template <class F, int kRows, int kOuts>
__device__ __forceinline__ void multiply_chunk(float (&sums)[kRows][kOuts],
                                               const std::uint8_t* const (&w)[kOuts], const FewRows& f,
                                               std::int64_t begin, const ChunkOfX<kChunk<kRows>>& x,
                                               const float* table) {
  const int n = static_cast<int>(min(std::int64_t{kChunk<kRows>}, f.args.in - begin));
#pragma unroll(kRows == 1 ? 2 : 1)
  for (int k = 8 * (static_cast<int>(threadIdx.x) % kWarp); k < n; k += kStep) {
    Eight wv[kOuts];
#pragma unroll
    for (int o = 0; o < kOuts; ++o) read_row<F>(w[o], {begin + k, f.args.in, f.w_aligned}, table, wv[o]);
#pragma unroll
    for (int m = 0; m < kRows; ++m) {
      const float4 low = *x.at(m, 0, k / 8), high = *x.at(m, 1, k / 8);
      const float xv[8] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
      for (int o = 0; o < kOuts; ++o) {
#pragma unroll
        for (int i = 0; i < 8; ++i) sums[m][o] = fmaf(xv[i], wv[o].x[i], sums[m][o]);
      }
    }
  }
}

// sums[m][o] += what the terms add to row m, number first + o; each lane takes its share of the ranks.
template <int kRows, int kOuts>
__device__ __forceinline__ void add_terms(float (&sums)[kRows][kOuts], const FewRowsArgs& a,
                                          std::int64_t first) {
  for (int t = 0; t < a.term_count; ++t) {
    const FewRowsTerm& term = a.terms[t];
    for (std::int64_t r = static_cast<int>(threadIdx.x) % kWarp; r < term.rank; r += kWarp) {
#pragma unroll
      for (int o = 0; o < kOuts; ++o) {
        const float up =
            term.scale * load_number(term.factor, a.type, min(first + o, a.out - 1) * term.rank + r);
#pragma unroll
        for (int m = 0; m < kRows; ++m) {
          const std::int64_t row = min(std::int64_t{m}, a.rows - 1);
          sums[m][o] = fmaf(load_number(term.middle, a.type, row * term.pitch + r), up, sums[m][o]);
        }
      }
    }
  }
}

// Lane m kOuts + o writes the sum of row m, number first + o.
template <int kRows, int kOuts>
__device__ __forceinline__ void write_sums(const float (&sums)[kRows][kOuts], const FewRowsArgs& a,
                                           std::int64_t first) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float mine = 0;
#pragma unroll
  for (int m = 0; m < kRows; ++m) {
#pragma unroll
    for (int o = 0; o < kOuts; ++o) {
      const float sum = warp_sum(sums[m][o]);
      if (lane == m * kOuts + o) mine = sum;
    }
  }
  const std::int64_t row = lane / kOuts, out = first + lane % kOuts;
  if (row >= a.rows || out >= a.out) return;
  if (a.bias) mine += load_number(a.bias, a.bias_type, out);
  store_number(a.y, a.type, row * a.out + out, mine);
}

template <class F, int kRows, int kOuts>
__global__ void __launch_bounds__(kThreads, 2) few_rows_kernel(FewRows f) {
  constexpr int kLength = kChunk<kRows>;
  __shared__ float4 x_numbers[kRows * kLength / 4];
  __shared__ float table[16];
  load_table<F>(table);
  const FewRowsArgs& a = f.args;
  const ChunkOfX<kLength> x{reinterpret_cast<float*>(x_numbers)};
  const std::int64_t warp = std::int64_t{blockIdx.x} * kWarps + threadIdx.x / kWarp, first = warp * kOuts;
  const std::uint8_t* w[kOuts];  // rows beyond the end repeat the last one
#pragma unroll
  for (int o = 0; o < kOuts; ++o)
    w[o] = static_cast<const std::uint8_t*>(a.w) + min(first + o, a.out - 1) * f.row_bytes;
  float sums[kRows][kOuts] = {};
  for (std::int64_t begin = 0; begin < a.in; begin += kLength) {
    __syncthreads();
    load_x<kRows>(f, begin, x);
    __syncthreads();
    multiply_chunk<F>(sums, w, f, begin, x, table);
  }
  add_terms(sums, a, first);
  write_sums(sums, a, first);
}

template <class F, int kRows>
void launch_rows(CudaStream stream, const FewRows& f) {
  constexpr int kOuts = kOutsFor<kRows>;
  static_assert(kRows * kOuts <= kWarp && kChunk<kRows> % kStep == 0);
  const FewRowsArgs& a = f.args;
  const auto blocks = static_cast<unsigned>((a.out + kWarps * kOuts - 1) / (kWarps * kOuts));
  launch({.op = kName, .grid = blocks, .block = kThreads, .stream = stream, .sizes = {a.rows, a.in, a.out}},
         few_rows_kernel<F, kRows, kOuts>, f);
}

}  // namespace

void few_rows_forward(CudaStream stream, const FewRowsArgs& a) {
  require<ShapeError>(a.rows >= 0 && a.rows <= kFewRows, kName, ": at most ", kFewRows, " rows, got ",
                      a.rows);
  require<ShapeError>(a.type == DType::f32 || a.type == DType::f16 || a.type == DType::bf16, kName,
                      ": expected x of type f16, bf16 or f32, got ", name_of(a.type));
  if (a.rows == 0 || a.out == 0) return;
  const FewRows f{a, static_cast<std::int64_t>(bytes_of(a.w_type, a.in)), plain_aligned(a.x, a.type, a.in),
                  plain_aligned(a.w, a.w_type, a.in)};
  with_weight_format(kName, a.w_type, [&](auto format) {
    using F = decltype(format);
    if (a.rows == 1) return launch_rows<F, 1>(stream, f);
    launch_rows<F, kFewRows>(stream, f);
  });
}

}  // namespace rankine::cuda
