// Who accessed what in the running launch: finds races, reads of uninitialised shared memory and accesses
// outside of what exists. Loads and stores come from instrumented kernels (coverage.cpp), cp.async, ldmatrix
// and atomics from the emulator; without the former nothing is checked. A finding ends the kernel
// (Executor::fail).
//
// Two accesses of one byte race when they come from different threads, one is a write, not both are atomic,
// and neither __syncthreads nor __syncwarp orders them. Blocks are never ordered. Per word of four bytes two
// writes and two reads are kept, chosen to come from different warps and blocks: a race with an access that
// has been dropped is missed, an ordered pair is never reported.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/emulator/include/emulator.h"

namespace rankine::emulator {
class Executor;
}

namespace rankine::emulator::shadow {

enum class Kind : std::uint8_t { read, write, pending_write, atomic };  // pending: by cp.async, under way

void begin_launch();  // forgets the one before

// An access of the current thread; `pc` is a return address in the kernel.
void access(Executor& e, std::uintptr_t address, std::size_t bytes, Kind kind, const void* pc);
inline void access(Executor& e, const void* p, std::size_t bytes, Kind kind, const void* pc) {
  access(e, reinterpret_cast<std::uintptr_t>(p), bytes, kind, pc);
}

// The address must be shared memory of the block.
void require_shared(Executor& e, const void* p, std::size_t bytes, const char* what, const void* pc);

}  // namespace rankine::emulator::shadow
