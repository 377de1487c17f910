// Who accessed what in the running launch: finds races, reads of uninitialised shared memory and accesses
// outside of what exists. Works on instrumented programs only; else every function here returns at once.
#pragma once

#include "kernels/emulator/include/emulator.h"

namespace rankine::emulator::shadow {

// Accesses that the emulator makes for the current thread of the running kernel. Throw no exception: a fault
// ends the kernel.
void read(const void* p, int bytes, Where where);
void write(const void* p, int bytes, Where where);
void write_pending(const void* p, int bytes, Where where);  // by cp.async, under way
void atomic(const void* p, int bytes, Where where);

// The address must be shared memory of the block.
void require_shared(const void* p, int bytes, const char* what, Where where);

}  // namespace rankine::emulator::shadow
