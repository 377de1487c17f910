// Numbers out of untrusted bytes: every read is checked, errors name file and offset.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "engine/core/error.h"

namespace rankine {

class ByteReader {
 public:
  // Reads `bytes`, which begin at offset `base` of the file `name`; both must outlive the reader.
  ByteReader(std::span<const std::byte> bytes, const std::string& name, std::uint64_t base = 0)
      : bytes_(bytes), name_(name), base_(base) {}

  std::uint64_t offset() const { return base_ + at_; }  // in the file
  std::size_t position() const { return at_; }          // in the bytes
  std::size_t left() const { return bytes_.size() - at_; }

  std::span<const std::byte> take(std::uint64_t n, std::string_view what) {
    if (n > left()) fail(join(what, " of ", n, " bytes does not fit the ", left(), " bytes that are left"));
    const auto taken = bytes_.subspan(at_, static_cast<std::size_t>(n));
    at_ += static_cast<std::size_t>(n);
    return taken;
  }
  std::string_view text(std::uint64_t n, std::string_view what) {
    const auto taken = take(n, what);
    return {reinterpret_cast<const char*>(taken.data()), taken.size()};
  }
  // Little-endian, `size` bytes of at most 8.
  std::uint64_t number(int size, std::string_view what) {
    const auto taken = take(static_cast<std::uint64_t>(size), what);
    std::uint64_t value = 0;
    for (int i = size - 1; i >= 0; --i) value = value << 8 | std::to_integer<std::uint64_t>(taken[i]);
    return value;
  }
  std::uint8_t u8(std::string_view what) { return static_cast<std::uint8_t>(number(1, what)); }
  std::uint16_t u16(std::string_view what) { return static_cast<std::uint16_t>(number(2, what)); }
  std::uint32_t u32(std::string_view what) { return static_cast<std::uint32_t>(number(4, what)); }
  std::uint64_t u64(std::string_view what) { return number(8, what); }

  // The byte that is `ahead` of the next one; `ahead` must be less than left().
  char peek(std::size_t ahead) const { return static_cast<char>(bytes_[at_ + ahead]); }

  [[noreturn]] void fail(const std::string& what) const { fail_at(offset(), what); }
  [[noreturn]] void fail_at(std::uint64_t offset, const std::string& what) const {
    throw DataError(join(name_, ": byte ", offset, ": ", what));
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& name_;
  std::uint64_t base_;
  std::size_t at_ = 0;
};

}  // namespace rankine
