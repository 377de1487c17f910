#include "engine/core/cuda_device.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "engine/core/error.h"

namespace rankine::cuda {
namespace {

void check(cudaError_t status, std::string_view what) {
  require<Error>(status == cudaSuccess, what, ": CUDA says: ", cudaGetErrorString(status));
}

class DeviceBacking final : public Backing {
 public:
  DeviceBacking(Device device, std::size_t capacity) : device_(device), capacity_(capacity) {
    check(cudaSetDevice(device.index), device.to_string());
    void* p = nullptr;
    const cudaError_t status = cudaMalloc(&p, capacity);
    require<OutOfMemory>(status == cudaSuccess, "cannot reserve ", human_bytes(double(capacity)), " on ",
                         device.to_string(), ": ", cudaGetErrorString(status));
    base_ = static_cast<std::byte*>(p);
  }
  ~DeviceBacking() override { cudaFree(base_); }
  std::byte* base() const override { return base_; }
  std::size_t capacity() const override { return capacity_; }

 private:
  Device device_;
  std::byte* base_ = nullptr;
  std::size_t capacity_;
};

}  // namespace

std::size_t free_memory(Device device) {
  check(cudaSetDevice(device.index), device.to_string());
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "free memory");
  return free;
}

std::unique_ptr<Backing> make_backing(Device device, std::size_t capacity) {
  return std::make_unique<DeviceBacking>(device, std::min(capacity, free_memory(device) / 10 * 9));
}

std::shared_ptr<CUstream_st> make_stream(Device device) {
  check(cudaSetDevice(device.index), device.to_string());
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  return {stream, [](cudaStream_t s) { cudaStreamDestroy(s); }};
}

void copy_bytes(CudaStream stream, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream), "copy");
}

void synchronize(CudaStream stream) { check(cudaStreamSynchronize(stream), "synchronize"); }

int device_count() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

}  // namespace rankine::cuda
