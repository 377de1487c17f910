// What a fuzz target is: a reader, called with any bytes, either returns or refuses them with an exception of
// the engine. Anything else is a finding: another exception, abort, a sanitizer's report, more than 2 GiB of
// memory, more than 5 seconds.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/core/error.h"

namespace rankine::fuzz {

using Bytes = std::span<const std::byte>;

// Each target defines these two, in a file of its own (README.md).
void read(Bytes input);
std::vector<std::string> seeds();  // small inputs that reach most of the reader

inline std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A property of what was read; std::logic_error, which main.cpp does not catch, when it does not hold.
template <class... Parts>
void expect(bool ok, const Parts&... parts) {
  if (!ok) throw std::logic_error(join("property violated: ", parts...));
}

}  // namespace rankine::fuzz
