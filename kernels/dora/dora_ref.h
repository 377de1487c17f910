// The meaning of dora.h, element by element, for any number type T.
#pragma once

#include <cmath>
#include <cstdint>

namespace rankine::ref {

// Of one row: cross[r * stride], up[r] and up_gram[r], r below rank.
template <class T>
T dora_inverse_norm(T base, const T* cross, std::int64_t stride, const T* up, const T* up_gram,
                    std::int64_t rank, T scale) {
  T square = base * base;
  for (std::int64_t r = 0; r < rank; ++r)
    square += scale * up[r] * (2 * cross[r * stride] + scale * up_gram[r]);
  return square > 0 ? 1 / std::sqrt(square) : T(0);
}

// Of one column: dy and y at rows a stride apart.
template <class T>
T dora_magnitude_grad(const T* dy, const T* y, std::int64_t rows, std::int64_t stride, T inverse) {
  T sum = 0;
  for (std::int64_t i = 0; i < rows; ++i) sum += dy[i * stride] * y[i * stride];
  return inverse * sum;
}

}  // namespace rankine::ref
