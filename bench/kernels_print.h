// What a run of the kernels says: a table, line by line as it is measured, for people; one document for
// programs.
#pragma once

#include "bench/kernels_bench.h"

namespace rankine::bench {

void print_head(const KernelsOptions& options, const Ceilings& ceilings);
void print_line(const KernelLine& line, bool on_cuda);
void print_end(const KernelsOptions& options, const KernelsResult& result);
std::string json_of(const KernelsOptions& options, const KernelsResult& result);

}  // namespace rankine::bench
