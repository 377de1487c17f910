#include "kernels/matmul/gemm_plan.h"

#include <algorithm>

namespace rankine {
namespace {

struct Shape2 {
  std::int64_t m, n;
  double efficiency;  // of the tensor cores: smaller tiles read more of shared memory and L2 per product
};
constexpr Shape2 shape_of(GemmTile t) {
  constexpr Shape2 kShapes[] = {
      {128, 128, 1.0}, {128, 64, 0.92}, {64, 64, 0.8}, {128, 32, 0.6}, {32, 128, 0.6}};
  return kShapes[static_cast<int>(t)];
}

constexpr double kProductsPerClock = 256;  // of one multiprocessor of sm_86 and sm_89, fp32 accumulation
constexpr double kBlockClocks = 2500;      // filling the pipeline and storing a tile
constexpr double kSplitClocks = 4000;      // another launch
constexpr double kBytesPerClock = 8;       // of one multiprocessor, partial sums to and from L2 and memory
constexpr std::int64_t kMaxSplits = 16, kMinSteps = 4;
// Between an RTX 3090 (82) and an RTX 4090 or an H200 (128, 132).
constexpr int kNominalMultiprocessors = 128;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// Clocks, to compare choices with.
double time_of(const GemmSizes& s, GemmTile tile, std::int64_t splits, int multiprocessors) {
  const Shape2 t = shape_of(tile);
  const std::int64_t blocks = ceil_div(s.m, t.m) * ceil_div(s.n, t.n) * s.batch * splits;
  const auto waves = static_cast<double>(ceil_div(blocks, multiprocessors));
  const auto depth = static_cast<double>(ceil_div(s.k / kGemmDepth, splits) * kGemmDepth);
  const double block =
      static_cast<double>(t.m * t.n) * depth / (kProductsPerClock * t.efficiency) + kBlockClocks;
  if (splits == 1) return waves * block;
  const double bytes = 8.0 * static_cast<double>(splits * s.batch) * static_cast<double>(s.m * s.n);
  return waves * block + kSplitClocks + bytes / (kBytesPerClock * multiprocessors);
}

// A skinny tile is for a skinny C.
bool fits(const GemmSizes& s, GemmTile tile) {
  return (tile != GemmTile::m128n32 || s.n <= 32) && (tile != GemmTile::m32n128 || s.m <= 32);
}

}  // namespace

int gemm_splits(const GemmSizes& s) {
  constexpr GemmTile kTiles[] = {GemmTile::m128n128, GemmTile::m128n64, GemmTile::m64n64, GemmTile::m128n32,
                                 GemmTile::m32n128};
  const std::int64_t most = std::clamp<std::int64_t>(s.k / kGemmDepth / kMinSteps, 1, kMaxSplits);
  std::int64_t best = 1;
  double best_time = 0;
  for (std::int64_t splits = 1; splits <= most; ++splits) {
    for (const GemmTile tile : kTiles) {
      if (!fits(s, tile)) continue;
      const double time = time_of(s, tile, splits, kNominalMultiprocessors);
      if (best_time > 0 && time >= best_time) continue;
      best = splits;
      best_time = time;
    }
  }
  return static_cast<int>(best);
}

std::int64_t gemm_partial_floats(const GemmSizes& s) {
  const int splits = gemm_splits(s);
  return splits == 1 ? 0 : splits * s.batch * s.m * s.n;
}

GemmTile gemm_tile(const GemmSizes& s, int splits, int multiprocessors, std::span<const GemmTile> allowed) {
  GemmTile best = allowed.front();
  double best_time = 0;
  for (const GemmTile tile : allowed) {
    if (!fits(s, tile)) continue;
    const double time = time_of(s, tile, splits, multiprocessors);
    if (best_time > 0 && time >= best_time) continue;
    best = tile;
    best_time = time;
  }
  return best;
}

}  // namespace rankine
