// The meaning of conv.h, for any number type T: one visit per (pixel of y, tap, in, out).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/conv/conv.h"

namespace rankine::ref {

struct ConvShape {
  std::int64_t images, height, width, in, out;
  Window window;
  std::int64_t out_height() const { return window.out(height); }
  std::int64_t out_width() const { return window.out(width); }
};

// Calls f(index in x of channel 0, index in y of channel 0, index in w of (output 0, this tap, channel 0)).
template <class F>
void for_each_tap(const ConvShape& s, const F& f) {
  const Window& w = s.window;
  for (std::int64_t n = 0; n < s.images; ++n) {
    for (std::int64_t oy = 0; oy < s.out_height(); ++oy) {
      for (std::int64_t ox = 0; ox < s.out_width(); ++ox) {
        for (std::int64_t tap = 0; tap < w.size * w.size; ++tap) {
          const std::int64_t iy = oy * w.stride - w.pad_before + tap / w.size;
          const std::int64_t ix = ox * w.stride - w.pad_before + tap % w.size;
          if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
          f(((n * s.height + iy) * s.width + ix) * s.in,
            ((n * s.out_height() + oy) * s.out_width() + ox) * s.out, tap * s.in);
        }
      }
    }
  }
}

template <class T>
std::vector<T> conv2d_forward(const std::vector<T>& x, const std::vector<T>& w, const std::vector<T>& bias,
                              const ConvShape& s) {
  std::vector<T> y(static_cast<std::size_t>(s.images * s.out_height() * s.out_width() * s.out), T(0));
  for (std::size_t i = 0; i < y.size() && !bias.empty(); ++i)
    y[i] = bias[static_cast<std::int64_t>(i) % s.out];
  const std::int64_t filter = s.window.size * s.window.size * s.in;
  for_each_tap(s, [&](std::int64_t x0, std::int64_t y0, std::int64_t w0) {
    for (std::int64_t o = 0; o < s.out; ++o) {
      for (std::int64_t i = 0; i < s.in; ++i) y[y0 + o] += x[x0 + i] * w[o * filter + w0 + i];
    }
  });
  return y;
}

// dx + the transposed convolution of dy.
template <class T>
std::vector<T> conv2d_adjoint(std::vector<T> dx, const std::vector<T>& dy, const std::vector<T>& w,
                              const ConvShape& s) {
  const std::int64_t filter = s.window.size * s.window.size * s.in;
  for_each_tap(s, [&](std::int64_t x0, std::int64_t y0, std::int64_t w0) {
    for (std::int64_t o = 0; o < s.out; ++o) {
      for (std::int64_t i = 0; i < s.in; ++i) dx[x0 + i] += dy[y0 + o] * w[o * filter + w0 + i];
    }
  });
  return dx;
}

template <class T>
std::vector<T> conv2d_weight_grad(std::vector<T> dw, const std::vector<T>& dy, const std::vector<T>& x,
                                  const ConvShape& s) {
  const std::int64_t filter = s.window.size * s.window.size * s.in;
  for_each_tap(s, [&](std::int64_t x0, std::int64_t y0, std::int64_t w0) {
    for (std::int64_t o = 0; o < s.out; ++o) {
      for (std::int64_t i = 0; i < s.in; ++i) dw[o * filter + w0 + i] += dy[y0 + o] * x[x0 + i];
    }
  });
  return dw;
}

}  // namespace rankine::ref
