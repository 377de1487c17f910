// The meaning of matmul.h, for any number type T. Row-major; a weight already decoded.
#pragma once

#include <cstdint>
#include <vector>

namespace rankine::ref {

// y (rows, out) = x (rows, in) · wᵀ + bias; an empty bias is none.
template <class T>
std::vector<T> linear_forward(const std::vector<T>& x, const std::vector<T>& w, const std::vector<T>& bias,
                              std::int64_t in, std::int64_t out) {
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / in;
  std::vector<T> y(static_cast<std::size_t>(rows * out));
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t o = 0; o < out; ++o) {
      T sum = bias.empty() ? T(0) : bias[o];
      for (std::int64_t i = 0; i < in; ++i) sum += x[t * in + i] * w[o * in + i];
      y[t * out + o] = sum;
    }
  }
  return y;
}

// dx (rows, in) + dy (rows, out) · w.
template <class T>
std::vector<T> linear_adjoint(std::vector<T> dx, const std::vector<T>& dy, const std::vector<T>& w,
                              std::int64_t in, std::int64_t out) {
  const std::int64_t rows = static_cast<std::int64_t>(dy.size()) / out;
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t o = 0; o < out; ++o) {
      for (std::int64_t i = 0; i < in; ++i) dx[t * in + i] += dy[t * out + o] * w[o * in + i];
    }
  }
  return dx;
}

// dw (out, in) + dyᵀ · x.
template <class T>
std::vector<T> linear_weight_grad(std::vector<T> dw, const std::vector<T>& dy, const std::vector<T>& x,
                                  std::int64_t in, std::int64_t out) {
  const std::int64_t rows = static_cast<std::int64_t>(dy.size()) / out;
  for (std::int64_t t = 0; t < rows; ++t) {
    for (std::int64_t o = 0; o < out; ++o) {
      for (std::int64_t i = 0; i < in; ++i) dw[o * in + i] += dy[t * out + o] * x[t * in + i];
    }
  }
  return dw;
}

// Sizes of a batch of products; a (m, k) or, transposed, (k, m); b (k, n) or (n, k).
struct BatchedSizes {
  std::int64_t batch, m, n, k;
};
template <class T>
std::vector<T> batched_matmul(const std::vector<T>& a, bool ta, const std::vector<T>& b, bool tb,
                              const BatchedSizes& s) {
  std::vector<T> y(static_cast<std::size_t>(s.batch * s.m * s.n), T(0));
  for (std::int64_t i = 0; i < s.batch; ++i) {
    for (std::int64_t m = 0; m < s.m; ++m) {
      for (std::int64_t n = 0; n < s.n; ++n) {
        for (std::int64_t k = 0; k < s.k; ++k) {
          y[(i * s.m + m) * s.n + n] += a[i * s.m * s.k + (ta ? k * s.m + m : m * s.k + k)] *
                                        b[i * s.n * s.k + (tb ? n * s.k + k : k * s.n + n)];
        }
      }
    }
  }
  return y;
}

}  // namespace rankine::ref
