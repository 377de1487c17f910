// Chooses how a step keeps its memory so that it fits a budget, at the least predicted time: which units of
// the tape are recomputed, which are paged, and how many keep their weights off the device (step_memory.h).
//
// Every candidate is run on a plan device, so what is chosen is known to fit and its time includes waiting
// for copies. Candidates, in place of all 4ⁿ: p of n units are paged, spread evenly from the first on, so
// that a link has time for one while others are computed; those r units are recomputed that free the most
// bytes per second of their forward pass; s units, spread evenly, stream their weights. Small s, r and p are
// preferred where time is equal.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "engine/tape/step_memory.h"

namespace rankine {

// One step under a policy, on a plan device with a clock.
struct MemoryTrial {
  std::size_t peak = 0;           // bytes of the device
  double seconds = 0;             // of the step
  std::vector<UnitReport> units;  // of its forward pass
};
using TryPolicy = std::function<MemoryTrial(const MemoryPolicy&)>;

enum class Use : unsigned char { automatic, always, never };
struct MemoryRules {
  Use page = Use::automatic, recompute = Use::automatic, stream = Use::automatic;
  int streamable = 0;  // units with weights that can be streamed
};

struct MemorySolution {
  MemoryPolicy policy;
  MemoryTrial trial;           // of the policy
  bool fits = false;           // if not, the policy is the one that needs least
  std::size_t minimum = 0;     // bytes: the least that any policy within the rules needs
  double unbound_seconds = 0;  // of the step with no budget
  int trials = 0;
};

MemorySolution solve_memory(std::size_t budget, const MemoryRules& rules, const TryPolicy& attempt);

}  // namespace rankine
