// What the runtime API remembers between calls.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/emulator/include/cuda_runtime_api.h"

namespace rankine::emulator::host_state {

void set_error(cudaError_t error);  // of this host thread

// Dynamic shared memory that a launch of the kernel may have: 48 KiB, or what cudaFuncSetAttribute granted
// it.
std::size_t allowed_shared(const void* kernel);

// Memory a kernel may touch: cudaMalloc, cudaMallocHost, cudaHostRegister.
struct Range {
  std::uintptr_t begin = 0, end = 0;
};
// The allocation that holds `address`, or the empty range.
Range allocation_of(std::uintptr_t address);
// The one before or after `address` that is closer, for messages.
Range nearest_allocation(std::uintptr_t address);

}  // namespace rankine::emulator::host_state
