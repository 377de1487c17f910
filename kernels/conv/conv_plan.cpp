#include "kernels/conv/conv_plan.h"

#include <algorithm>
#include <limits>

namespace rankine {
namespace {

struct TileShape {
  ConvTile tile;
  std::int64_t rows, cols, depth;
  double rate;                   // products per clock of a multiprocessor that runs enough warps
  std::int64_t warps, resident;  // of a block; blocks on a multiprocessor
};
constexpr TileShape kTensorTiles[] = {{ConvTile::m128n128, 128, 128, 32, 240, 8, 2},
                                      {ConvTile::m128n64, 128, 64, 32, 210, 8, 2},
                                      {ConvTile::m64n64, 64, 64, 32, 170, 4, 4}};
constexpr TileShape kScalarTiles[] = {{ConvTile::scalar, 64, 64, 16, 50, 8, 4}};
constexpr int kSplits[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 24, 32};

constexpr std::int64_t kMultiprocessors = 128;  // of an RTX 4090; 82 to 132 differ little
constexpr double kStartSteps = 6;               // filling the pipeline and storing, in steps
constexpr double kWarpsToHide = 4;              // a multiprocessor with so many warps runs at half its rate
constexpr double kSplitClocks = 3000;           // one more launch
constexpr double kBytesPerClock = 500;          // of partial results, between memory's and L2's
constexpr std::int64_t kMinSteps = 4;           // of one split
constexpr std::int64_t kMaxPartialFloats = 8LL << 20;

#ifdef RANKINE_WITH_CUDNN
constexpr bool kWithCudnn = true;
#else
constexpr bool kWithCudnn = false;
#endif
constexpr std::int64_t kCudnnFloats = 2LL << 20;  // 8 MiB: enough for the indices of its implicit products

std::int64_t over(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

std::int64_t result_size(ConvPass pass, const ConvSizes& s) {
  switch (pass) {
    case ConvPass::forward:
      return s.y_rows() * s.out;
    case ConvPass::adjoint:
      return s.x_rows() * s.in;
    case ConvPass::weight_grad:
      break;
  }
  return s.out * s.taps() * s.in;
}

// Clocks of the whole card, roughly.
double clocks(const TileShape& t, const ConvProduct& p, std::int64_t result, int splits) {
  const std::int64_t blocks = over(p.rows, t.rows) * over(p.cols, t.cols) * p.phases * splits;
  const double steps = double(over(over(p.depth, t.depth), splits)) + kStartSteps;
  const double per_block = double(t.rows * t.cols * t.depth) * steps / t.rate;
  const double adding = splits == 1 ? 0 : kSplitClocks + 8.0 * splits * double(result) / kBytesPerClock;
  const std::int64_t each = over(blocks, kMultiprocessors);
  const double warps = double(std::clamp<std::int64_t>(each, 1, t.resident) * t.warps);
  return double(each) * per_block * (1 + kWarpsToHide / warps) + adding;
}

// Whether channels come in the 16 bytes that tensor-core tiles are loaded by, and offsets in a map in 32
// bits.
bool fits_tensor_cores(ConvPass pass, const ConvSizes& s, DType activation) {
  if (activation != DType::f16 && activation != DType::bf16) return false;
  return s.in % 8 == 0 && (pass == ConvPass::forward || s.out % 8 == 0);
}

}  // namespace

ConvProduct ConvProduct::of(ConvPass pass, const ConvSizes& s) {
  const std::int64_t stride = s.window.stride, taps = over(s.window.size, stride);
  switch (pass) {
    case ConvPass::forward:
      return {s.y_rows(), s.out, s.taps() * s.in, 1};
    case ConvPass::adjoint:
      return {s.images * over(s.height, stride) * over(s.width, stride), s.in, taps * taps * s.out,
              stride * stride};
    case ConvPass::weight_grad:
      break;
  }
  return {s.out, s.taps() * s.in, s.y_rows(), 1};
}

ConvPlan conv_plan_with(ConvPass pass, const ConvSizes& s, DType activation, DType filter, ConvTile tile,
                        int splits) {
  ConvPlan plan{tile, splits, 0, 0, false};
  if (pass != ConvPass::weight_grad && filter != activation) {
    const auto bytes = static_cast<std::int64_t>(size_of(activation)) * s.out * s.taps() * s.in;
    plan.filter_floats = over(bytes, 256) * 64;  // partial results begin at 256 bytes
  }
  if (plan.splits > 1) plan.partial_floats = plan.splits * result_size(pass, s);
  return plan;
}

ConvPlan conv_plan(std::string_view op, ConvPass pass, const ConvSizes& s, DType activation, DType filter) {
  constexpr std::int64_t kLimit = std::numeric_limits<std::int32_t>::max() / 2;
  require<ShapeError>(std::max({s.x_rows(), s.y_rows(), s.taps() * std::max(s.in, s.out)}) <= kLimit &&
                          std::int64_t{s.window.stride} * s.window.stride <= 65535,
                      op, ": maps of ", s.x_rows(), " and ", s.y_rows(), " pixels and filters of ",
                      s.taps() * std::max(s.in, s.out), " weights are beyond the ", kLimit,
                      " CUDA can count");
  const ConvProduct product = ConvProduct::of(pass, s);
  const std::int64_t result = result_size(pass, s);
  const std::span<const TileShape> tiles =
      fits_tensor_cores(pass, s, activation) ? std::span<const TileShape>(kTensorTiles) : kScalarTiles;
  ConvTile best_tile = tiles[0].tile;
  int best_splits = 1;
  double least = std::numeric_limits<double>::infinity();
  for (const TileShape& t : tiles) {
    for (const int splits : kSplits) {
      const bool allowed = splits == 1 || (over(product.depth, t.depth) >= splits * kMinSteps &&
                                           splits * result <= kMaxPartialFloats);
      const double cost = allowed ? clocks(t, product, result, splits) : least;
      if (cost < least) {
        best_tile = t.tile;
        best_splits = splits;
        least = cost;
      }
    }
  }
  ConvPlan plan = conv_plan_with(pass, s, activation, filter, best_tile, best_splits);
  if (kWithCudnn && pass != ConvPass::weight_grad && plan.tile != ConvTile::scalar) {
    plan.cudnn = true;
    plan.partial_floats = std::max(plan.partial_floats, kCudnnFloats);
  }
  return plan;
}

}  // namespace rankine
