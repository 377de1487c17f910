// The meaning of rope.h in scalar loops over any number type.
#pragma once

#include <cmath>

#include "kernels/rope/rope.h"

namespace rankine::ref {

// Where pair i of a head begins and where its partner stands.
struct RopePair {
  std::int64_t u, v;
};
inline RopePair rope_pair(const RopeSpec& s, std::int64_t i) {
  if (s.pairing == RopeSpec::half) return {s.first + i, s.first + i + s.rotary_dims / 2};
  return {s.first + 2 * i, s.first + 2 * i + 1};
}

// One row in place, by the angles of `row_of_table` (R): forward with direction 1, backward with -1.
template <class T>
void rope_row(const RopeSpec& s, T* x, const T* row_of_table, T direction) {
  const std::int64_t pairs = s.rotary_dims / 2;
  for (int h = 0; h < s.heads; ++h, x += s.head_dim)
    for (std::int64_t i = 0; i < pairs; ++i) {
      const auto [u, v] = rope_pair(s, i);
      const T cosine = row_of_table[i], sine = direction * row_of_table[pairs + i], a = x[u], b = x[v];
      x[u] = a * cosine - b * sine;
      x[v] = b * cosine + a * sine;
    }
}

}  // namespace rankine::ref
