// The memory that the __shared__ variables of all kernels and the dynamic part of the running block live in.
// Blocks run one at a time, so there is one of each.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rankine::emulator::shared_memory {

// Fills everything with bytes 0xFF, which are NaN in every float type, and makes exactly the dynamic part of
// `dynamic_bytes` accessible. Returns its begin. From the second block of a launch on, only the variables
// that its first block wrote are filled: programs have many, kernels use few.
char* begin_block(std::size_t dynamic_bytes, std::uint64_t blocks_before);

enum class Place : std::uint8_t { elsewhere, dynamic_part, variable };
struct Found {
  Place place = Place::elsewhere;
  std::uintptr_t begin = 0, end = 0;  // of the variables declared at one place of the source
};
// The ground around the dynamic part counts as it.
Found find(std::uintptr_t address);

// All __shared__ variables of the program together, in bytes.
std::size_t static_bytes();

}  // namespace rankine::emulator::shared_memory
