// The meaning of attention.h in scalar loops over any number type: rows of all scores, softmax, sums. An
// oracle.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/attention/attention_impl.h"

namespace rankine::ref {

// Softmax of one row of one head over the keys it sees into p (zero elsewhere); returns its log-sum-exp.
template <class T>
T attention_row(const AttentionSize& s, KeyRange seen, const T* q_i, const T* k, std::vector<T>& p) {
  p.assign(static_cast<std::size_t>(s.keys), T(0));
  for (std::int64_t j = seen.begin; j < seen.end; ++j) {
    for (std::int64_t d = 0; d < s.width; ++d) p[j] += q_i[d] * k[j * s.kv_pitch() + d];
    p[j] *= T(s.scale);
  }
  const T top = *std::max_element(p.begin() + seen.begin, p.begin() + seen.end);
  T sum = 0;
  for (std::int64_t j = seen.begin; j < seen.end; ++j) sum += p[j] = std::exp(p[j] - top);
  for (std::int64_t j = seen.begin; j < seen.end; ++j) p[j] /= sum;
  return top + std::log(sum);
}

template <class T>
void attention_forward(const AttentionSize& s, T* o, T* lse, const T* q, const T* k, const T* v) {
  std::vector<T> p;
  for (std::int64_t n = 0; n < s.samples; ++n)
    for (std::int64_t h = 0; h < s.heads; ++h)
      for (std::int64_t i = 0; i < s.queries; ++i) {
        const std::int64_t at = s.q_offset(n * s.heads + h, i), kv = s.kv_offset(n * s.heads + h);
        lse[(n * s.heads + h) * s.queries + i] = attention_row(s, s.seen(n, i), q + at, k + kv, p);
        for (std::int64_t d = 0; d < s.width; ++d) {
          o[at + d] = 0;
          for (std::int64_t j = 0; j < s.keys; ++j) o[at + d] += p[j] * v[kv + j * s.kv_pitch() + d];
        }
      }
}

template <class T>
struct AttentionGradients {
  T* dq;
  T* dk;
  T* dv;
};
template <class T>
void attention_backward(const AttentionSize& s, AttentionGradients<T> out, const T* d_o, const T* q,
                        const T* k, const T* v) {
  std::fill(out.dq, out.dq + s.samples * s.queries * s.q_pitch(), T(0));
  std::fill(out.dk, out.dk + s.samples * s.keys * s.kv_pitch(), T(0));
  std::fill(out.dv, out.dv + s.samples * s.keys * s.kv_pitch(), T(0));
  std::vector<T> p, dp(static_cast<std::size_t>(s.keys));
  for (std::int64_t n = 0; n < s.samples; ++n)
    for (std::int64_t h = 0; h < s.heads; ++h)
      for (std::int64_t i = 0; i < s.queries; ++i) {
        const std::int64_t at = s.q_offset(n * s.heads + h, i), kv = s.kv_offset(n * s.heads + h);
        attention_row(s, s.seen(n, i), q + at, k + kv, p);
        T delta = 0;  // the mean of dp under p
        for (std::int64_t j = 0; j < s.keys; ++j) {
          dp[j] = 0;
          for (std::int64_t d = 0; d < s.width; ++d) dp[j] += d_o[at + d] * v[kv + j * s.kv_pitch() + d];
          delta += p[j] * dp[j];
        }
        for (std::int64_t j = 0; j < s.keys; ++j) {
          const T ds = T(s.scale) * p[j] * (dp[j] - delta);
          const std::int64_t row = kv + j * s.kv_pitch();
          for (std::int64_t d = 0; d < s.width; ++d) {
            out.dv[row + d] += p[j] * d_o[at + d];
            out.dq[at + d] += ds * k[row + d];
            out.dk[row + d] += ds * q[at + d];
          }
        }
      }
}

}  // namespace rankine::ref
