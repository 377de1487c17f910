// Tells AddressSanitizer which bytes of an arena nobody may touch, so that it finds a tensor read past its
// end or after its release. Nothing in other builds.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define RANKINE_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RANKINE_ADDRESS_SANITIZER 1
#endif
#endif

#ifdef RANKINE_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

namespace rankine {

inline void forbid_bytes([[maybe_unused]] const std::byte* begin, [[maybe_unused]] std::size_t bytes) {
#ifdef RANKINE_ADDRESS_SANITIZER
  __asan_poison_memory_region(begin, bytes);
#endif
}
inline void allow_bytes([[maybe_unused]] const std::byte* begin, [[maybe_unused]] std::size_t bytes) {
#ifdef RANKINE_ADDRESS_SANITIZER
  __asan_unpoison_memory_region(begin, bytes);
#endif
}

}  // namespace rankine
