// Little-endian numbers and texts from a file in memory. Every read is checked against the end of the file.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "engine/core/error.h"

namespace rankine {

class GgmlReader {
 public:
  GgmlReader(std::span<const std::byte> file, std::string name) : file_(file), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  std::size_t position() const { return at_; }
  std::size_t left() const { return file_.size() - at_; }

  // Throws DataError "name: byte N: what..." unless ok.
  template <class... Parts>
  void check(bool ok, const Parts&... what) const {
    if (!ok) fail(what...);
  }
  template <class... Parts>
  [[noreturn]] void fail(const Parts&... what) const {
    throw DataError(join(name_, ": byte ", at_, ": ", what...));
  }

  std::span<const std::byte> bytes(std::uint64_t n, std::string_view what) {
    check(n <= left(), what, " of ", n, " bytes does not fit the ", left(),
          " bytes left; the file may be cut short");
    at_ += n;
    return file_.subspan(at_ - n, n);
  }
  template <class T>
  T number(std::string_view what) {
    static_assert(std::endian::native == std::endian::little);
    T x;
    std::memcpy(&x, bytes(sizeof(T), what).data(), sizeof(T));
    return x;
  }
  std::string text(std::uint64_t n, std::string_view what) {
    const auto view = bytes(n, what);
    return {reinterpret_cast<const char*>(view.data()), view.size()};
  }
  // A number of things that take at least `least` bytes each, so that nothing is allocated for a lie.
  std::size_t count(std::uint64_t n, std::size_t least, std::string_view what) const {
    check(n <= left() / least, n, ' ', what, " of at least ", least, " bytes do not fit the ", left(),
          " bytes left");
    return n;
  }
  // Moves to the next multiple of n, or the end of the file where that comes first.
  void align(std::size_t n) {
    const std::size_t padding = (n - at_ % n) % n;
    at_ += padding < left() ? padding : left();
  }

 private:
  std::span<const std::byte> file_;
  std::string name_;
  std::size_t at_ = 0;
};

// A name from a file as messages show it: short, and with nothing a terminal would act on.
inline std::string printable(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, 80)) out += c >= ' ' && c <= '~' ? c : '?';
  return out + (text.size() > 80 ? "...'" : "'");
}

}  // namespace rankine
