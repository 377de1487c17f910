#include "engine/core/step_graph.h"

#include <array>
#include <utility>

#include "engine/core/cuda_device.h"
#include "engine/core/transfer.h"

namespace rankine {

void refill([[maybe_unused]] const Context& c, const std::vector<Tensor*>& to,
            const std::vector<Tensor*>& from) {
  for (std::size_t i = 0; i < to.size(); ++i) {
    if (!from[i]->defined() || c.planning()) continue;
    if constexpr (build::cuda)
      cuda::copy_bytes(c.cuda_stream(), to[i]->raw(), from[i]->raw(), from[i]->bytes());
  }
}

void set_live_step(const Context& c, Tensor& live) {
  set_ints(live, std::array{static_cast<std::int32_t>(c.step), static_cast<std::int32_t>(c.first_sample)});
}

namespace {

// However it ends.
struct OtherWork {
  Runtime& runtime;
  explicit OtherWork(Runtime& r) : runtime(r) { r.begin_other_work(); }
  ~OtherWork() { runtime.begin_other_work(); }
};

// While it lives the runtime's Traffic is that of some work alone; nothing of it is left behind.
class TrafficAside {
 public:
  explicit TrafficAside(Runtime& runtime)
      : runtime_(runtime), before_(std::exchange(runtime.traffic(), Traffic{})) {}
  ~TrafficAside() { runtime_.traffic() = before_; }
  TrafficAside(const TrafficAside&) = delete;
  TrafficAside& operator=(const TrafficAside&) = delete;

 private:
  Runtime& runtime_;
  Traffic before_;
};

}  // namespace

void StepGraph::run(const Context& c, const std::function<void()>& work) {
  if (!c.device().is_cuda()) return work();
  const OtherWork other(c.runtime());
  Memory::Frame frame(c.memory());
  if constexpr (build::cuda) {
    if (!c.planning() && seen_ && c.runtime().phases().detail() != Phases::Detail::inside) {
      if (!graph_ || base_ != frame.base()) {
        graph_.reset();
        const TrafficAside aside(c.runtime());
        graph_ = cuda::record_graph(c.cuda_stream(), work);
        traffic_ = c.runtime().traffic();
        base_ = frame.base();
        ++recorded_;
      }
      frame.open_all();
      c.phase("graph");
      cuda::launch_graph(graph_, c.cuda_stream());
      c.phase("");
      c.runtime().traffic().add(traffic_);
      ++launched_;
      return frame.close();
    }
  }
  work();
  seen_ = true;
  frame.close();
}

}  // namespace rankine
