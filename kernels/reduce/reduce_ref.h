// The meaning of reduce.h, for any number type T.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

namespace rankine::ref {

template <class T>
T sum(const std::vector<T>& x) {
  T s = 0;
  for (const T v : x) s += v;
  return s;
}

template <class T>
T add_sum(T total, const std::vector<T>& x) {
  return total + sum(x);
}

template <class T>
T dot(const std::vector<T>& a, const std::vector<T>& b) {
  T s = 0;
  for (std::size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

template <class T>
T max_abs(const std::vector<T>& x) {
  T most = 0;
  for (const T v : x) {
    if (!(std::abs(v) <= most)) most = std::abs(v);
  }
  return most;
}

template <class T>
std::vector<T> add_column_sums(const std::vector<T>& db, const std::vector<T>& dy) {
  std::vector<T> out(db);
  for (std::size_t i = 0; i < dy.size(); ++i) out[i % db.size()] += dy[i];
  return out;
}

}  // namespace rankine::ref
