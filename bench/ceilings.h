// What the device of a run can do at best, measured in the same run: what times of kernels are compared with.
#pragma once

#include <string>
#include <vector>

#include "engine/core/context.h"

namespace rankine::bench {

struct Ceilings {
  struct Line {
    std::string name, unit;  // unit: FLOP/s or B/s
    double value;
  };
  std::vector<Line> lines;  // all that was measured
  std::string device;       // "NVIDIA H200, sm_90, 132 multiprocessors, ..."
  std::size_t cache_bytes;  // operands that are not to be found in a cache are more than this
  double flops = 0;         // FLOP/s, the best of those measured
  double mma_flops = 0;     // CUDA: of mma.sync alone
  double bytes = 0;         // B/s, read and written together

  double value_of(std::string_view name) const;  // 0: not measured
};

// CPU: a product of fp32 matrices by this engine and by CBLAS, and a copy in memory, on the threads of `c`.
// CUDA: mma.sync on registers, a big square product by this engine's kernel and by cuBLASLt where the build
// has it, a copy in the card's memory, and copies from and to pinned memory of the host. Matrices have `edge`
// rows, copies `copy_bytes`.
struct CeilingSizes {
  std::int64_t edge = 8192;
  std::size_t copy_bytes = std::size_t{1} << 30;
  int mma_rounds = 20000;
  double seconds = 0.3;  // each
};
Ceilings measure_ceilings(const Context& c, const CeilingSizes& sizes);
Ceilings measure_cuda_ceilings(const Context& c, const CeilingSizes& sizes);  // in builds with CUDA

// Seconds that the work needs at least: the longer of its arithmetic and its traffic.
struct Bound {
  double seconds;
  bool by_bytes;
};
Bound bound_of(const Cost& cost, const Ceilings& ceilings);

}  // namespace rankine::bench
