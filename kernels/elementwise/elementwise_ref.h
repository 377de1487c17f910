// The meaning of elementwise.h, one scalar loop per operation, for any number type T.
#pragma once

#include <cstdint>
#include <vector>

namespace rankine::ref {

template <class T>
using Values = std::vector<T>;

template <class T>
Values<T> scale(const Values<T>& x, T s) {
  Values<T> y(x);
  for (T& v : y) v *= s;
  return y;
}

// y + s x; also add (s = 1).
template <class T>
Values<T> add_scaled(const Values<T>& y, const Values<T>& x, T s) {
  Values<T> out(y);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] += s * x[i];
  return out;
}

template <class T>
Values<T> multiply(const Values<T>& a, const Values<T>& b) {
  Values<T> y(a);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] *= b[i];
  return y;
}

template <class T>
Values<T> lerp(const Values<T>& y, const Values<T>& x, T weight) {
  return add_scaled(scale(y, T(1) - weight), x, weight);
}

// y (samples, space, channels) + v (samples, channels)
template <class T>
Values<T> add_per_sample(const Values<T>& y, const Values<T>& v, std::int64_t samples,
                         std::int64_t channels) {
  Values<T> out(y);
  const std::int64_t each = std::int64_t(y.size()) / samples;
  for (std::int64_t i = 0; i < std::int64_t(y.size()); ++i) out[i] += v[i / each * channels + i % channels];
  return out;
}

template <class T>
Values<T> multiply_per_sample(const Values<T>& y, const Values<T>& v, std::int64_t samples,
                              std::int64_t channels) {
  Values<T> out(y);
  const std::int64_t each = std::int64_t(y.size()) / samples;
  for (std::int64_t i = 0; i < std::int64_t(y.size()); ++i) out[i] *= v[i / each * channels + i % channels];
  return out;
}

template <class T>
Values<T> sum_per_sample(const Values<T>& dy, std::int64_t samples, std::int64_t channels) {
  Values<T> dv(samples * channels);
  const std::int64_t each = std::int64_t(dy.size()) / samples;
  for (std::int64_t i = 0; i < std::int64_t(dy.size()); ++i) dv[i / each * channels + i % channels] += dy[i];
  return dv;
}

template <class T>
Values<T> add_to_each_sample(const Values<T>& y, const Values<T>& table) {
  Values<T> out(y);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] += table[i % table.size()];
  return out;
}

template <class T>
Values<T> sum_over_samples(const Values<T>& dtable, const Values<T>& dy) {
  Values<T> out(dtable);
  for (std::size_t i = 0; i < dy.size(); ++i) out[i % out.size()] += dy[i];
  return out;
}

// a (rows, A), b (rows, B) -> y (rows, A + B)
template <class T>
Values<T> concat_channels(const Values<T>& a, const Values<T>& b, std::int64_t rows) {
  Values<T> y;
  const std::int64_t wa = std::int64_t(a.size()) / rows, wb = std::int64_t(b.size()) / rows;
  for (std::int64_t r = 0; r < rows; ++r) {
    y.insert(y.end(), a.begin() + r * wa, a.begin() + (r + 1) * wa);
    y.insert(y.end(), b.begin() + r * wb, b.begin() + (r + 1) * wb);
  }
  return y;
}

template <class T>
Values<T> mix_per_sample(const Values<T>& a, const Values<T>& x, const Values<T>& b, const Values<T>& z) {
  Values<T> y(x.size());
  const std::size_t each = x.size() / a.size();
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = a[i / each] * x[i] + b[i / each] * z[i];
  return y;
}

}  // namespace rankine::ref
