#include "io/files/sha256.h"

#include <algorithm>
#include <bit>

#include "io/files/mapped_file.h"

namespace rankine {
namespace sha256_detail {

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
const std::array<std::uint32_t, 64> kRoundConstants = {
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2};

namespace {

std::uint32_t big_endian_word(const std::byte* p) {
  return std::to_integer<std::uint32_t>(p[0]) << 24 | std::to_integer<std::uint32_t>(p[1]) << 16 |
         std::to_integer<std::uint32_t>(p[2]) << 8 | std::to_integer<std::uint32_t>(p[3]);
}

void compress_block(std::array<std::uint32_t, 8>& state, const std::byte* data) {
  std::array<std::uint32_t, 64> w;
  for (int i = 0; i < 16; ++i) w[i] = big_endian_word(data + 4 * i);
  for (int i = 16; i < 64; ++i) {
    const std::uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const std::uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (int i = 0; i < 64; ++i) {
    const std::uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
    const std::uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kRoundConstants[i] + w[i];
    const std::uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
    const std::uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1;
    d = c, c = b, b = a, a = t1 + t2;
  }
  const std::array<std::uint32_t, 8> sum = {a, b, c, d, e, f, g, h};
  for (int i = 0; i < 8; ++i) state[i] += sum[i];
}

}  // namespace

void compress(std::array<std::uint32_t, 8>& state, const std::byte* data, std::size_t blocks) {
  for (std::size_t i = 0; i < blocks; ++i) compress_block(state, data + 64 * i);
}

}  // namespace sha256_detail

namespace {

void compress_best(std::array<std::uint32_t, 8>& state, const std::byte* data, std::size_t blocks) {
  static const bool fast = sha256_detail::has_sha_instructions();
  if (fast) return sha256_detail::compress_x86(state, data, blocks);
  sha256_detail::compress(state, data, blocks);
}

}  // namespace

Sha256::Sha256()
    : state_{0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19} {
}

void Sha256::update(std::span<const std::byte> bytes) {
  const std::size_t waiting = size_ % 64;
  size_ += bytes.size();
  if (waiting != 0) {
    const std::size_t take = std::min(bytes.size(), 64 - waiting);
    std::copy_n(bytes.begin(), take, block_.begin() + static_cast<std::ptrdiff_t>(waiting));
    bytes = bytes.subspan(take);
    if (waiting + take < 64) return;
    compress_best(state_, block_.data(), 1);
  }
  compress_best(state_, bytes.data(), bytes.size() / 64);
  const auto rest = bytes.last(bytes.size() % 64);
  std::copy(rest.begin(), rest.end(), block_.begin());
}

Sha256::Digest Sha256::digest() const {
  Sha256 end = *this;
  std::array<std::byte, 72> padding{std::byte{0x80}};
  const std::size_t length = 1 + (119 - size_ % 64) % 64;  // up to 56 modulo 64, at least one byte
  for (std::size_t i = 0; i < 8; ++i) padding[length + i] = static_cast<std::byte>(size_ * 8 >> (56 - 8 * i));
  end.update(std::span(padding).first(length + 8));
  Digest out;
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<std::uint8_t>(end.state_[i / 4] >> (24 - 8 * (i % 4)));
  return out;
}

std::string Sha256::hex() const {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::uint8_t byte : digest()) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

std::string sha256_hex(std::span<const std::byte> bytes) {
  Sha256 hash;
  hash.update(bytes);
  return hash.hex();
}

std::string sha256_of_file(const std::filesystem::path& path) { return sha256_hex(MappedFile(path).bytes()); }

}  // namespace rankine
