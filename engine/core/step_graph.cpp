#include "engine/core/step_graph.h"

#include "engine/core/cuda_device.h"

namespace rankine {

void StepGraph::run(const Context& c, const std::function<void()>& work) {
  if (!c.device().is_cuda()) return work();
  Memory::Frame frame(c.memory());
  if constexpr (build::cuda) {
    if (!c.planning() && seen_ && !c.runtime().phases().on()) {
      if (!graph_ || base_ != frame.base()) {
        graph_.reset();
        graph_ = cuda::record_graph(c.cuda_stream(), work);
        base_ = frame.base();
        ++recorded_;
      }
      frame.open_all();
      cuda::launch_graph(graph_, c.cuda_stream());
      ++launched_;
      return frame.close();
    }
  }
  work();
  seen_ = true;
  frame.close();
}

}  // namespace rankine
