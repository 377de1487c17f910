// What this machine has and can do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rankine::app {

std::uint64_t total_memory();      // bytes of the machine, or of the container's limit
std::uint64_t available_memory();  // bytes that a program could take now without swapping
std::string processor_name();
std::string simd_target();   // instruction set that the kernels use here, e.g. "AVX2"
std::string blas_library();  // the CBLAS that was linked, as it describes itself

// A device to put a forecast against.
struct Card {
  std::string_view name;
  double flops_per_second;
  double bytes_per_second;
  std::string_view source;  // where the two figures come from
};

// rtx3090, rtx4090, h200: fp16 with fp32 accumulation and memory, by data sheet (H200: as measured).
const std::vector<Card>& cards();
// Measured: a product of fp32 matrices and a copy of large buffers. Takes a few seconds.
Card measure_cpu(int threads);

}  // namespace rankine::app
