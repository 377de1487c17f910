// The meaning of lowrank.h, for any number type T. Row-major.
#pragma once

#include <cstdint>
#include <vector>

namespace rankine::ref {

// One term: columns [first, first + rank) of middle (rows, width) with factor up (out, rank) or down (rank,
// in).
template <class T>
struct LowRank {
  const std::vector<T>& middle;
  std::int64_t width, first;
  const std::vector<T>& factor;
  std::int64_t rank;
  T scale;
};

// y (rows, out) + scale S · Bᵀ.
template <class T>
std::vector<T> lowrank_up_add(std::vector<T> y, const LowRank<T>& t, std::int64_t out) {
  for (std::size_t i = 0; i < y.size(); ++i) {
    const std::int64_t row = static_cast<std::int64_t>(i) / out, o = static_cast<std::int64_t>(i) % out;
    for (std::int64_t r = 0; r < t.rank; ++r) {
      y[i] += t.scale * t.middle[row * t.width + t.first + r] * t.factor[o * t.rank + r];
    }
  }
  return y;
}

// dx (rows, in) + scale dS · A.
template <class T>
std::vector<T> lowrank_down_add(std::vector<T> dx, const LowRank<T>& t, std::int64_t in) {
  for (std::size_t i = 0; i < dx.size(); ++i) {
    const std::int64_t row = static_cast<std::int64_t>(i) / in, at = static_cast<std::int64_t>(i) % in;
    for (std::int64_t r = 0; r < t.rank; ++r) {
      dx[i] += t.scale * t.middle[row * t.width + t.first + r] * t.factor[r * in + at];
    }
  }
  return dx;
}

// Writes the term's columns of ds (rows, width) and adds to dup (out, rank).
template <class T>
void lowrank_up_backward(std::vector<T>& ds, std::vector<T>& dup, const std::vector<T>& dy,
                         const LowRank<T>& t) {
  const std::int64_t out = static_cast<std::int64_t>(dup.size()) / t.rank;
  const std::int64_t rows = static_cast<std::int64_t>(dy.size()) / out;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t r = 0; r < t.rank; ++r) {
      T sum = 0;
      for (std::int64_t o = 0; o < out; ++o) {
        sum += dy[row * out + o] * t.factor[o * t.rank + r];
        dup[o * t.rank + r] += t.scale * dy[row * out + o] * t.middle[row * t.width + t.first + r];
      }
      ds[row * t.width + t.first + r] = t.scale * sum;
    }
  }
}

}  // namespace rankine::ref
