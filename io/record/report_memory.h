// A MemoryTrace as the report shows it: a picture, a sentence and a table that say the same.
#pragma once

#include <string>
#include <vector>

#include "engine/core/memory_trace.h"

namespace rankine {

// All are empty without a trace. `budget` 0: none.
std::string memory_figure(const MemoryTrace& trace, std::uint64_t budget);
std::string memory_sentence(const MemoryTrace& trace, std::uint64_t budget);
// (account, bytes) at the moment of the peak, those that hold something then, and their sum.
std::vector<std::vector<std::string>> memory_at_peak(const MemoryTrace& trace);

}  // namespace rankine
