// Source lines of return addresses, for messages.
#pragma once

#include <string>

namespace rankine::emulator::symbols {

// "norm_cuda.cu:41" or, where the call was inlined, "numeric.cuh:70, called from norm_cuda.cu:41"; lines of
// the emulator's own headers are left out. The address itself where the program has no line table.
std::string line_of(const void* return_address);

}  // namespace rankine::emulator::symbols
