#include "engine/train/clip.h"

#include <algorithm>
#include <cmath>

#include "kernels/reduce/reduce.h"

namespace rankine {

GradientCheck check_gradient(const Context& c, const ParamArena& arena, double max_norm, double loss_scale) {
  GradientCheck check;
  check.norm = std::sqrt(sum_of_squares(c, arena.grad())) / loss_scale;
  check.finite = std::isfinite(check.norm);
  if (check.finite && max_norm > 0) check.scale = std::min(1.0, max_norm / (check.norm + 1e-6));
  check.scale /= loss_scale;
  return check;
}

}  // namespace rankine
