// Decompression of gzip files (RFC 1952).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace rankine {

// True when the bytes begin like a gzip file.
bool is_gzip(std::span<const std::byte> bytes);

// The uncompressed content of one gzip member. `name` is for messages. Throws DataError when the data is
// damaged or cut short, when something follows it, or when the content would be longer than max_bytes.
std::string gunzip(std::span<const std::byte> bytes, std::size_t max_bytes, std::string_view name);

}  // namespace rankine
