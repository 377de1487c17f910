// Atomic operations: each returns what was at the address before. A block's threads are fibers of one host
// thread, so the operation itself needs no protection; they are calls into the emulator because atomics of
// different threads on one location are not a race, and an atomic and a plain write are.
#pragma once

#include "kernels/emulator/include/emulator_types.h"

#define RANKINE_EMULATOR_ATOMIC(name, type) RANKINE_EMULATOR_NOT_TAIL type name(type* address, type value);
#define RANKINE_EMULATOR_ATOMIC_INTEGER(type) \
  RANKINE_EMULATOR_ATOMIC(atomicAdd, type)    \
  RANKINE_EMULATOR_ATOMIC(atomicMax, type)    \
  RANKINE_EMULATOR_ATOMIC(atomicMin, type)    \
  RANKINE_EMULATOR_ATOMIC(atomicExch, type)   \
  RANKINE_EMULATOR_ATOMIC(atomicAnd, type)    \
  RANKINE_EMULATOR_ATOMIC(atomicOr, type)     \
  RANKINE_EMULATOR_ATOMIC(atomicXor, type)    \
  RANKINE_EMULATOR_NOT_TAIL type atomicCAS(type* address, type compare, type value);
RANKINE_EMULATOR_ATOMIC_INTEGER(int)
RANKINE_EMULATOR_ATOMIC_INTEGER(unsigned)
RANKINE_EMULATOR_ATOMIC_INTEGER(unsigned long long)
RANKINE_EMULATOR_ATOMIC(atomicSub, int)
RANKINE_EMULATOR_ATOMIC(atomicSub, unsigned)
RANKINE_EMULATOR_ATOMIC(atomicAdd, float)
RANKINE_EMULATOR_ATOMIC(atomicAdd, double)
RANKINE_EMULATOR_ATOMIC(atomicExch, float)
// x >= limit ? 0 : x + 1, and x == 0 or x > limit ? limit : x - 1.
RANKINE_EMULATOR_ATOMIC(atomicInc, unsigned)
RANKINE_EMULATOR_ATOMIC(atomicDec, unsigned)
#undef RANKINE_EMULATOR_ATOMIC_INTEGER
#undef RANKINE_EMULATOR_ATOMIC
