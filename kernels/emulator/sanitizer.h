// What AddressSanitizer must be told, and nothing where the program is built without it.
#pragma once

#include <cstddef>

#ifndef RANKINE_EMULATOR_ASAN  // set by the build, which leaves the emulator itself uninstrumented
#define RANKINE_EMULATOR_ASAN 0
#endif

#if RANKINE_EMULATOR_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace rankine::emulator::sanitizer {

#if RANKINE_EMULATOR_ASAN
inline void poison(const void* p, std::size_t bytes) { __asan_poison_memory_region(p, bytes); }
inline void unpoison(const void* p, std::size_t bytes) { __asan_unpoison_memory_region(p, bytes); }
inline void leave_stack(void** fake, const void* next, std::size_t bytes) {
  __sanitizer_start_switch_fiber(fake, next, bytes);
}
inline void enter_stack(void* fake, const void** previous, std::size_t* bytes) {
  __sanitizer_finish_switch_fiber(fake, previous, bytes);
}
// Whether it keeps locals on a heap of its own, as newer compilers do by default.
inline bool moves_locals() { return __asan_get_current_fake_stack() != nullptr; }
#else
inline bool moves_locals() { return false; }
inline void poison(const void*, std::size_t) {}
inline void unpoison(const void*, std::size_t) {}
inline void leave_stack(void**, const void*, std::size_t) {}
inline void enter_stack(void*, const void**, std::size_t*) {}
#endif

}  // namespace rankine::emulator::sanitizer
