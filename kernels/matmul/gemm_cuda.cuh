// The kernel behind gemm_cuda.h, and its launch for one type of operands; gemm_f16_cuda.cu and
// gemm_bf16_cuda.cu have an instance each.
//
// A block computes a tile of C: warps own 32 columns by 32 or 64 rows of it, in registers. K runs in steps of
// 32 through three stages of shared memory filled by asynchronous copies. 128 x 128 tiles take 48 KiB and 128
// registers, so two blocks share a multiprocessor of sm_86 and hide each other's waits.
#pragma once

#include "kernels/matmul/gemm_cuda.h"
#include "kernels/matmul/gemm_tile.cuh"

namespace rankine::cuda {

inline constexpr int kDepth = static_cast<int>(kGemmDepth), kStages = 3;

// Everything the kernel is told.
struct GemmParams {
  struct Segment {
    const void *a, *b;
    int a_pitch, b_pitch, a_step, b_step;  // step: from k to k+1, of operands that lie anyhow
    int k;
    int begin, end;      // its steps of kDepth among all
    float scale, ratio;  // ratio: scale over that of the next segment
  };
  Segment segments[kGemmSegments];
  int m, n, tiles_m, tiles_n, out_pitch;
  std::int64_t a_stride, b_stride, out_stride;  // from batch to batch
  void* out;
  const void* bias;
  float* partial;
  int steps, splits;
  bool out_f32, bias_f32, accumulate, whole_chunks;  // whole_chunks: rows of C are aligned chunks of 8
};

// What a product does to an operand on its way to the tensor cores, or to its result: nothing. A mask that
// does has one of
//   kA, kB: tile<Tile, kThreads, kByK>(shared, first, k) edits the numbers of a tile, which begins at `first`
//   of
//           M or N and `k` of K and lies by rows of K with kByK, that this thread copied to shared memory;
//   kOut:   row<kCount>(v, row, column) edits sums of neighbours in a row of C.
struct NoMask {
  static constexpr bool kA = false, kB = false, kOut = false;
};

// The tile of C and the way its warps share it.
template <int kTileM, int kTileN, int kWarpsM, int kWarpsN, int kPerProcessor>
struct BlockTile {
  static constexpr int kM = kTileM, kN = kTileN, kThreads = 32 * kWarpsM * kWarpsN, kBlocks = kPerProcessor;
  static constexpr int kWarpM = kM / kWarpsM, kWarpN = kN / kWarpsN;  // of one warp
  static constexpr int kMmaM = kWarpM / 16, kMmaN = kWarpN / 8;
  static constexpr int kColumnsOfWarps = kWarpsN;
  static constexpr std::size_t kSharedBytes = std::size_t{2} * kStages * kDepth * (kM + kN);
  // Rows of 16 sums of every warp pass through shared memory on their way out.
  static constexpr int kStagingPitch = kWarpN + 8;
  static_assert(sizeof(float) * 16 * kStagingPitch * kWarpsM * kWarpsN <= kSharedBytes);
};

// Which layouts an instance is for. `kGather` takes any.
template <Major kMajorA, Major kMajorB, bool kGatherOperands = false>
struct Operands {
  static constexpr bool kGather = kGatherOperands;
  static constexpr bool kAByK = kMajorA == Major::mn, kBByK = kMajorB == Major::mn;
};

template <class T, class Block, class Ops, GemmSum kSum, class Mask = NoMask>
struct GemmBody {
  using TileA = std::conditional_t<Ops::kAByK, SharedTile<kDepth, Block::kM>, SharedTile<Block::kM, kDepth>>;
  using TileB = std::conditional_t<Ops::kBByK, SharedTile<kDepth, Block::kN>, SharedTile<Block::kN, kDepth>>;
  static constexpr int kHalfSteps = 2;  // steps of K that are summed in fp16

  struct Place {
    int row, column;  // of C
    int batch, split, warp_row, warp_column;
  };
  using Sums = float[Block::kMmaM][Block::kMmaN][4];
  using HalfSums = std::uint32_t[Block::kMmaM][Block::kMmaN][2];

  // Groups of 8 rows of tiles are walked column by column, so that blocks that run together share operands.
  static __device__ __forceinline__ Place place(const GemmParams& p) {
    constexpr int kGroup = 8;
    const int id = static_cast<int>(blockIdx.x), group = kGroup * p.tiles_n;
    const int first = id / group * kGroup, height = min(kGroup, p.tiles_m - first);
    const int warp = static_cast<int>(threadIdx.x) / 32;
    return {(first + id % group % height) * Block::kM,
            id % group / height * Block::kN,
            static_cast<int>(blockIdx.z),
            static_cast<int>(blockIdx.y),
            warp / Block::kColumnsOfWarps * Block::kWarpM,
            warp % Block::kColumnsOfWarps * Block::kWarpN};
  }

  template <class Tile, bool kByK>
  static __device__ __forceinline__ void copy_operand(T* shared, const T* data, int pitch, int first,
                                                      int left, int k, int k_left) {
    if constexpr (kByK) {
      copy_tile<Tile, Block::kThreads>(
          shared, Window<T>{data + std::int64_t{k} * pitch + first, pitch, k_left, left});
    } else {
      copy_tile<Tile, Block::kThreads>(
          shared, Window<T>{data + std::int64_t{first} * pitch + k, pitch, left, k_left});
    }
  }

  // Starts the copy of a step's operands; `segment` is that of the step before, or that of this one.
  static __device__ __forceinline__ void load(const GemmParams& p, const Place& at, int step, int& segment,
                                              T* stage) {
    while (step >= p.segments[segment].end) ++segment;
    const GemmParams::Segment& s = p.segments[segment];
    const int k = (step - s.begin) * kDepth, k_left = s.k - k;
    const int rows = p.m - at.row, columns = p.n - at.column;
    const T* a = static_cast<const T*>(s.a) + at.batch * p.a_stride;
    const T* b = static_cast<const T*>(s.b) + at.batch * p.b_stride;
    T* stage_b = stage + TileA::kSize;
    if constexpr (Ops::kGather) {
      gather_tile<TileA, Block::kThreads>(
          stage,
          Window<T>{a + std::int64_t{at.row} * s.a_pitch + std::int64_t{k} * s.a_step, s.a_pitch, rows,
                    k_left},
          s.a_step);
      gather_tile<TileB, Block::kThreads>(
          stage_b,
          Window<T>{b + std::int64_t{at.column} * s.b_pitch + std::int64_t{k} * s.b_step, s.b_pitch, columns,
                    k_left},
          s.b_step);
    } else {
      copy_operand<TileA, Ops::kAByK>(stage, a, s.a_pitch, at.row, rows, k, k_left);
      copy_operand<TileB, Ops::kBByK>(stage_b, b, s.b_pitch, at.column, columns, k, k_left);
    }
  }

  struct Fragments {
    std::uint32_t a[Block::kMmaM][4], b[Block::kMmaN][2];
    __device__ __forceinline__ void read(const T* stage, const Place& at, int k) {
      const T* stage_b = stage + TileA::kSize;
#pragma unroll
      for (int j = 0; j < Block::kMmaN; j += 2)
        load_b<TileB, Ops::kBByK>(b[j], b[j + 1], stage_b, at.warp_column + j * 8, k);
#pragma unroll
      for (int i = 0; i < Block::kMmaM; ++i) load_a<TileA, Ops::kAByK>(a[i], stage, at.warp_row + i * 16, k);
    }
  };

  static __device__ __forceinline__ void multiply(const T* stage, const Place& at, Sums& sums,
                                                  HalfSums& half) {
#pragma unroll
    for (int k = 0; k < kDepth; k += 16) {
      Fragments f;
      f.read(stage, at, k);
#pragma unroll
      for (int i = 0; i < Block::kMmaM; ++i) {
#pragma unroll
        for (int j = 0; j < Block::kMmaN; ++j) {
          if constexpr (kSum == GemmSum::fp16) {
            mma_16x8x16_f16(half[i][j], f.a[i], f.b[j]);
          } else {
            mma_16x8x16<T>(sums[i][j], f.a[i], f.b[j]);
          }
        }
      }
    }
  }

  template <class F>
  static __device__ __forceinline__ void for_sums(const F& f) {
#pragma unroll
    for (int i = 0; i < Block::kMmaM; ++i) {
#pragma unroll
      for (int j = 0; j < Block::kMmaN; ++j) f(i, j);
    }
  }
  static __device__ __forceinline__ void scale(Sums& sums, float by) {
    if (by == 1.0F) return;
    for_sums([&](int i, int j) {
#pragma unroll
      for (float& x : sums[i][j]) x *= by;
    });
  }
  static __device__ __forceinline__ void promote(Sums& sums, HalfSums& half) {
    for_sums([&](int i, int j) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const float2 pair = unpack<T>(half[i][j][r]);
        sums[i][j][2 * r] += pair.x, sums[i][j][2 * r + 1] += pair.y;
        half[i][j][r] = 0;
      }
    });
  }

  // A mask knows one segment.
  static __device__ __forceinline__ void edit(const Mask& mask, const Place& at, int step, T* stage) {
    if constexpr (Mask::kA)
      mask.template tile<TileA, Block::kThreads, Ops::kAByK>(stage, at.row, step * kDepth);
    if constexpr (Mask::kB)
      mask.template tile<TileB, Block::kThreads, Ops::kBByK>(stage + TileA::kSize, at.column, step * kDepth);
  }

  // The sums of this block's share of K.
  static __device__ __forceinline__ void sum(const GemmParams& p, const Mask& mask, const Place& at,
                                             T* shared, Sums& sums) {
    const int first = static_cast<int>(std::int64_t{p.steps} * at.split / p.splits);
    const int last = static_cast<int>(std::int64_t{p.steps} * (at.split + 1) / p.splits);
    if (first == last) return;
    constexpr int kStage = TileA::kSize + TileB::kSize;
    HalfSums half = {};
    int here = 0;  // the segment of this step
    while (first >= p.segments[here].end) ++here;
    int ahead = here;  // of the step being loaded
#pragma unroll
    for (int stage = 0; stage < kStages - 1; ++stage) {
      if (first + stage < last) load(p, at, first + stage, ahead, shared + stage * kStage);
      cp_async_commit();
    }
    int stage = 0;
    for (int step = first; step < last; ++step) {
      cp_async_wait<kStages - 2>();
      edit(mask, at, step, shared + stage * kStage);
      __syncthreads();
      if (step + kStages - 1 < last)
        load(p, at, step + kStages - 1, ahead, shared + (stage == 0 ? kStages - 1 : stage - 1) * kStage);
      cp_async_commit();
      multiply(shared + stage * kStage, at, sums, half);
      stage = stage + 1 == kStages ? 0 : stage + 1;
      const bool done = step + 1 == last, ends = step + 1 == p.segments[here].end;
      if (kSum == GemmSum::fp16 && (ends || done || (step - first) % kHalfSteps == kHalfSteps - 1))
        promote(sums, half);
      if (ends || done) scale(sums, done ? p.segments[here].scale : p.segments[here].ratio);
      if (ends) ++here;
    }
    cp_async_wait<0>();
  }
};

// Where sums of C go: eight neighbours, or one where rows of C are not whole aligned chunks.
template <class T, class Mask>
struct Store {
  const GemmParams& p;
  const Mask& mask;
  int batch, split;

  __device__ __forceinline__ float* partial(int row, int column) const {
    return p.partial + ((std::int64_t{batch} * p.splits + split) * p.m + row) * p.n + column;
  }
  __device__ __forceinline__ std::int64_t offset(int row, int column) const {
    return batch * p.out_stride + std::int64_t{row} * p.out_pitch + column;
  }

  static __device__ __forceinline__ void add(Eight& to, const Eight& e) {
#pragma unroll
    for (int i = 0; i < 8; ++i) to.x[i] += e.x[i];
  }
  template <class U>
  __device__ __forceinline__ void put(U* to, Eight v) const {
    if (p.accumulate) add(v, load8(to));
    store8(to, v);
  }
  __device__ __forceinline__ void chunk(Eight v, int row, int column) const {
    if (p.partial) return store8(partial(row, column), v);
    if constexpr (Mask::kOut) mask.template row<8>(v.x, row, column);
    if (p.bias && p.bias_f32) add(v, load8(static_cast<const float*>(p.bias) + column));
    if (p.bias && !p.bias_f32) add(v, load8(static_cast<const T*>(p.bias) + column));
    if (p.out_f32) {
      put(static_cast<float*>(p.out) + offset(row, column), v);
    } else {
      put(static_cast<T*>(p.out) + offset(row, column), v);
    }
  }

  template <class U>
  __device__ __forceinline__ void put(U* to, float v) const {
    *to = from_float<U>(p.accumulate ? v + to_float(*to) : v);
  }
  __device__ __forceinline__ void element(float v, int row, int column) const {
    if (p.partial) {
      *partial(row, column) = v;
      return;
    }
    if constexpr (Mask::kOut) {
      float one[1] = {v};
      mask.template row<1>(one, row, column);
      v = one[0];
    }
    if (p.bias)
      v += p.bias_f32 ? static_cast<const float*>(p.bias)[column]
                      : to_float(static_cast<const T*>(p.bias)[column]);
    if (p.out_f32) {
      put(static_cast<float*>(p.out) + offset(row, column), v);
    } else {
      put(static_cast<T*>(p.out) + offset(row, column), v);
    }
  }

  // A warp's 16 rows of kColumns sums out of shared memory, to (row, column) of C on.
  template <int kColumns, int kPitch>
  __device__ __forceinline__ void rows(const float* from, int row, int column) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (p.whole_chunks) {
#pragma unroll
      for (int index = lane; index < 2 * kColumns; index += 32) {
        const int r = index / (kColumns / 8), c = index % (kColumns / 8) * 8;
        if (row + r < p.m && column + c < p.n) chunk(load8(from + r * kPitch + c), row + r, column + c);
      }
    } else {
#pragma unroll 1
      for (int index = lane; index < 16 * kColumns; index += 32) {
        const int r = index / kColumns, c = index % kColumns;
        if (row + r < p.m && column + c < p.n) element(from[r * kPitch + c], row + r, column + c);
      }
    }
  }
};

// A tile's sums to C: 16 rows of every warp at a time, from fragments through shared memory.
template <class T, class Block, class Mask, class Place, class Sums>
__device__ __forceinline__ void store_tile(const GemmParams& p, const Mask& mask, const Place& at,
                                           const Sums& sums, float* staging) {
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  constexpr int kPitch = Block::kStagingPitch;
  float* rows = staging + warp * 16 * kPitch;
#pragma unroll
  for (int i = 0; i < Block::kMmaM; ++i) {
#pragma unroll
    for (int j = 0; j < Block::kMmaN; ++j) {
      float* to = rows + lane / 4 * kPitch + j * 8 + lane % 4 * 2;
      *reinterpret_cast<float2*>(to) = make_float2(sums[i][j][0], sums[i][j][1]);
      *reinterpret_cast<float2*>(to + 8 * kPitch) = make_float2(sums[i][j][2], sums[i][j][3]);
    }
    __syncwarp();
    Store<T, Mask>{p, mask, at.batch, at.split}.template rows<Block::kWarpN, kPitch>(
        rows, at.row + at.warp_row + i * 16, at.column + at.warp_column);
    __syncwarp();
  }
}

template <class T, class Block, class Ops, GemmSum kSum, class Mask>
__global__ void __launch_bounds__(Block::kThreads, Block::kBlocks)
    gemm_kernel(const GemmParams p, const Mask mask) {
  using Body = GemmBody<T, Block, Ops, kSum, Mask>;
  T* shared = shared_memory<T>();
  const typename Body::Place at = Body::place(p);
  typename Body::Sums sums = {};
  Body::sum(p, mask, at, shared, sums);
  __syncthreads();
  store_tile<T, Block>(p, mask, at, sums, reinterpret_cast<float*>(shared));
}

// Host side, of any product: what the kernel is told, whether operands are read in chunks of 16 bytes, and C
// out of the partial sums that p.partial has.
GemmParams gemm_params(const Gemm& g);
bool operands_aligned(const Gemm& g);
void add_splits(CudaStream stream, std::string_view op, const Gemm& g, const GemmParams& p);

// One launch of operands of type T; defined for __half and __nv_bfloat16.
struct GemmLaunch {
  std::string_view op;
  CudaStream stream;
  GemmTile tile;
  Major a, b;
  bool gather;
  GemmSum sum;
  unsigned batch;
};
template <class T>
void launch_gemm(const GemmLaunch& l, GemmParams& p);

template <class T, class Block, class Ops, GemmSum kSum = GemmSum::fp32, class Mask = NoMask>
void launch_tile(const GemmLaunch& l, GemmParams& p, const Mask& mask = {}) {
  p.tiles_m = (p.m - 1) / Block::kM + 1;
  p.tiles_n = (p.n - 1) / Block::kN + 1;
  const dim3 grid(static_cast<unsigned>(p.tiles_m) * static_cast<unsigned>(p.tiles_n),
                  static_cast<unsigned>(p.splits), l.batch);
  launch({.op = l.op,
          .grid = grid,
          .block = Block::kThreads,
          .stream = l.stream,
          .shared_bytes = Block::kSharedBytes,
          .sizes = {p.m, p.n, std::int64_t{p.steps} * kDepth, l.batch}},
         gemm_kernel<T, Block, Ops, kSum, Mask>, p, mask);
}

using Tile128x128 = BlockTile<128, 128, 2, 4, 2>;
using Tile128x128Half = BlockTile<128, 128, 2, 4, 1>;  // of fp16 sums, which take more registers
using Tile128x64 = BlockTile<128, 64, 4, 2, 2>;
using Tile64x64 = BlockTile<64, 64, 2, 2, 4>;
using Tile128x32 = BlockTile<128, 32, 4, 1, 4>;
using Tile32x128 = BlockTile<32, 128, 1, 4, 4>;

template <class T, Major kA, Major kB>
void launch_aligned(const GemmLaunch& l, GemmParams& p) {
  using Ops = Operands<kA, kB>;
  constexpr bool kForward = kA == Major::k && kB == Major::k;
  if constexpr (kForward && std::is_same_v<T, __half>) {
    if (l.sum == GemmSum::fp16) return launch_tile<T, Tile128x128Half, Ops, GemmSum::fp16>(l, p);
  }
  if constexpr (kForward) {
    if (l.tile == GemmTile::m128n32) return launch_tile<T, Tile128x32, Ops>(l, p);
  }
  if constexpr (kA == Major::mn) {
    if (l.tile == GemmTile::m32n128) return launch_tile<T, Tile32x128, Ops>(l, p);
  } else {
    if (l.tile == GemmTile::m128n64) return launch_tile<T, Tile128x64, Ops>(l, p);
  }
  if (l.tile == GemmTile::m128n128) return launch_tile<T, Tile128x128, Ops>(l, p);
  launch_tile<T, Tile64x64, Ops>(l, p);
}

template <class T>
void launch_gemm(const GemmLaunch& l, GemmParams& p) {
  if (l.gather) return launch_tile<T, Tile64x64, Operands<Major::k, Major::k, true>>(l, p);
  if (l.a == Major::mn) return launch_aligned<T, Major::mn, Major::mn>(l, p);
  if (l.b == Major::mn) return launch_aligned<T, Major::k, Major::mn>(l, p);
  launch_aligned<T, Major::k, Major::k>(l, p);
}

}  // namespace rankine::cuda
