// How long the phases of a step take on the device: forward, loss, backward, update. Off unless somebody
// measures. On CUDA times are the device's own, between events of the stream, so nothing waits. A graph
// (step_graph.h) is one phase, "graph"; to see inside, work is not recorded while `inside` is on.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/device.h"

struct CUevent_st;

namespace rankine {

class Phases {
 public:
  struct Line {
    std::string name;
    double seconds = 0;
  };

  enum class Detail : std::uint8_t { off, graphs, inside };
  void set(Detail detail) { detail_ = detail; }
  Detail detail() const { return detail_; }

  // The phase before ends where `name` begins; an empty name begins none. Nothing in work that is recorded.
  void begin(Device device, CudaStream stream, std::string_view name);
  // Seconds per name in the order they first began, since the last call; waits for the device. Calls of one
  // name are added up.
  std::vector<Line> take(Device device, CudaStream stream);
  // Is called by every begin(), on a plan device too; {} for nobody.
  void listen(std::function<void(std::string_view name)> listener) { listener_ = std::move(listener); }

 private:
  struct Mark {
    std::string name;
    std::chrono::steady_clock::time_point host;
    std::shared_ptr<CUevent_st> device;
  };
  Detail detail_ = Detail::off;
  std::vector<Mark> marks_;
  std::function<void(std::string_view)> listener_;
};

}  // namespace rankine
