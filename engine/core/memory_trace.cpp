#include "engine/core/memory_trace.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace rankine {
namespace {

// Points in hand before they are thinned, so that long work takes no more than a few megabytes.
constexpr std::size_t kMostInHand = std::size_t{1} << 15;

class Watch {
 public:
  explicit Watch(Runtime& runtime) : runtime_(runtime) {
    trace_.timed = runtime.clock() != nullptr;
    begun_ = trace_.timed ? runtime.clock()->now() : 0;
    note();
    runtime.memory().listen([this] {
      ++changes_;
      note();
    });
    runtime.phases().listen([this](std::string_view name) {
      trace_.marks.push_back({x(), std::string(name)});
    });
  }
  ~Watch() {
    runtime_.memory().listen({});
    runtime_.phases().listen({});
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  MemoryTrace take() {
    note();  // where the work ends
    return thinned(trace_, kTracePoints);
  }

 private:
  double x() const { return trace_.timed ? runtime_.clock()->now() - begun_ : static_cast<double>(changes_); }
  void note() {
    if (trace_.points.size() == kMostInHand) trace_ = thinned(trace_, kMostInHand / 2);
    MemoryTrace::Point point{x(), {}};
    for (int i = 0; i < kAccounts; ++i)
      point.held[static_cast<std::size_t>(i)] = runtime_.memory().held(static_cast<Account>(i));
    trace_.points.push_back(point);
  }

  Runtime& runtime_;
  MemoryTrace trace_;
  double begun_ = 0;
  std::uint64_t changes_ = 0;
};

}  // namespace

std::uint64_t MemoryTrace::Point::total() const {
  std::uint64_t sum = 0;
  for (int i = 0; i < kAccounts; ++i)
    if (static_cast<Account>(i) != Account::mapped) sum += held[static_cast<std::size_t>(i)];
  return sum;
}

std::uint64_t MemoryTrace::peak() const {
  std::uint64_t most = 0;
  for (const Point& point : points) most = std::max(most, point.total());
  return most;
}

MemoryTrace thinned(const MemoryTrace& trace, std::size_t limit) {
  if (limit < 4) throw std::logic_error("thinned: a trace of fewer than 4 points");
  if (trace.points.size() <= limit) return trace;
  MemoryTrace out{trace.timed, {}, trace.marks};
  const std::size_t inner = trace.points.size() - 2, groups = (limit - 2) / 2;
  const auto begin = trace.points.begin() + 1;
  const auto border = [&](std::size_t g) { return begin + static_cast<std::ptrdiff_t>(g * inner / groups); };
  const auto by_total = [](const MemoryTrace::Point& a, const MemoryTrace::Point& b) {
    return a.total() < b.total();
  };
  out.points.push_back(trace.points.front());
  for (std::size_t g = 0; g < groups; ++g) {
    const auto ends = std::minmax_element(border(g), border(g + 1), by_total);
    out.points.push_back(*std::min(ends.first, ends.second));  // in their order
    if (ends.first != ends.second) out.points.push_back(*std::max(ends.first, ends.second));
  }
  out.points.push_back(trace.points.back());
  return out;
}

MemoryTrace trace_of(Runtime& runtime, const std::function<void()>& work) {
  Watch watch(runtime);
  work();
  return watch.take();
}

}  // namespace rankine
