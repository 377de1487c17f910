// What the core needs of the CUDA runtime, named without its headers. Defined in builds with CUDA alone
// (build::cuda); on such a build without a driver every call throws Error with the runtime's own reason.
#pragma once

#include <memory>

#include "engine/core/memory.h"

namespace rankine::cuda {

// Device memory of one fixed size; kUnlimited is nine tenths of what is free now.
std::unique_ptr<Backing> make_backing(Device device, std::size_t capacity);

// A stream of `device`, destroyed with its last owner. Work on it may still run then.
std::shared_ptr<CUstream_st> make_stream(Device device);

// Bytes between host and device, or within the device, in the order of `stream`. Host memory must stay as it
// is until `synchronize`.
void copy_bytes(CudaStream stream, void* to, const void* from, std::size_t bytes);
void synchronize(CudaStream stream);

int device_count();  // 0 without a driver
std::size_t free_memory(Device device);

}  // namespace rankine::cuda
