// The meaning of resample.h in scalar loops, for any number type T.
#pragma once

#include <cstdint>
#include <vector>

namespace rankine::ref {

struct MapSize {
  std::int64_t samples, in_h, in_w, out_h, out_w, channels;
  std::int64_t outputs() const { return samples * out_h * out_w * channels; }
  std::int64_t inputs() const { return samples * in_h * in_w * channels; }
  // The input element that output element i reads.
  std::int64_t source(std::int64_t i) const {
    const std::int64_t channel = i % channels, col = i / channels % out_w, row = i / channels / out_w % out_h;
    const std::int64_t sample = i / channels / out_w / out_h;
    return ((sample * in_h + row * in_h / out_h) * in_w + col * in_w / out_w) * channels + channel;
  }
};

template <class T>
std::vector<T> upsample_nearest(const std::vector<T>& x, const MapSize& size) {
  std::vector<T> y(size.outputs());
  for (std::int64_t i = 0; i < size.outputs(); ++i) y[i] = x[size.source(i)];
  return y;
}

template <class T>
std::vector<T> upsample_nearest_adjoint(const std::vector<T>& dy, const MapSize& size) {
  std::vector<T> dx(size.inputs());
  for (std::int64_t i = 0; i < size.outputs(); ++i) dx[size.source(i)] += dy[i];
  return dx;
}

}  // namespace rankine::ref
