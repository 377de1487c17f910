// What the tapes of a run go by: for every unit of the model, what is done with what it leaves on the tape;
// and what a tape tells about it. Made once for a run, given to the tape of every micro-batch.
//
// A unit is a layer that the tape may treat as a whole (unit.h): a residual or transformer block. Units are
// counted in the order in which a forward pass begins them. Frames that are pushed between two units belong
// to the one before, those in front of all units to the first. No choice changes a bit of any result.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace rankine {

class PageStore;

struct UnitPolicy {
  bool recompute = false;  // only the inputs of the unit are kept; backward runs its forward again
  bool page = false;       // what it leaves is moved out of the device until backward comes near
  friend bool operator==(const UnitPolicy&, const UnitPolicy&) = default;
};

struct MemoryPolicy {
  std::vector<UnitPolicy> units;
  UnitPolicy others;       // units beyond the list
  int streamed_units = 0;  // so many keep their weights off the device, spread evenly over the model
  UnitPolicy at(int unit) const {
    return unit >= 0 && unit < static_cast<int>(units.size()) ? units[static_cast<std::size_t>(unit)]
                                                              : others;
  }
};

// Which of `all` units of a model keep their weights off the device when `streamed` of them do.
constexpr bool is_streamed(int unit, int all, int streamed) {
  const auto before = [&](int units) { return static_cast<long long>(units) * streamed / all; };
  return before(unit + 1) > before(unit);
}

// What one unit did in the last forward pass.
struct UnitReport {
  std::string name;
  std::size_t saved = 0;       // bytes on the tape that belong to it
  double forward_seconds = 0;  // on a plan device with a clock
};

struct TapeStats {
  std::size_t resident_peak = 0;  // bytes on the device at once
  std::size_t paged_peak = 0;     // bytes moved out at once
};

struct StepMemory {
  MemoryPolicy policy;
  std::shared_ptr<PageStore> pages;    // null: nothing can be paged, and `page` is an error
  std::shared_ptr<PageStore> weights;  // that are streamed (models/nn/weight_stream.h); null: none
  std::vector<UnitReport> units;       // of the last forward pass
  TapeStats tape;                      // over all steps so far
};

}  // namespace rankine
