// Products of low rank with a dropout inside, and their launch for one type; dropped_f16_cuda.cu and
// dropped_bf16_cuda.cu have the instances. An operand passes its mask in shared memory, by the thread that
// copied it there; a result passes it on its way out. Scales stay in fp32: a mask only clears numbers.
#pragma once

#include "kernels/lowrank/sample_mask.cuh"
#include "kernels/matmul/gemm_cuda.cuh"

namespace rankine::cuda {

// x of x · downᵀ (kOfA: rows of x along M, columns along K) or of dSᵀ · x (rows along K, columns along N).
template <bool kOfA>
struct InputMask {
  static constexpr bool kA = kOfA, kB = !kOfA, kOut = false;
  SampleMask mask;
  int rows;
  bool aligned;  // chunks of 8 columns start at multiples of 8 words

  template <class Tile, int kThreads, bool kByK, class T>
  __device__ __forceinline__ void tile(T* shared, int first, int k) const {
    constexpr bool kRowsOfX = kOfA != kByK;  // a row of the tile lies in a row of x
    const int row = kOfA ? first : k, column = kOfA ? k : first;
#pragma unroll 1
    for (int index = static_cast<int>(threadIdx.x); index < Tile::kRows * Tile::kChunks; index += kThreads) {
      const int r = index / Tile::kChunks, chunk = index % Tile::kChunks;
      unsigned bits = 0;
      if constexpr (kRowsOfX) {
        if (row + r >= rows || column + chunk * 8 >= mask.cols) continue;
        bits = aligned ? mask.template kept<8, true>(row + r, column + chunk * 8)
                       : mask.template kept<8, false>(row + r, column + chunk * 8);
      } else {
        if (column + r >= mask.cols) continue;
        for (int i = 0; i < 8; ++i)
          bits |= mask.template kept<1, false>(row + chunk * 8 + i, column + r) << i;
      }
      clear(reinterpret_cast<uint4*>(shared + Tile::at(r, chunk)), bits);
    }
  }

 private:
  static __device__ __forceinline__ void clear(uint4* eight, unsigned kept) {
    const auto half = [kept](int i) {
      return ((kept >> i & 1U) ? 0x0000FFFFU : 0U) | ((kept >> (i + 1) & 1U) ? 0xFFFF0000U : 0U);
    };
    uint4 v = *eight;
    v.x &= half(0), v.y &= half(2), v.z &= half(4), v.w &= half(6);
    *eight = v;
  }
};

// What dS · down adds to dx.
struct OutputMask {
  static constexpr bool kA = false, kB = false, kOut = true;
  SampleMask mask;

  template <int kCount>
  __device__ __forceinline__ void row(float (&v)[kCount], int row, int column) const {
    const unsigned bits = mask.template kept<kCount, kCount == 8>(row, column);
#pragma unroll
    for (int i = 0; i < kCount; ++i) v[i] = bits >> i & 1U ? v[i] : 0.0F;
  }
};

// p as gemm_params makes it, with the scale 1 / (1 - p) in it.
enum class Dropped : std::uint8_t { middle, down_grad, adjoint };

template <class T>
void launch_dropped(Dropped what, const GemmLaunch& l, GemmParams& p, const SampleMask& mask) {
  using Anyhow = Operands<Major::k, Major::k, true>;
  const bool aligned = mask.cols % 8 == 0;
  if (what == Dropped::middle) {
    const InputMask<true> x{mask, p.m, aligned};
    using Ops = Operands<Major::k, Major::k>;
    if (l.gather) return launch_tile<T, Tile64x64, Anyhow, GemmSum::fp32>(l, p, x);
    if (p.n <= Tile128x32::kN) return launch_tile<T, Tile128x32, Ops, GemmSum::fp32>(l, p, x);
    return launch_tile<T, Tile64x64, Ops, GemmSum::fp32>(l, p, x);
  }
  if (what == Dropped::down_grad) {
    const InputMask<false> x{mask, p.segments[0].k, aligned};
    using Ops = Operands<Major::mn, Major::mn>;
    if (l.gather) return launch_tile<T, Tile64x64, Anyhow, GemmSum::fp32>(l, p, x);
    if (p.m <= Tile32x128::kM) return launch_tile<T, Tile32x128, Ops, GemmSum::fp32>(l, p, x);
    return launch_tile<T, Tile64x64, Ops, GemmSum::fp32>(l, p, x);
  }
  const OutputMask out{mask};
  if (l.gather) return launch_tile<T, Tile64x64, Anyhow, GemmSum::fp32>(l, p, out);
  launch_tile<T, Tile128x64, Operands<Major::k, Major::mn>, GemmSum::fp32>(l, p, out);
}

}  // namespace rankine::cuda
