// The memory of a device over the course of some work, by account. On a plan device it is the forecast of the
// same work on the real one, and with a PlanClock it has a time.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/core/context.h"

namespace rankine {

struct MemoryTrace {
  // From x on, until the next point, so many bytes were held.
  struct Point {
    double x = 0;
    std::array<std::uint64_t, kAccounts> held{};
    std::uint64_t total() const;  // without mapped bytes, which are no memory of the device
    friend bool operator==(const Point&, const Point&) = default;
  };
  // A part of a step begins (Context::phase); one with an empty name only ends the one before.
  struct Mark {
    double x = 0;
    std::string name;
    friend bool operator==(const Mark&, const Mark&) = default;
  };

  bool timed = false;  // x: seconds of the PlanClock; else changes of what is held
  std::vector<Point> points;
  std::vector<Mark> marks;

  bool empty() const { return points.empty(); }
  std::uint64_t peak() const;  // the largest total
  friend bool operator==(const MemoryTrace&, const MemoryTrace&) = default;
};

// At most `limit` points (from 4 on): the first, the last, and of every group of neighbours the ones with the
// largest and the smallest total, so the peak stays and so does every local one that is higher than its
// group.
MemoryTrace thinned(const MemoryTrace& trace, std::size_t limit);

// Runs `work` and watches the memory of `runtime` meanwhile; x starts at 0. Nobody else may listen to its
// memory or phases. At most kTracePoints points.
inline constexpr std::size_t kTracePoints = 400;
MemoryTrace trace_of(Runtime& runtime, const std::function<void()>& work);

}  // namespace rankine
