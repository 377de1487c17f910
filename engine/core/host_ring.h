// Page-locked memory through which numbers go to a device: an upload copies them here, queues the transfer
// and returns, so neither waits for the other until the ring is full.
#pragma once

#include <array>

#include "engine/core/cuda_device.h"

namespace rankine::cuda {

class HostRing {
 public:
  static constexpr std::size_t kBytes = std::size_t{16} << 20;

  explicit HostRing(CudaStream stream) : stream_(stream) {}
  ~HostRing();  // waits for the transfers
  HostRing(const HostRing&) = delete;
  HostRing& operator=(const HostRing&) = delete;

  // Device memory `to` holds the bytes when what is queued next runs; `from` may be changed at once. Throws
  // std::logic_error while the stream records a graph: the graph would send what the ring holds later.
  void upload(std::byte* to, const std::byte* from, std::size_t bytes);

 private:
  static constexpr std::size_t kHalf = kBytes / 2;

  CudaStream stream_;
  std::shared_ptr<std::byte> bytes_;  // made by the first upload
  std::array<CudaEvent, 2> sent_;     // of the half: all that was queued from it before it was left
  std::size_t half_ = 0, used_ = 0;
};

}  // namespace rankine::cuda
