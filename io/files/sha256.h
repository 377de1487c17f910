// SHA-256 (FIPS 180-4).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace rankine {

// Streaming: the digest depends on the bytes, not on how they were cut. Uses the processor's SHA instructions
// where there are any.
class Sha256 {
 public:
  using Digest = std::array<std::uint8_t, 32>;

  Sha256();
  void update(std::span<const std::byte> bytes);
  void update(std::string_view text) { update(std::as_bytes(std::span(text))); }
  Digest digest() const;    // of all bytes so far; more may follow
  std::string hex() const;  // the digest as 64 lower-case hexadecimal digits

 private:
  std::array<std::uint32_t, 8> state_;
  std::array<std::byte, 64> block_{};  // bytes not yet hashed: size_ % 64 of them
  std::uint64_t size_ = 0;
};

std::string sha256_hex(std::span<const std::byte> bytes);
// Of a whole file. Throws IoError.
std::string sha256_of_file(const std::filesystem::path& path);
inline std::string sha256_hex(std::string_view text) { return sha256_hex(std::as_bytes(std::span(text))); }

namespace sha256_detail {

extern const std::array<std::uint32_t, 64> kRoundConstants;

// Feeds `blocks` blocks of 64 bytes to the state. The portable one is always there; the other needs
// has_sha_instructions().
void compress(std::array<std::uint32_t, 8>& state, const std::byte* data, std::size_t blocks);
void compress_x86(std::array<std::uint32_t, 8>& state, const std::byte* data, std::size_t blocks);
bool has_sha_instructions();

}  // namespace sha256_detail
}  // namespace rankine
