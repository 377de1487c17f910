// What this machine has and can do.
#pragma once

#include <cstdint>
#include <string>

namespace rankine::app {

std::uint64_t total_memory();      // bytes of the machine, or of the container's limit
std::uint64_t available_memory();  // bytes that a program could take now without swapping
std::string processor_name();
std::string simd_target();   // instruction set that the kernels use here, e.g. "AVX2"
std::string blas_library();  // the CBLAS that was linked, as it describes itself

}  // namespace rankine::app
