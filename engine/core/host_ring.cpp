#include "engine/core/host_ring.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace rankine::cuda {

HostRing::~HostRing() {
  try {
    if (bytes_) synchronize(stream_);
  } catch (const std::exception&) {  // the device is lost, and with it what was on its way
    return;
  }
}

void HostRing::upload(std::byte* to, const std::byte* from, std::size_t bytes) {
  if (recording(stream_))
    throw std::logic_error("upload: work that is recorded takes its numbers from tensors filled before it");
  if (!bytes_) bytes_ = pinned_bytes(kBytes);
  while (bytes > 0) {
    if (used_ == kHalf) {
      sent_[half_] = record_event(stream_);
      half_ = 1 - half_;
      used_ = 0;
      if (sent_[half_]) synchronize(sent_[half_]);
    }
    const std::size_t part = std::min(bytes, kHalf - used_);
    std::byte* stage = bytes_.get() + half_ * kHalf + used_;
    std::memcpy(stage, from, part);
    copy_bytes(stream_, to, stage, part);
    used_ += part;
    to += part;
    from += part;
    bytes -= part;
  }
}

}  // namespace rankine::cuda
