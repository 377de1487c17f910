// The meaning of random.h, element by element, for any number type T.
#pragma once

#include "engine/core/philox.h"

namespace rankine::ref {

// Word i of a stream.
inline std::uint32_t random_word(const RandomStream& s, std::int64_t i) {
  return philox::generate(s, static_cast<std::uint32_t>(i / 4))[i % 4];
}

template <class T>
T uniform(const RandomStream& s, std::int64_t i, T low, T high) {
  return low + (high - low) * T(philox::to_uniform(random_word(s, i)));
}

inline float normal(const RandomStream& s, std::int64_t i) {
  return philox::to_normal(philox::generate(s, static_cast<std::uint32_t>(i / 4)))[i % 4];
}

template <class T>
T dropout(T x, const RandomStream& s, std::int64_t i, float p) {
  return philox::to_uniform(random_word(s, i)) >= p ? x / (1 - T(p)) : T(0);
}

}  // namespace rankine::ref
