// What clang calls before every load and store of code built with
// -fsanitize-coverage=trace-loads,trace-stores.
#include <cstddef>
#include <cstdint>

#include "kernels/emulator/executor.h"
#include "kernels/emulator/sanitizer.h"
#include "kernels/emulator/shadow.h"

namespace rankine::emulator {
namespace {

bool seen = false;

inline void traced(const void* p, std::size_t bytes, shadow::Kind kind, const void* pc) {
  if (!in_kernel) return;
  in_kernel = false;
  seen = true;
  shadow::access(*active, p, bytes, kind, pc);
  in_kernel = true;
}

[[maybe_unused]] void traced_source(const void* p, std::size_t bytes, const void* pc) {
  if (bytes) traced(p, bytes, shadow::Kind::read, pc);
}
[[maybe_unused]] void traced_source(int, std::size_t, const void*) {}

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

#if RANKINE_EMULATOR_ASAN && defined(__clang__)
#define RANKINE_EMULATOR_WRAP(name, Source)                                              \
  extern "C" void* __real_##name(void* to, Source from, std::size_t n);                  \
  extern "C" void* __wrap_##name(void* to, Source from, std::size_t n) {                 \
    const void* pc = __builtin_return_address(0);                                        \
    rankine::emulator::traced_source(from, n, pc);                                       \
    if (n) rankine::emulator::traced(to, n, rankine::emulator::shadow::Kind::write, pc); \
    return __real_##name(to, from, n);                                                   \
  }
RANKINE_EMULATOR_WRAP(__asan_memcpy, const void*)
RANKINE_EMULATOR_WRAP(__asan_memmove, const void*)
RANKINE_EMULATOR_WRAP(__asan_memset, int)
#endif
