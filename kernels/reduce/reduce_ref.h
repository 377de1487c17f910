// The meaning of reduce.h, for any number type T.
#pragma once

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
T sum_of_squares(const std::vector<T>& x) {
  T s = 0;
  for (const T v : x) s += v * v;
  return s;
}

template <class T>
std::vector<T> add_column_sums(const std::vector<T>& db, const std::vector<T>& dy) {
  std::vector<T> out(db);
  for (std::size_t i = 0; i < dy.size(); ++i) out[i % db.size()] += dy[i];
  return out;
}

}  // namespace rankine::ref
