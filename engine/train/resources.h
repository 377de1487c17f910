// What the process uses of the machine, for the record of a run.
#pragma once

#include <cstdint>
#include <string_view>

namespace rankine {

struct HostMemory {
  std::uint64_t rss = 0;   // bytes resident now
  std::uint64_t peak = 0;  // most bytes ever resident (VmHWM)
};

// From /proc/self/status; zeros on a system that has none.
HostMemory host_memory();

// From now on `peak` counts anew, where the system can do that (/proc/self/clear_refs).
void reset_host_peak();

// The same from the text of such a file.
HostMemory parse_host_memory(std::string_view status);

}  // namespace rankine
