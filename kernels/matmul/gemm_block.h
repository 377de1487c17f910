// The part of a product that one thread does, compiled once per instruction set.
#pragma once

#include "kernels/matmul/gemm.h"

namespace rankine::cpu {

// A half-open range of rows or columns of C.
struct Range {
  std::int64_t begin = 0, end = 0;
  std::int64_t size() const { return end - begin; }
};

// C[rows, cols] of the product; `scratch` as in gemm().
void gemm_block(const Gemm& g, Range rows, Range cols, float* scratch);

// Part `i` of `count` parts of [0, n), as equal as whole units allow.
constexpr Range part_of(std::int64_t n, std::int64_t i, std::int64_t count, std::int64_t unit = 1) {
  const std::int64_t units = (n + unit - 1) / unit;
  const auto at = [&](std::int64_t p) { return std::min(n, units * p / count * unit); };
  return {at(i), at(i + 1)};
}

}  // namespace rankine::cpu
