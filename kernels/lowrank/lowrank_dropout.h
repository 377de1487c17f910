// What the doors of lowrank.h share about dropouts. Internal to this folder.
#pragma once

#include "kernels/lowrank/lowrank_impl.h"

namespace rankine {

// Throws ShapeError where `x` cannot be dropped so.
void check_dropout(std::string_view op, const Tensor& x, const SampleDropout& dropout);
inline cuda::DropArgs drop_args(const Tensor& x, const SampleDropout& d) {
  return {d.stream, d.p, x.rows() / std::max<std::int64_t>(1, x.dim(0))};
}

// The CPU's way: drop(x) in y, which may be x, ...
void drop_samples(const Context& c, Tensor& y, const Tensor& x, const SampleDropout& dropout);
// ... in scratch, or x itself where nothing is dropped.
Tensor dropped_copy(const Context& c, std::string_view op, const Tensor& x, const SampleDropout& dropout);

}  // namespace rankine
