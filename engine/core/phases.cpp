#include "engine/core/phases.h"

#include <algorithm>

#include "engine/core/cuda_device.h"

namespace rankine {

void Phases::begin(Device device, [[maybe_unused]] CudaStream stream, std::string_view name) {
  if (listener_) listener_(name);
  if (detail_ == Detail::off || device.plan) return;
  if constexpr (build::cuda) {
    if (device.is_cuda() && cuda::recording(stream)) return;
  }
  Mark mark{std::string(name), std::chrono::steady_clock::now(), nullptr};
  if constexpr (build::cuda) {
    if (device.is_cuda()) mark.device = cuda::record_timed_event(stream);
  }
  marks_.push_back(std::move(mark));
}

std::vector<Phases::Line> Phases::take(Device device, CudaStream stream) {
  begin(device, stream, "");
  std::vector<Line> lines;
  for (std::size_t i = 0; i + 1 < marks_.size(); ++i) {
    const Mark &from = marks_[i], &to = marks_[i + 1];
    if (from.name.empty()) continue;
    double seconds = std::chrono::duration<double>(to.host - from.host).count();
    if constexpr (build::cuda) {
      if (from.device) seconds = cuda::seconds_between(from.device, to.device);
    }
    auto line = std::find_if(lines.begin(), lines.end(), [&](const Line& l) { return l.name == from.name; });
    if (line == lines.end()) line = lines.insert(line, {from.name, 0});
    line->seconds += seconds;
  }
  marks_.clear();
  return lines;
}

}  // namespace rankine
