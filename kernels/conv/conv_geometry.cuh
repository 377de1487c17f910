// Which pixel of which map a row of a convolution's product and a filter tap meet in, forward and adjoint.
// The tensor-core kernels, which move from tap to tap, and the scalar ones share it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/conv/conv_impl.h"

namespace rankine::cuda {

struct ConvGeometry {
  int images, height, width, in, out_height, out_width, out, size, stride, pad;
};
inline ConvGeometry geometry_of(const ConvSizes& s) {
  const auto narrow = [](std::int64_t n) { return static_cast<int>(n); };
  return {narrow(s.images),    narrow(s.height), narrow(s.width), narrow(s.in),    narrow(s.out_height),
          narrow(s.out_width), narrow(s.out),    s.window.size,   s.window.stride, s.window.pad_before};
}

// One dimension: row g of the product and tap t meet in coordinate g * step + offset + t of the map that is
// read, - t in the adjoint. Tap t is tap first_tap + t * tap_step of the filter.
struct ConvAxis {
  int extent, grid, step, offset, taps, first_tap, tap_step;
};

// A strided convolution reads an input pixel with those taps alone that suit the pixel's position modulo the
// stride. Each such phase of the adjoint is a product of its own, on the input pixels g * stride + phase.
template <bool kAdjoint>
__device__ inline ConvAxis axis_of(const ConvGeometry& g, int in, int out, int phase) {
  if constexpr (!kAdjoint) {
    return {in, out, g.stride, -g.pad, g.size, 0, 1};
  } else {
    const int first = (phase + g.pad) % g.stride;
    const int taps = first < g.size ? (g.size - first + g.stride - 1) / g.stride : 0;
    const int grid = phase < in ? (in - phase + g.stride - 1) / g.stride : 0;
    return {out, grid, 1, (phase + g.pad - first) / g.stride, taps, first, g.stride};
  }
}

// Where tap (0, 0) of a row lies: coordinates, possibly outside, and the pixel's number in the map.
struct ConvPixel {
  int y, x, number;
};

// The rows of one phase: pixels of y forward, of x in the adjoint.
template <bool kAdjoint>
struct ConvRows {
  static constexpr int kSign = kAdjoint ? -1 : 1;
  ConvAxis y, x;
  int images, channels;                                       // of the map that is read
  int to_step, to_y, to_x, to_height, to_width, to_channels;  // row (gy, gx) writes pixel g * to_step + to

  __device__ static ConvRows of(const ConvGeometry& g, int phase) {
    ConvRows r;
    r.to_step = kAdjoint ? g.stride : 1;
    r.to_y = kAdjoint ? phase / g.stride : 0;
    r.to_x = kAdjoint ? phase % g.stride : 0;
    r.y = axis_of<kAdjoint>(g, g.height, g.out_height, r.to_y);
    r.x = axis_of<kAdjoint>(g, g.width, g.out_width, r.to_x);
    r.images = g.images;
    r.channels = kAdjoint ? g.out : g.in;
    r.to_height = kAdjoint ? g.height : g.out_height;
    r.to_width = kAdjoint ? g.width : g.out_width;
    r.to_channels = kAdjoint ? g.in : g.out;
    return r;
  }
  __device__ int rows() const { return images * y.grid * x.grid; }
  __device__ int depth() const { return y.taps * x.taps * channels; }

  __device__ ConvPixel pixel(int image, int gy, int gx) const {
    const int py = gy * y.step + y.offset, px = gx * x.step + x.offset;
    return {py, px, (image * y.extent + py) * x.extent + px};
  }
  // Rows beyond the last lie outside for every tap.
  __device__ ConvPixel pixel(int row) const {
    if (row >= rows()) return {-(1 << 30), -(1 << 30), 0};
    const int gx = row % x.grid, above = row / x.grid;
    return pixel(above / y.grid, above % y.grid, gx);
  }
  __device__ bool inside(const ConvPixel& p, int ty, int tx) const {
    const int py = p.y + kSign * ty, px = p.x + kSign * tx;
    return py >= 0 && py < y.extent && px >= 0 && px < x.extent;
  }
  // The offset of the channel that tap (ty, tx) reads.
  __device__ std::int64_t at(const ConvPixel& p, int ty, int tx, int c) const {
    return std::int64_t{p.number + kSign * (ty * x.extent + tx)} * channels + c;
  }
  __device__ int filter_tap(int ty, int tx, int size) const {
    return (y.first_tap + ty * y.tap_step) * size + x.first_tap + tx * x.tap_step;
  }
  // The offset of channel 0 of the pixel that `row` writes.
  __device__ std::int64_t to(int row) const {
    if (to_step == 1) return std::int64_t{row} * to_channels;
    const int gx = row % x.grid, above = row / x.grid, gy = above % y.grid, image = above / y.grid;
    return ((std::int64_t{image} * to_height + gy * to_step + to_y) * to_width + gx * to_step + to_x) *
           to_channels;
  }
};

// A place in the sum over taps and channels, moved forward a fixed distance at a time.
struct ConvDepth {
  int ty, tx, c;
  __device__ static ConvDepth at(int k, int channels, int taps_x) {
    const int each = max(1, channels), row = max(1, taps_x), tap = k / each;  // an empty sum has no step
    return {tap / row, tap % row, k % each};
  }
  __device__ void advance(int by, int channels, int taps_x) {
    c += by;
    while (c >= channels) {
      c -= channels;
      if (++tx >= taps_x) tx = 0, ++ty;
    }
  }
};

}  // namespace rankine::cuda
