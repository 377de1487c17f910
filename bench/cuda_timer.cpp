#include "bench/cuda_timer.h"

#include <cuda_runtime_api.h>

#include "engine/core/error.h"

namespace rankine::bench {
namespace {

void check(cudaError_t status, std::string_view what) {
  require<Error>(status == cudaSuccess, what, ": CUDA says: ", cudaGetErrorString(status));
}

class Mark {
 public:
  Mark() { check(cudaEventCreate(&event_), "event"); }
  ~Mark() { cudaEventDestroy(event_); }
  Mark(const Mark&) = delete;
  Mark& operator=(const Mark&) = delete;
  void record(CudaStream stream) { check(cudaEventRecord(event_, stream), "event"); }
  double seconds_since(const Mark& start) const {
    check(cudaEventSynchronize(event_), "timed work");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, start.event_, event_), "time between events");
    return double(milliseconds) * 1e-3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace

double cuda_seconds(CudaStream stream, const std::function<void()>& work) {
  Mark start, end;
  start.record(stream);
  work();
  end.record(stream);
  return end.seconds_since(start);
}

CudaCard cuda_card(Device device) {
  cudaDeviceProp p{};
  check(cudaGetDeviceProperties(&p, device.index), device.to_string());
  CudaCard card{p.name, p.major * 10 + p.minor, p.multiProcessorCount,
                static_cast<std::size_t>(p.l2CacheSize), p.totalGlobalMem};
  check(cudaDriverGetVersion(&card.driver), "driver");
  check(cudaRuntimeGetVersion(&card.runtime), "runtime");
  return card;
}

PinnedBytes::PinnedBytes(std::size_t bytes) { check(cudaMallocHost(&data_, bytes), "pinned memory"); }
PinnedBytes::~PinnedBytes() { cudaFreeHost(data_); }

}  // namespace rankine::bench
