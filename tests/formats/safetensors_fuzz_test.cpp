// Whatever the bytes, the reader returns a table that covers the file, or throws DataError; nothing else
// happens.
#include <random>

#include "engine/core/error.h"
#include "io/formats/safetensors.h"
#include "tests/formats/format_files.h"

namespace rankine {
namespace {

const std::vector<std::string>& seeds() {
  static const std::vector<std::string> all = {
      test::safetensors_bytes(R"({"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}})",
                              std::string(24, 'x')),
      test::safetensors_bytes(
          R"({"__metadata__":{"format":"pt","ss_tag":"{\"a\": 1}"},"b":{"dtype":"F16","shape":[],)"
          R"("data_offsets":[0,2]},"a":{"dtype":"BF16","shape":[3,1],"data_offsets":[2,8]}}  )",
          std::string(8, 'y')),
      test::safetensors_bytes(
          R"({"e":{"dtype":"U8","shape":[0,4],"data_offsets":[0,0],"more":[1,{"x":null}]},)"
          R"("f":{"dtype":"F4","shape":[2],"data_offsets":[0,1]}})",
          "z"),
      test::safetensors_bytes("{}      ")};
  return all;
}

// Pieces that mean something to JSON or to the format.
const std::vector<std::string>& pieces() {
  static const std::vector<std::string> all = {"{",
                                               "}",
                                               "[",
                                               "]",
                                               ",",
                                               ":",
                                               "\"",
                                               "\\",
                                               "\\u0000",
                                               "\\ud800",
                                               "-1",
                                               "0",
                                               "1e9",
                                               "1.5",
                                               "null",
                                               "true",
                                               "\"dtype\":",
                                               "\"shape\":",
                                               "\"data_offsets\":",
                                               "\"__metadata__\":{",
                                               "F64",
                                               "F4",
                                               "18446744073709551615",
                                               "9223372036854775808",
                                               "18446744073709551616",
                                               "\xff",
                                               "\xc3\xa9",
                                               std::string(1, '\0'),
                                               "//",
                                               "\xEF\xBB\xBF",
                                               " ",
                                               "[[[[[[[[[[[[[[[[[[[[",
                                               "{\"a\":{\"a\":{\"a\":{\"a\":"};
  return all;
}

class Mutator {
 public:
  explicit Mutator(std::uint32_t seed) : random_(seed) {}
  std::string next() {
    std::string file = seeds()[below(seeds().size())];
    for (std::size_t n = 1 + below(4); n > 0; --n) change(file);
    if (below(4) != 0) fix_length(file);
    return file;
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }

  void change(std::string& file) {
    if (file.empty()) return;
    const std::size_t at = below(file.size());
    switch (below(6)) {
      case 0:
        file[at] = static_cast<char>(random_());
        break;
      case 1:
        file.erase(at, 1 + below(8));
        break;
      case 2:
        file.insert(at, pieces()[below(pieces().size())]);
        break;
      case 3:
        file.insert(at, file.substr(below(file.size()), below(40)));
        break;
      case 4:
        file.resize(at);
        break;
      case 5:
        file[at] = static_cast<char>('0' + below(10));
        break;
    }
  }

  // Makes the length field end the header at the last '}', so that most files come past the first check.
  void fix_length(std::string& file) const {
    const std::size_t end = file.rfind('}');
    if (file.size() < 8 || end == std::string::npos || end < 8) return;
    const std::uint64_t length = end + 1 - 8;
    std::memcpy(file.data(), &length, 8);
  }

  std::mt19937 random_;
};

TEST(SafetensorsFuzz, MutatedFiles) {
  Mutator mutator(20240607);
  int accepted = 0, refused = 0;
  for (int i = 0; i < 200'000; ++i) {
    const std::string file = mutator.next();
    try {
      const auto header = parse_safetensors(test::as_bytes(file), "f");
      std::size_t covered = header.data_begin;
      for (const auto& [name, info] : header.tensors) {
        covered += info.bytes.size();
        ASSERT_GE(reinterpret_cast<const char*>(info.bytes.data()), file.data() + header.data_begin);
        ASSERT_LE(reinterpret_cast<const char*>(info.bytes.data()) + info.bytes.size(),
                  file.data() + file.size());
      }
      ASSERT_EQ(covered, file.size());
      ++accepted;
    } catch (const DataError&) {
      ++refused;
    }
  }
  // Both must happen often, or the mutations test nothing.
  EXPECT_GT(accepted, 2'000);
  EXPECT_GT(refused, 100'000);
}

TEST(SafetensorsFuzz, EveryTruncation) {
  for (const std::string& seed : seeds())
    for (std::size_t size = 0; size < seed.size(); ++size)
      EXPECT_THROW(parse_safetensors(test::as_bytes(seed).first(size), "f"), DataError) << size;
}

}  // namespace
}  // namespace rankine
