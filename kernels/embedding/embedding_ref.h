// The meaning of embedding.h in scalar loops, for any number type T.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace rankine::ref {

template <class T>
std::vector<T> embedding(const std::vector<T>& table, const std::vector<std::int32_t>& ids,
                         std::int64_t cols) {
  std::vector<T> y;
  for (const std::int32_t id : ids)
    y.insert(y.end(), table.begin() + id * cols, table.begin() + (id + 1) * cols);
  return y;
}

template <class T>
std::vector<T> embedding_weight_grad(const std::vector<T>& dtable, const std::vector<T>& dy,
                                     const std::vector<std::int32_t>& ids, std::int64_t cols) {
  std::vector<T> out(dtable);
  for (std::size_t i = 0; i < dy.size(); ++i) {
    out[ids[i / cols] * cols + std::int64_t(i) % cols] += dy[i];
  }
  return out;
}

template <class T>
std::vector<T> timestep_embedding(const std::vector<T>& t, std::int64_t half, T max_period) {
  std::vector<T> y(t.size() * 2 * half);
  for (std::size_t n = 0; n < t.size(); ++n) {
    for (std::int64_t i = 0; i < half; ++i) {
      const T angle = t[n] * std::exp(-std::log(max_period) * T(i) / T(half));
      y[n * 2 * half + i] = std::cos(angle);
      y[n * 2 * half + half + i] = std::sin(angle);
    }
  }
  return y;
}

}  // namespace rankine::ref
