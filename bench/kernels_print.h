// What a run of the kernels says, for people and for programs.
#pragma once

#include "bench/kernels_bench.h"

namespace rankine::bench {

void print_table(const KernelsOptions& options, const KernelsResult& result);
void print_json(const KernelsOptions& options, const KernelsResult& result);

}  // namespace rankine::bench
