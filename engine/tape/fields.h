// Visits the Tensors of a frame, undefined ones too: a plain aggregate of up to six fields, each a Tensor, a
// container of Tensors, or something else (which is skipped). A seventh field is a hint to split the layer.
#pragma once

#include <ranges>
#include <type_traits>

#include "engine/core/tensor.h"

namespace rankine::tape_detail {

struct Anything {
  template <class T>
  operator T() const;  // NOLINT: only named in unevaluated contexts, to count fields
};

template <class S, class... A>
constexpr std::size_t count_fields() {
  static_assert(sizeof...(A) <= 7, "a frame has at most six fields");
  if constexpr (requires { S{std::declval<A>()..., std::declval<Anything>()}; })
    return count_fields<S, A..., Anything>();
  return sizeof...(A);
}

template <class F, class V>
void visit_field(F& field, V& visitor) {
  if constexpr (std::is_same_v<std::remove_const_t<F>, Tensor>) {
    visitor(field);
  } else if constexpr (std::ranges::range<F>) {
    for (auto& item : field) visit_field(item, visitor);
  }
}

template <class S, class V>
void visit_tensors(S& s, V&& visitor) {
  constexpr std::size_t n = count_fields<std::remove_const_t<S>>();
  const auto each = [&](auto&... field) { (visit_field(field, visitor), ...); };
  if constexpr (n == 1) {
    auto& [a] = s;
    each(a);
  } else if constexpr (n == 2) {
    auto& [a, b] = s;
    each(a, b);
  } else if constexpr (n == 3) {
    auto& [a, b, d] = s;
    each(a, b, d);
  } else if constexpr (n == 4) {
    auto& [a, b, d, e] = s;
    each(a, b, d, e);
  } else if constexpr (n == 5) {
    auto& [a, b, d, e, f] = s;
    each(a, b, d, e, f);
  } else if constexpr (n == 6) {
    auto& [a, b, d, e, f, g] = s;
    each(a, b, d, e, f, g);
  }
}

}  // namespace rankine::tape_detail
