// rankine-bench kernels: each product of a model's training step at its real shapes, and products with the
// frozen weights of a language model in the forms they are stored in.
#pragma once

#include <string>

namespace rankine::bench {

struct KernelsOptions {
  std::string filter;  // only cases whose name contains it
  bool json = false;   // one JSON document instead of a table
  int threads = 0;     // 0: one per core
  int pixels = 512;    // edge of the picture; maps are 1/8 of it and smaller
  int batch = 1;
  int rank = 8;          // of the adapters
  double seconds = 0.2;  // per case
};

int run_kernels(const KernelsOptions& options);

}  // namespace rankine::bench
