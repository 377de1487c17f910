#include "engine/core/step_graph.h"

#include <array>
#include <utility>

#include "engine/core/cuda_device.h"
#include "engine/core/transfer.h"

namespace rankine {

void copy_in_place([[maybe_unused]] const Context& c, const std::vector<Tensor*>& tensors) {
  for (Tensor* t : tensors) {
    if (!t->defined()) continue;
    Tensor mine(c.memory(), t->shape(), t->dtype(), Account::data, t->storage()->name());
    if constexpr (build::cuda) {
      if (!c.planning()) cuda::copy_bytes(c.cuda_stream(), mine.raw(), std::as_const(*t).raw(), t->bytes());
    }
    *t = std::move(mine);
  }
}

Tensor make_live_step(const Context& c) {
  Tensor live(c.memory(), {2}, DType::i32, Account::data, "step and first sample");
  set_ints(live, std::array{static_cast<std::int32_t>(c.step), static_cast<std::int32_t>(c.first_sample)});
  return live;
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
  Memory::Frame frame(c.memory());
  run(c, frame, work);
  frame.close();
}

void StepGraph::run(const Context& c, [[maybe_unused]] Memory::Frame& frame,
                    const std::function<void()>& work) {
  const OtherWork other(c.runtime());
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
      return;
    }
  }
  work();
  seen_ = true;
}

}  // namespace rankine
