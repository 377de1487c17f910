// Who computes a CUDA product: the kernel of this folder or cuBLASLt. The rule is a table by architecture, to
// be measured by bench/gpu.sh; until then it says what the hardware says: the tensor cores of sm_86 and sm_89
// have one path, the one our kernel uses, while those of sm_90 reach their rate through instructions that it
// does not use.
#pragma once

#include <cstdint>

#include "kernels/matmul/gemm_plan.h"

namespace rankine {

enum class GemmBy : std::uint8_t {
  table,     // what the rule below says
  own,       // for benches and tests
  cublaslt,  // where the build has it and it takes the product, else own
};

// `architecture` is 10 times the compute capability.
constexpr bool cublaslt_is_faster(int architecture, const GemmSizes& s) {
  struct Row {
    int architecture;
    std::int64_t m, n, k;  // from this size on; 0: never
  };
  constexpr Row kTable[] = {{86, 0, 0, 0}, {89, 0, 0, 0}, {90, 256, 128, 256}};
  for (const Row& row : kTable) {
    if (row.architecture == architecture) return row.m > 0 && s.m >= row.m && s.n >= row.n && s.k >= row.k;
  }
  return false;
}

}  // namespace rankine
