// CRC-32C (Castagnoli): polynomial 0x1EDC6F41, reflected, start and final xor 0xFFFFFFFF (RFC 3720 appendix
// B.4).
#pragma once

#include <cstdint>
#include <string_view>

namespace rankine {

std::uint32_t crc32c(std::string_view bytes);

// The form TFRecord files store: rotated right by 15 bits, plus 0xA282EAD8, so that a CRC of a CRC is not
// trivial.
std::uint32_t masked_crc32c(std::string_view bytes);

}  // namespace rankine
