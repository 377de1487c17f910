// Which samples share a row of a batch, so that little of it is padding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rankine {

// First-fit decreasing (Johnson 1973): samples from long to short, each into the first bin that has room;
// never more than 11/9 of the fewest bins possible, plus 1. Returns bins of indices into `lengths`; every
// index occurs once. A function of its arguments alone; O(n log n). Throws std::invalid_argument for a length
// below 1 or above max_length.
std::vector<std::vector<std::size_t>> pack(std::span<const std::int64_t> lengths, std::int64_t max_length);

}  // namespace rankine
