// The principal singular directions of a frozen weight, for PiSSA (Meng et al. 2024).
//
// Randomised subspace iteration (Halko, Martinsson & Tropp 2011): products with W and Wᵀ in whatever type W
// is stored, so no decoded copy of it exists; orthonormalisation and the small singular value decomposition
// (one- sided Jacobi) in double.
#pragma once

#include <string_view>
#include <vector>

#include "engine/core/context.h"

namespace rankine {

struct PrincipalOptions {
  int rank = 8;
  int iterations = 8;  // products with WᵀW; more separate directions of nearly equal weight better
  std::uint64_t seed = 0;
  std::string_view name;  // keeps the starting directions of different weights apart
};

// W ≈ left · diag(values) · right, the largest first.
struct PrincipalParts {
  std::vector<double> values;       // (rank)
  std::vector<double> left, right;  // (rank, out) and (rank, in): unit rows. Rows are signed so that the
                                    // largest element of `right` is positive.
};

// A function of W, seed and name alone. Empty parts on a plan device. Throws ConfigError when W (out, in) has
// fewer than `rank` directions.
PrincipalParts principal_parts(const Context& c, const Tensor& w, const PrincipalOptions& options);

}  // namespace rankine
