// The middle S (..., R) = y · downᵀ of the adapters that read y (lowrank/lowrank.h), left behind by the
// operation that makes y: on CUDA in the same pass, while y is in registers.
#pragma once

#include <algorithm>

#include "kernels/common/checks.h"

namespace rankine {

struct MiddleOut {
  Tensor& s;           // (..., R), overwritten
  const Tensor& down;  // (R, C): all adapters that share y, stacked by rows; of y's type, as is s
};

inline void check_middle(std::string_view op, const MiddleOut& m, const Tensor& y) {
  require<ShapeError>(m.down.defined() && m.down.shape().rank() == 2, op,
                      ": expected a down factor (R, C), got ",
                      m.down.defined() ? m.down.shape().to_string() : "an undefined tensor");
  check_of_type(op, "down factor", m.down, {m.down.dim(0), y.cols()}, y.dtype());
  check_of_type(op, "middle", m.s, y.shape().with_dim(-1, m.down.dim(0)), y.dtype());
}

// Ranks that a kernel sums beside y.
inline constexpr std::int64_t kMiddleRank = 64;
// A block of such a kernel has 16 rows and reads all of down. The few rows of generating text would leave
// that to a single block: lowrank_middle spreads them over the card.
inline constexpr std::int64_t kFewestMiddleRows = 9;
// Whether the CUDA kernel takes it: rows of eights of halves, few ranks, and what is read and written beside
// down and s (undefined tensors aside) at aligned addresses.
inline bool fits_middle_kernel(const Context& c, const MiddleOut& m,
                               std::initializer_list<const Tensor*> others) {
  const Tensor& down = m.down;
  const auto aligned = [](const Tensor* t) {
    return !t->defined() || reinterpret_cast<std::uintptr_t>(t->raw()) % 16 == 0;
  };
  return c.device().is_cuda() && down.dtype() != DType::f32 && down.cols() % 8 == 0 && down.dim(0) > 0 &&
         down.dim(0) <= kMiddleRank && m.s.rows() >= kFewestMiddleRows &&
         std::all_of(others.begin(), others.end(), aligned);
}

// FLOPs and bytes of the middle beside those of y.
inline Cost middle_cost(const MiddleOut& m) {
  return {2.0 * double(m.s.numel()) * double(m.down.cols()), double(m.s.bytes()) + double(m.down.bytes())};
}

namespace cuda {
struct MiddleArgs {
  void* s;
  const void* down;
  std::int64_t rank;
};
}  // namespace cuda

}  // namespace rankine
