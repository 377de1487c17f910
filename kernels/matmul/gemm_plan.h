// How a CUDA product is cut into blocks of threads: which tile of C a block computes, and into how many parts
// the sum over K is split where C has too few tiles to fill a card. The number of parts follows from the
// sizes alone, so that the order of a sum is the same on every card and a plan device asks for the same
// scratch; the tile changes neither and may follow the card.
#pragma once

#include <cstdint>
#include <span>

namespace rankine {

struct GemmSizes {
  std::int64_t m, n, k;  // k: all terms, each rounded up to kGemmDepth
  std::int64_t batch = 1;
};
inline constexpr std::int64_t kGemmDepth = 32;  // of K per step of the pipeline
constexpr std::int64_t gemm_depth(std::int64_t k) { return (k + kGemmDepth - 1) / kGemmDepth * kGemmDepth; }

enum class GemmTile : std::uint8_t { m128n128, m128n64, m64n64, m128n32, m32n128 };

// Parts of K. Each has its own fp32 C in scratch; they are added in order.
int gemm_splits(const GemmSizes& s);
// Floats of that scratch; 0 when K is not split.
std::int64_t gemm_partial_floats(const GemmSizes& s);
// The fastest of `allowed` on a card of that many multiprocessors.
GemmTile gemm_tile(const GemmSizes& s, int splits, int multiprocessors, std::span<const GemmTile> allowed);

}  // namespace rankine
