// Whatever the bytes, the readers return tensors inside the file or throw DataError.
#include <random>

#include "engine/core/error.h"
#include "io/formats/ggml_legacy.h"
#include "io/formats/gguf.h"
#include "tests/formats/format_files.h"
#include "tests/formats/ggml_files.h"

namespace rankine {
namespace {

const std::vector<std::string>& gguf_seeds() {
  static const std::vector<std::string> all = [] {
    test::Bytes small = test::gguf(2, 4);
    small.text("general.architecture").u32(8).text("llama");
    small.text("a").u32(9).u32(8).u64(3).text("x").text("").text("yz");
    small.text("b").u32(9).u32(6).u64(2).put(1.0F).put(2.0F);
    small.text("general.alignment").u32(4).u32(32);
    test::tensor(small, "q", {32, 2}, 2, 0);
    test::tensor(small, "v", {4}, 0, 64).align(32).raw(std::string(80, 'd'));
    test::Bytes one = test::gguf(1, 1, 2);
    one.text("k").u32(7).put(std::uint8_t{1});
    test::tensor(one, "m", {2, 3, 1, 2}, 1, 0).align(32).raw(std::string(24, 'd'));
    return std::vector<std::string>{small.data, one.data, test::gguf(0, 0).data};
  }();
  return all;
}

const std::vector<std::string>& ggml_seeds() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> seeds;
    for (const std::uint32_t magic : {0x67676a74U, 0x67676d66U, 0x67676d6cU})
      for (const std::uint32_t version : {1U, 2U, 3U}) {
        test::Legacy file{magic, magic == 0x67676d66U ? 1 : version};
        const std::size_t q4 = magic == 0x67676a74U && version == 3 ? 18 : 20;
        file.tensors = {{"tok_embeddings.weight", {64, 3}, 2, std::string(6 * q4, '\0')},
                        {"norm.weight", {4}, 0, std::string(16, 'd')}};
        seeds.push_back(file.bytes());
      }
    return seeds;
  }();
  return all;
}

// Numbers that lengths and counts like to be wrong by.
constexpr std::uint64_t kNumbers[] = {0,          1,          2,          31,         33,         255,
                                      0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1ULL << 32, 1ULL << 40, 1ULL << 60,
                                      1ULL << 61, 1ULL << 63, ~0ULL,      ~0ULL - 31};

class Mutator {
 public:
  Mutator(const std::vector<std::string>& seeds, std::uint32_t seed) : seeds_(seeds), random_(seed) {}
  std::string next() {
    std::string file = seeds_[below(seeds_.size())];
    for (std::size_t n = 1 + below(3); n > 0 && !file.empty(); --n) change(file);
    return file;
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }
  void change(std::string& file) {
    const std::size_t at = below(file.size());
    const std::uint64_t number = kNumbers[below(std::size(kNumbers))];
    switch (below(6)) {
      case 0:
        file[at] = static_cast<char>(random_());
        break;
      case 1:
        file[at] = static_cast<char>(file[at] ^ (1 << below(8)));
        break;
      case 2:
        std::memcpy(&file[at], &number, std::min<std::size_t>(8, file.size() - at));
        break;
      case 3:
        std::memcpy(&file[at], &number, std::min<std::size_t>(4, file.size() - at));
        break;
      case 4:
        file.erase(at, 1 + below(8));
        break;
      case 5:
        file.resize(at);
        break;
    }
  }
  const std::vector<std::string>& seeds_;
  std::mt19937 random_;
};

void expect_inside(std::span<const std::byte> part, const std::string& file) {
  if (part.empty()) return;
  ASSERT_GE(reinterpret_cast<const char*>(part.data()), file.data());
  ASSERT_LE(reinterpret_cast<const char*>(part.data()) + part.size(), file.data() + file.size());
}

TEST(GgmlFuzz, MutatedGguf) {
  Mutator mutator(gguf_seeds(), 20240607);
  int accepted = 0, refused = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::string file = mutator.next();
    try {
      const GgufHeader header = parse_gguf(test::as_bytes(file), "f");
      for (const auto& [name, info] : header.tensors) {
        expect_inside(info.bytes, file);
        if (info.dtype != FileDType::other) {
          ASSERT_EQ(info.bytes.size(), bytes_of(info.dtype, static_cast<std::uint64_t>(info.numel())));
        }
      }
      ++accepted;
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(accepted, 1'000);
  EXPECT_GT(refused, 40'000);
}

TEST(GgmlFuzz, MutatedLegacyFiles) {
  Mutator mutator(ggml_seeds(), 20240608);
  int accepted = 0, refused = 0;
  for (int i = 0; i < 100'000; ++i) {
    const std::string file = mutator.next();
    try {
      for (const auto& [name, tensor] : parse_ggml(test::as_bytes(file), "f").tensors) {
        expect_inside(tensor.info.bytes, file);
        ASSERT_EQ(tensor.info.bytes.size(),
                  bytes_of(tensor.info.dtype, static_cast<std::uint64_t>(tensor.info.numel())));
      }
      ++accepted;
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(accepted, 1'000);
  EXPECT_GT(refused, 40'000);
}

// Whole files on disk, so that load() and the repacking run too.
TEST(GgmlFuzz, MutatedFilesOnDisk) {
  const test::TemporaryFolder folder;
  Mutator gguf(gguf_seeds(), 1), ggml(ggml_seeds(), 2);
  int loaded = 0;
  const auto load_all = [&](const TensorSource& source) {
    for (const auto& [name, info] : source.tensors()) {
      try {
        read_as_float(source, name);
        ++loaded;
      } catch (const DataError&) {
      }
    }
  };
  for (int i = 0; i < 1'000; ++i) {
    try {
      load_all(GgufFile(folder.file("m.gguf", gguf.next())));
    } catch (const DataError&) {
    }
    try {
      load_all(GgmlFile(folder.file("m.bin", ggml.next())));
    } catch (const DataError&) {
    }
  }
  EXPECT_GT(loaded, 100);
}

TEST(GgmlFuzz, EveryTruncation) {
  // Cut at the end of a tensor, a legacy file is a shorter one; GGUF says how many there are.
  for (const std::string& seed : gguf_seeds())
    for (std::size_t size = 0; size < seed.size(); ++size)
      EXPECT_THROW(parse_gguf(test::as_bytes(seed).first(size), "f"), DataError) << size;
  for (const std::string& seed : ggml_seeds()) {
    int whole = 0;
    for (std::size_t size = 0; size < seed.size(); ++size) {
      try {
        parse_ggml(test::as_bytes(seed).first(size), "f");
        ++whole;
      } catch (const DataError&) {
      }
    }
    EXPECT_LE(whole, 2);  // without tensors, and with the first
  }
}

}  // namespace
}  // namespace rankine
