#include "io/files/gzip.h"

#include "fuzz/fuzz.h"

void rankine::fuzz::read(Bytes input) {
  constexpr std::size_t kMax = 1 << 20;
  expect(gunzip(input, kMax, "f").size() <= kMax, "more than allowed");
}

std::vector<std::string> rankine::fuzz::seeds() {
  // "hello" stored, and nothing at all behind the optional fields of the header.
  const std::string optional("\x1F\x8B\x08\x1C\0\0\0\0\0\x03\x02\0xyname\0note\0\x03\0", 26);
  return {std::string("\x1F\x8B\x08\0\0\0\0\0\0\x03\x01\x05\0\xFA\xFFhello\x86\xA6\x10\x36\x05\0\0\0", 28),
          optional + std::string(8, '\0')};
}
