// What a file that is not what a reader expected may be instead.
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace rankine {

// "; this is a GGUF file", by its first bytes: to end a message with. Empty when unknown.
std::string likely_kind(std::span<const std::byte> file);

}  // namespace rankine
