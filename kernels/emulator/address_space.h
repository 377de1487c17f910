// What an address is to a kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace rankine::emulator {
class Executor;
}

namespace rankine::emulator::address_space {

enum class Kind : std::uint8_t { dynamic_shared, static_shared, device, host_stack, program, none };
struct Region {
  Kind kind = Kind::none;
  std::uintptr_t begin = 0, end = 0;
};
// The region of `address`: the block's dynamic shared memory, a __shared__ variable, an allocation of the
// runtime, or what kernels may read of the host: the launching thread's stack, on which the arguments are,
// and the program's constants.
Region region_of(const Executor& e, std::uintptr_t address);

// "dynamic shared memory + 128" and the like, for messages.
std::string describe(const Executor& e, std::uintptr_t address);

// Whether AddressSanitizer, if the build has it, knows these bytes as not to be touched.
bool poisoned(std::uintptr_t address, std::size_t bytes);

}  // namespace rankine::emulator::address_space
