// What the bench needs of the CUDA runtime, named without its headers: times of a stream, and what a card is.
// Defined in builds with CUDA alone (build::cuda). All throw Error with the runtime's reason.
#pragma once

#include <functional>
#include <string>

#include "engine/core/cuda_device.h"

namespace rankine::bench {

// Seconds that `stream` needs for what `work` queues on it, by events before and after; waits for it.
double cuda_seconds(CudaStream stream, const std::function<void()>& work);

struct CudaCard {
  std::string name;
  int architecture = 0;  // 90: sm_90
  int multiprocessors = 0;
  std::size_t l2_bytes = 0, memory_bytes = 0;
  int driver = 0, runtime = 0;  // 13000: 13.0
};
CudaCard cuda_card(Device device);

// Host memory that the device reads and writes directly.
class PinnedBytes {
 public:
  explicit PinnedBytes(std::size_t bytes);
  ~PinnedBytes();
  PinnedBytes(const PinnedBytes&) = delete;
  PinnedBytes& operator=(const PinnedBytes&) = delete;
  void* data() const { return data_; }

 private:
  void* data_ = nullptr;
};

}  // namespace rankine::bench
