#include "models/tasks/text_shapes.h"

#include <algorithm>
#include <bit>

namespace rankine {
namespace {

constexpr std::int64_t kColumnParts = 8, kTargetParts = 4;

std::int64_t rounded_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

}  // namespace

TextShapes TextShapes::recurring(std::int64_t most_tokens) {
  TextShapes shapes;
  shapes.most_ = rounded_up(std::max<std::int64_t>(1, most_tokens), kMultiple);
  return shapes;
}

std::int64_t TextShapes::columns(std::int64_t tokens) const {
  const std::int64_t exact = rounded_up(std::max<std::int64_t>(1, tokens), kMultiple);
  if (most_ == 0) return exact;
  const auto below = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(tokens)));
  const std::int64_t step = std::max(kMultiple, below / kColumnParts);
  return std::max(exact, std::min(most_, rounded_up(tokens, step)));
}

std::int64_t TextShapes::targets(std::int64_t trained, std::int64_t columns) const {
  return most_ == 0 ? trained : rounded_up(trained, columns / kTargetParts);
}

}  // namespace rankine
