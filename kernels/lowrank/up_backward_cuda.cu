// dS and dB of a low-rank adapter from one read of dy: see UpGradPlan.
#include "kernels/lowrank/lowrank_impl.h"
#include "kernels/matmul/gemm_tile.cuh"

namespace rankine::cuda {
namespace {

struct UpGradParams {
  const void *dy, *up, *s;
  float* ds;   // (ranges, rows, width), partial
  float* dup;  // (stripes, out, width), partial
  int rows, out, rank, pitch;
  bool dy_aligned, s_aligned;
};

// 64 rows of a range of dy at a time: eight warps take 16 rows and half of the rank each for dS, then an
// eighth of the range for dB.
template <class T, int kRank, int kRange>
struct UpGradBody {
  static constexpr int kThreads = 256, kRows = static_cast<int>(UpGradPlan::kTile), kStages = 2;
  static constexpr int kHalf = kRank / 16;  // mma columns in half of the rank
  static constexpr int kOwn = kRange / 8;   // columns of dy that a warp gives dB of
  using TileDy = SharedTile<kRows, kRange>;
  using TileS = SharedTile<kRows, kRank>;
  using TileUp = SharedTile<kRange, kRank>;
  static constexpr int kStage = TileDy::kSize + TileS::kSize;
  static constexpr std::size_t kSharedBytes = sizeof(T) * (TileUp::kSize + kStages * kStage);
  static_assert(kSharedBytes <= 99 * 1024);
  using DupSums = float[kOwn / 16][kRank / 8][4];

  static __device__ __forceinline__ void load(const UpGradParams& p, int row, int column, T* stage) {
    const int rows = p.rows - row, columns = p.out - column;
    const Window<T> dy{static_cast<const T*>(p.dy) + std::int64_t{row} * p.out + column, p.out, rows,
                       columns};
    const Window<T> s{static_cast<const T*>(p.s) + std::int64_t{row} * p.pitch, p.pitch, rows, p.rank};
    if (p.dy_aligned) {
      copy_tile<TileDy, kThreads>(stage, dy);
    } else {
      gather_tile<TileDy, kThreads>(stage, dy, 1);
    }
    if (p.s_aligned) {
      copy_tile<TileS, kThreads>(stage + TileDy::kSize, s);
    } else {
      gather_tile<TileS, kThreads>(stage + TileDy::kSize, s, 1);
    }
  }

  // dS of 16 rows and half of the rank, over the block's range.
  static __device__ __forceinline__ void ds_tile(const UpGradParams& p, int row, const T* dy, const T* up) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    const int chunk = warp / 4 * kHalf;
    float sums[kHalf][4] = {};
#pragma unroll 4
    for (int k = 0; k < kRange; k += 16) {
      std::uint32_t a[4];
      load_a<TileDy, false>(a, dy, warp % 4 * 16, k);
#pragma unroll
      for (int j = 0; j < kHalf; ++j) {
        std::uint32_t b[2];
        ldmatrix<2, Transposed::yes>(b, up + TileUp::at(k + lane % 16, chunk + j));
        mma_16x8x16<T>(sums[j], a, b);
      }
    }
    float* ds = p.ds + std::int64_t{blockIdx.x} * p.rows * kRank;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int at = row + warp % 4 * 16 + half * 8 + lane / 4;
      if (at >= p.rows) continue;
#pragma unroll
      for (int j = 0; j < kHalf; ++j) {
        const int column = (chunk + j) * 8 + lane % 4 * 2;
        *reinterpret_cast<float2*>(ds + std::int64_t{at} * kRank + column) =
            make_float2(sums[j][2 * half], sums[j][2 * half + 1]);
      }
    }
  }

  // dB of the warp's columns, over 64 rows more.
  static __device__ __forceinline__ void add_dup(DupSums& sums, const T* dy, const T* s) {
    const int first = static_cast<int>(threadIdx.x) / 32 * kOwn;
#pragma unroll
    for (int k = 0; k < kRows; k += 16) {
      std::uint32_t b[kRank / 8][2];
#pragma unroll
      for (int j = 0; j < kRank / 8; j += 2) load_b<TileS, true>(b[j], b[j + 1], s, j * 8, k);
#pragma unroll
      for (int i = 0; i < kOwn / 16; ++i) {
        std::uint32_t a[4];
        load_a<TileDy, true>(a, dy, first + i * 16, k);
#pragma unroll
        for (int j = 0; j < kRank / 8; ++j) mma_16x8x16<T>(sums[i][j], a, b[j]);
      }
    }
  }

  static __device__ __forceinline__ void store_dup(const UpGradParams& p, const DupSums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    float* dup = p.dup + std::int64_t{blockIdx.y} * p.out * kRank;
    const int first = static_cast<int>(blockIdx.x) * kRange + warp * kOwn + lane / 4;
#pragma unroll
    for (int i = 0; i < kOwn / 16; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int column = first + i * 16 + half * 8;
        if (column >= p.out) continue;
#pragma unroll
        for (int j = 0; j < kRank / 8; ++j) {
          *reinterpret_cast<float2*>(dup + std::int64_t{column} * kRank + j * 8 + lane % 4 * 2) =
              make_float2(sums[i][j][2 * half], sums[i][j][2 * half + 1]);
        }
      }
    }
  }
};

template <class T, int kRank, int kRange>
__global__ void __launch_bounds__(256) up_backward_kernel(const UpGradParams p) {
  using Body = UpGradBody<T, kRank, kRange>;
  T* up = shared_memory<T>();
  T* stages = up + Body::TileUp::kSize;
  const int column = static_cast<int>(blockIdx.x) * kRange, tiles = (p.rows + Body::kRows - 1) / Body::kRows;
  const int stripe = static_cast<int>(blockIdx.y), stripes = static_cast<int>(gridDim.y);
  const int first = static_cast<int>(std::int64_t{tiles} * stripe / stripes);
  const int last = static_cast<int>(std::int64_t{tiles} * (stripe + 1) / stripes);
  typename Body::DupSums sums = {};
  if (first < last) Body::load(p, first * Body::kRows, column, stages);
  cp_async_commit();
  gather_tile<typename Body::TileUp, 256>(
      up,
      Window<T>{static_cast<const T*>(p.up) + std::int64_t{column} * p.rank, p.rank, p.out - column, p.rank},
      1);
  for (int tile = first; tile < last; ++tile) {
    const T* stage = stages + (tile - first) % Body::kStages * Body::kStage;
    if (tile + 1 < last)
      Body::load(p, (tile + 1) * Body::kRows, column,
                 stages + (tile + 1 - first) % Body::kStages * Body::kStage);
    cp_async_commit();
    cp_async_wait<1>();
    __syncthreads();
    Body::ds_tile(p, tile * Body::kRows, stage, up);
    Body::add_dup(sums, stage, stage + Body::TileDy::kSize);
    __syncthreads();
  }
  cp_async_wait<0>();
  Body::store_dup(p, sums);
}

// dS (rows, rank of pitch) = scale times the sum over ranges, in order.
template <class T>
struct SumRanges {
  T* ds;
  const float* partial;
  std::int64_t rows, rank, width, pitch, ranges;
  float scale;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t row = i / rank, column = i % rank;
    float sum = 0;
    for (std::int64_t r = 0; r < ranges; ++r) sum += partial[(r * rows + row) * width + column];
    ds[row * pitch + column] = from_float<T>(scale * sum);
  }
};
// dB (out, rank) += scale times the sum over stripes, in order.
struct AddStripes {
  float* dup;
  const float* partial;
  std::int64_t out, rank, width, stripes;
  float scale;
  __device__ void operator()(std::int64_t i) const {
    const std::int64_t o = i / rank, column = i % rank;
    float sum = 0;
    for (std::int64_t s = 0; s < stripes; ++s) sum += partial[(s * out + o) * width + column];
    dup[i] += scale * sum;
  }
};

template <class T, int kRank, int kRange>
void launch_pass(CudaStream stream, const UpGradParams& p, const UpGradPlan& plan) {
  using Body = UpGradBody<T, kRank, kRange>;
  launch({.op = "lowrank_up_backward",
          .grid = dim3(static_cast<unsigned>(plan.ranges()), static_cast<unsigned>(plan.stripes())),
          .block = Body::kThreads,
          .stream = stream,
          .shared_bytes = Body::kSharedBytes,
          .sizes = {plan.rows, plan.out, plan.rank}},
         up_backward_kernel<T, kRank, kRange>, p);
}

bool aligned(const void* p, std::int64_t pitch, std::int64_t width) {
  return reinterpret_cast<std::uintptr_t>(p) % 16 == 0 && pitch % 8 == 0 && width % 8 == 0;
}

template <class T>
void run_pass(CudaStream stream, const UpGradArgs& a) {
  const UpGradPlan& plan = a.plan;
  const UpGradParams p{a.dy,
                       a.up,
                       a.s,
                       a.partial,
                       a.partial + plan.ds_floats(),
                       static_cast<int>(plan.rows),
                       static_cast<int>(plan.out),
                       static_cast<int>(plan.rank),
                       static_cast<int>(a.pitch),
                       aligned(a.dy, plan.out, 0),
                       aligned(a.s, a.pitch, plan.rank)};
  if (plan.width() == 16) {
    launch_pass<T, 16, 256>(stream, p, plan);
  } else if (plan.width() == 32) {
    launch_pass<T, 32, 256>(stream, p, plan);
  } else {
    launch_pass<T, 64, 128>(stream, p, plan);
  }
  for_each("lowrank_up_backward", stream, plan.rows * plan.rank,
           SumRanges<T>{static_cast<T*>(a.ds), p.ds, plan.rows, plan.rank, plan.width(), a.pitch,
                        plan.ranges(), a.scale});
}

}  // namespace

void up_backward_in_one_pass(CudaStream stream, const UpGradArgs& a) {
  constexpr std::string_view kName = "lowrank_up_backward";
  const UpGradPlan& plan = a.plan;
  require<ShapeError>(std::max(plan.rows, plan.out) < std::int64_t{1} << 31, kName, ": dy (", plan.rows, ",",
                      plan.out, ") is too large");
  with_half_type(kName, a.type, [&](auto t) { run_pass<decltype(t)>(stream, a); });
  for_each(kName, stream, plan.out * plan.rank,
           AddStripes{a.dup, a.partial + plan.ds_floats(), plan.out, plan.rank, plan.width(), plan.stripes(),
                      a.scale});
}

}  // namespace rankine::cuda
