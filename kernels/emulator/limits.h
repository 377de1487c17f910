// What the emulated card allows in a launch: the limits of compute capability 8.6.
#pragma once

#include <cstddef>

namespace rankine::emulator::limits {

inline constexpr unsigned kThreads = 1024, kBlockX = 1024, kBlockY = 1024, kBlockZ = 64;
inline constexpr unsigned kGridX = 0x7FFFFFFF, kGridYZ = 65535;
inline constexpr std::size_t kShared = 48 * 1024, kSharedOptIn = 99 * 1024, kSharedPerProcessor = 100 * 1024;

}  // namespace rankine::emulator::limits
