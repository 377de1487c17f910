// How CUDA computes a convolution: tile, splits of the sum, scratch. It follows from sizes and types alone,
// so a plan device knows it, every card of a kind gives the same bits, and a test can ask for another.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/core/dtype.h"
#include "kernels/conv/conv.h"

namespace rankine {

// x (images, height, width, in), y (images, out_height, out_width, out).
struct ConvSizes {
  std::int64_t images, height, width, in, out_height, out_width, out;
  Window window;

  std::int64_t x_rows() const { return images * height * width; }
  std::int64_t y_rows() const { return images * out_height * out_width; }
  std::int64_t taps() const { return std::int64_t{window.size} * window.size; }
};
enum class ConvPass : std::uint8_t { forward, adjoint, weight_grad };
// The block of the product one thread block computes: on tensor cores, or one product at a time.
enum class ConvTile : std::uint8_t { m128n128, m128n64, m64n64, scalar };

// The matrix product that a pass is: `phases` products of at most rows x cols, sums over `depth`.
struct ConvProduct {
  std::int64_t rows, cols, depth, phases;
  static ConvProduct of(ConvPass pass, const ConvSizes& sizes);
};

struct ConvPlan {
  ConvTile tile;
  int splits;                   // of the sum; above 1, partial results go through scratch, added in order
  std::int64_t filter_floats;   // scratch for the filter in the activations' type; 0: read where it is
  std::int64_t partial_floats;  // scratch for all partial results, or for cuDNN
  bool cudnn;                   // may go to cuDNN, where this build and the card have it
  std::int64_t scratch_floats() const { return filter_floats + partial_floats; }
};

// Throws ShapeError, naming `op`, when a map is too large for 32-bit pixel numbers.
ConvPlan conv_plan(std::string_view op, ConvPass pass, const ConvSizes& sizes, DType activation,
                   DType filter);
// Own kernels with a tile and a number of splits of the caller's choice.
ConvPlan conv_plan_with(ConvPass pass, const ConvSizes& sizes, DType activation, DType filter, ConvTile tile,
                        int splits);

}  // namespace rankine
