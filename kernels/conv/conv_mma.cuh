// The operands of conv's tensor-core kernels: each starts the copies of one tile per step, with zeros where
// the map's border, a tap or a channel does not exist.
#pragma once

#include "kernels/conv/conv_geometry.cuh"
#include "kernels/conv/conv_tile.cuh"

namespace rankine::cuda {

// Rows of pixels; the sum runs over taps and, within a tap, channels. Channels come in eights, so that the 16
// bytes of a copy have one tap.
template <class T, class Tile, bool kAdjoint>
struct PixelRows {
  static constexpr bool kAlong = false;
  static constexpr int kEach = Tile::kRows * 4 / Tile::kThreads;
  const T* from;
  const ConvRows<kAdjoint>& map;
  ConvDepth k;
  ConvPixel pixels[kEach];

  __device__ PixelRows(const T* data, const ConvRows<kAdjoint>& rows, int row, int step)
      : from(data), map(rows) {
    const int thread = static_cast<int>(threadIdx.x);
    k = ConvDepth::at(step * 32 + thread % 4 * 8, map.channels, map.x.taps);
#pragma unroll
    for (int i = 0; i < kEach; ++i) pixels[i] = map.pixel(row + thread / 4 + i * (Tile::kThreads / 4));
  }
  __device__ void load(T* tile) {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const bool valid = k.ty < map.y.taps && map.inside(pixels[i], k.ty, k.tx);
      cp_async16(tile + across_at(thread / 4 + i * (Tile::kThreads / 4), thread % 4),
                 valid ? from + map.at(pixels[i], k.ty, k.tx, k.c) : from, valid);
    }
    k.advance(32, map.channels, map.x.taps);
  }
};

// Forward: columns are filters, whose taps and channels lie in the order of the sum.
template <class T, class Tile>
struct FilterRows {
  static constexpr bool kAlong = false;
  static constexpr int kEach = Tile::kCols * 4 / Tile::kThreads;
  const T* w;
  int first, filters, k, depth;

  __device__ FilterRows(const T* data, const ConvGeometry& g, int col, int step)
      : w(data), filters(g.out), depth(g.size * g.size * g.in) {
    const int thread = static_cast<int>(threadIdx.x);
    first = col + thread / 4;
    k = step * 32 + thread % 4 * 8;
  }
  __device__ void load(T* tile) {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int below = i * (Tile::kThreads / 4), filter = first + below;
      const bool valid = filter < filters && k < depth;
      cp_async16(tile + across_at(thread / 4 + below, thread % 4),
                 valid ? w + std::int64_t{filter} * depth + k : w, valid);
    }
    k += 32;
  }
};

// Adjoint: columns are input channels; the sum runs over taps and filters. Filters come in eights, so that
// the neighbouring rows of a thread have one tap.
template <class T, class Tile>
struct FilterColumns {
  static constexpr bool kAlong = true;
  static constexpr int kPieces = Tile::kCols / 8, kEach = 32 * kPieces / Tile::kThreads;
  const T* w;
  const ConvRows<true>& map;
  const ConvGeometry& g;
  int col;
  ConvDepth k;

  __device__ FilterColumns(const T* data, const ConvRows<true>& rows, const ConvGeometry& geometry,
                           int first_col, int step)
      : w(data), map(rows), g(geometry) {
    const int thread = static_cast<int>(threadIdx.x);
    col = first_col + thread % kPieces * 8;
    k = ConvDepth::at(step * 32 + thread / kPieces * kEach, map.channels, map.x.taps);
  }
  __device__ void load(T* tile) {
    const int thread = static_cast<int>(threadIdx.x), filter = g.size * g.size * g.in;
    const bool valid = k.ty < map.y.taps && col < g.in;
    const int tap = map.filter_tap(k.ty, k.tx, g.size);
    const T* at = valid ? w + std::int64_t{k.c} * filter + tap * g.in + col : w;
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      cp_async16(tile + along_at<Tile::kCols>(thread / kPieces * kEach + i, thread % kPieces),
                 valid ? at + i * filter : w, valid);
    }
    k.advance(32, map.channels, map.x.taps);
  }
};

// Weight gradient: the sum runs over pixels of y; rows are the channels of dy there, ...
template <class T, class Tile>
struct OutputColumns {
  static constexpr bool kAlong = true;
  static constexpr int kPieces = Tile::kRows / 8, kRowsApart = Tile::kThreads / kPieces;
  static constexpr int kEach = 32 / kRowsApart;
  const T* dy;
  int channels, channel, pixel, pixels;

  __device__ OutputColumns(const T* data, const ConvRows<false>& map, int row, int step)
      : dy(data), channels(map.to_channels), pixels(map.rows()) {
    const int thread = static_cast<int>(threadIdx.x);
    channel = row + thread % kPieces * 8;
    pixel = step * 32 + thread / kPieces;
  }
  __device__ void load(T* tile) {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int p = pixel + i * kRowsApart;
      const bool valid = p < pixels && channel < channels;
      cp_async16(tile + along_at<Tile::kRows>(thread / kPieces + i * kRowsApart, thread % kPieces),
                 valid ? dy + std::int64_t{p} * channels + channel : dy, valid);
    }
    pixel += 32;
  }
};

// ... and columns the taps and channels of x that this pixel saw: a thread keeps its tap and moves over
// pixels.
template <class T, class Tile>
struct PixelColumns {
  static constexpr bool kAlong = true;
  static constexpr int kPieces = Tile::kCols / 8, kRowsApart = Tile::kThreads / kPieces;
  static constexpr int kEach = 32 / kRowsApart;
  const T* from;
  const ConvRows<false>& map;
  ConvDepth tap;
  int image[kEach], gy[kEach], gx[kEach];
  int images_on, gy_on, gx_on;  // 32 pixels further, in images, rows and columns

  __device__ PixelColumns(const T* data, const ConvRows<false>& rows, int col, int step)
      : from(data), map(rows) {
    const int thread = static_cast<int>(threadIdx.x), width = map.x.grid, height = map.y.grid;
    tap = ConvDepth::at(col + thread % kPieces * 8, map.channels, map.x.taps);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int pixel = step * 32 + thread / kPieces + i * kRowsApart;
      gx[i] = pixel % width;
      gy[i] = pixel / width % height;
      image[i] = pixel / width / height;
    }
    gx_on = 32 % width;
    gy_on = 32 / width % height;
    images_on = 32 / width / height;
  }
  __device__ void load(T* tile) {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const ConvPixel pixel = map.pixel(image[i], gy[i], gx[i]);
      const bool valid = image[i] < map.images && tap.ty < map.y.taps && map.inside(pixel, tap.ty, tap.tx);
      cp_async16(tile + along_at<Tile::kCols>(thread / kPieces + i * kRowsApart, thread % kPieces),
                 valid ? from + map.at(pixel, tap.ty, tap.tx, tap.c) : from, valid);
      advance(i);
    }
  }
  __device__ void advance(int i) {
    gx[i] += gx_on;
    gy[i] += gy_on;
    image[i] += images_on;
    if (gx[i] >= map.x.grid) gx[i] -= map.x.grid, ++gy[i];
    if (gy[i] >= map.y.grid) gy[i] -= map.y.grid, ++image[i];
  }
};

}  // namespace rankine::cuda
