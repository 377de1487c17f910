#include "engine/core/card.h"

#include <algorithm>

namespace rankine {

void PlanClock::compute(const Cost& cost) {
  now_ += std::max(cost.flops / card_.flops_per_second, cost.bytes / card_.bytes_per_second) +
          card_.launch_seconds;
}

double PlanClock::rate_of(Link link) const {
  const bool file = link == Link::to_file || link == Link::from_file;
  return file ? card_.file_bytes_per_second : card_.link_bytes_per_second;
}

double PlanClock::copy(Link link, std::size_t bytes) {
  Queue& queue = links_[static_cast<int>(link)];
  const double seconds = static_cast<double>(bytes) / rate_of(link);
  queue.free_at = std::max(queue.free_at, now_) + seconds;
  queue.busy += seconds;
  return queue.free_at;
}

void PlanClock::wait_until(double time) {
  if (time <= now_) return;
  waited_ += time - now_;
  now_ = time;
}

}  // namespace rankine
