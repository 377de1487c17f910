// What clang calls before every load and store of code built with
// -fsanitize-coverage=trace-loads,trace-stores.
#include <cstdint>

#include "kernels/emulator/executor.h"
#include "kernels/emulator/shadow.h"

namespace rankine::emulator {
namespace {

bool seen = false;

inline void traced(const void* p, int bytes, shadow::Kind kind, const void* pc) {
  if (!in_kernel) return;
  in_kernel = false;
  seen = true;
  shadow::access(*active, p, bytes, kind, pc);
  in_kernel = true;
}

}  // namespace

bool instrumented() { return seen; }

}  // namespace rankine::emulator

#define RANKINE_EMULATOR_TRACE(bytes)                                                                        \
  extern "C" void __sanitizer_cov_load##bytes(const void* p) {                                               \
    rankine::emulator::traced(p, bytes, rankine::emulator::shadow::Kind::read, __builtin_return_address(0)); \
  }                                                                                                          \
  extern "C" void __sanitizer_cov_store##bytes(const void* p) {                                              \
    rankine::emulator::traced(p, bytes, rankine::emulator::shadow::Kind::write,                              \
                              __builtin_return_address(0));                                                  \
  }
RANKINE_EMULATOR_TRACE(1)
RANKINE_EMULATOR_TRACE(2)
RANKINE_EMULATOR_TRACE(4)
RANKINE_EMULATOR_TRACE(8)
RANKINE_EMULATOR_TRACE(16)
