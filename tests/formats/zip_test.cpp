// The zip reader: what PyTorch writes is read, what lies is refused.
#include "io/formats/zip_archive.h"

#include "engine/core/error.h"
#include "tests/formats/format_files.h"
#include "tests/formats/torch_files.h"

namespace rankine {
namespace {

using test::zip_bytes;
using test::ZipForm;
using test::ZipPart;

const std::vector<ZipPart> kTwo{{"a/one", "first"}, {"a/two", "the second"}};

ZipTable parse(const std::string& file) { return parse_zip(test::as_bytes(file), "f"); }
std::string error_of(const std::string& file) {
  return test::message_of<DataError>([&] { parse(file); });
}
std::string text_of(const ZipMember& member) {
  return {reinterpret_cast<const char*>(member.bytes.data()), member.bytes.size()};
}
void expect_two(const std::string& file) {
  const ZipTable table = parse(file);
  ASSERT_EQ(table.size(), 2U);
  EXPECT_EQ(text_of(table.at("a/one")), "first");
  EXPECT_EQ(text_of(table.at("a/two")), "the second");
  EXPECT_EQ(file.substr(table.at("a/two").offset, 10), "the second");
  check_crc(table.at("a/two"), "a/two", "f");
}

TEST(Zip, Members) {
  expect_two(zip_bytes(kTwo));
  expect_two(zip_bytes(kTwo, {.zip64 = true}));
  expect_two(zip_bytes(kTwo, {.comment = "PK\x05\x06 is no end record here"}));
  EXPECT_EQ(parse(zip_bytes({{"empty/", ""}})).at("empty/").bytes.size(), 0U);
}

TEST(Zip, CutShort) {
  for (const bool zip64 : {false, true}) {
    const std::string file = zip_bytes(kTwo, {.zip64 = zip64});
    for (std::size_t size = 0; size < file.size(); ++size)
      EXPECT_THROW(parse(file.substr(0, size)), DataError) << size;
    EXPECT_THROW(parse(file + "x"), DataError);
  }
  EXPECT_NE(error_of(zip_bytes(kTwo).substr(0, 80)).find("cut short"), std::string::npos);
}

TEST(Zip, DamagedNumbers) {
  for (const bool zip64 : {false, true}) {
    for (const std::uint64_t wrong :
         {std::uint64_t{1}, ~std::uint64_t{0}, std::uint64_t{1} << 31, std::uint64_t{1} << 63}) {
      if (!zip64 && wrong == std::uint64_t{1} << 63) continue;  // does not show in 32 bits
      const bool shows = zip64 || (wrong & 0xFFFF) != 0;        // in the 16 bits of the count
      if (shows) {
        EXPECT_THROW(parse(zip_bytes(kTwo, {zip64, "", wrong, 0, 0})), DataError) << zip64 << ' ' << wrong;
      }
      EXPECT_THROW(parse(zip_bytes(kTwo, {zip64, "", 0, wrong, 0})), DataError) << zip64 << ' ' << wrong;
      EXPECT_THROW(parse(zip_bytes(kTwo, {zip64, "", 0, 0, wrong})), DataError) << zip64 << ' ' << wrong;
      auto parts = kTwo;
      parts[0].size_error = wrong == ~std::uint64_t{0} ? 1000 : wrong;  // one byte less would be a gap
      EXPECT_THROW(parse(zip_bytes(parts, {.zip64 = zip64})), DataError) << zip64 << ' ' << wrong;
      parts = kTwo;
      parts[1].offset = [&] { return wrong; };
      EXPECT_THROW(parse(zip_bytes(parts, {.zip64 = zip64})), DataError) << zip64 << ' ' << wrong;
    }
  }
}

TEST(Zip, EndRecordsThatDisagree) {
  std::string file = zip_bytes(kTwo, {.zip64 = true});
  file[file.size() - 22 + 10] = 7;  // the count of the old record, now neither right nor saturated
  EXPECT_NE(error_of(file).find("disagree"), std::string::npos);
}

TEST(Zip, OverlappingMembers) {
  // The second member begins inside the payload of the first, where its local header lies.
  const std::string inner = zip_bytes({{"b", "inside"}});
  const std::string payload = inner.substr(0, inner.find("PK\x01\x02"));
  const std::uint64_t at = 30 + 1 + 5;
  EXPECT_NE(error_of(zip_bytes({{"a", payload}, {"b", "inside", 0, 0, "", 0, [&] { return at; }}}))
                .find("inside another"),
            std::string::npos);
  // Two names for the same bytes.
  EXPECT_NE(error_of(zip_bytes({{"a", "x"}, {"a", "x", 0, 0, "", 0, [] { return 0; }}})).find("twice"),
            std::string::npos);
}

TEST(Zip, Forms) {
  EXPECT_NE(error_of(zip_bytes({{"a", "x", 8}})).find("compressed"), std::string::npos);
  EXPECT_NE(error_of(zip_bytes({{"a", "x", 0, 1}})).find("encrypted"), std::string::npos);
  EXPECT_NE(error_of(zip_bytes({{"a", "x"}, {"a", "y"}})).find("appears twice"), std::string::npos);
  EXPECT_NE(error_of(zip_bytes({{"a", "x", 0, 0, "b"}})).find("another name"), std::string::npos);
  EXPECT_NE(error_of("PK\x05\x06" + std::string(18, '\0')).find("not a zip file"), std::string::npos);
}

TEST(Zip, NamesNeverLeadAnywhere) {
  for (const std::string& name :
       {std::string("../a"), std::string("a/../b"), std::string("a/.."), std::string("/a"),
        std::string("a\\b"), std::string("C:/a"), std::string("a\0b", 3)})
    EXPECT_NE(error_of(zip_bytes({{name, "x"}})).find("plain relative path"), std::string::npos) << name;
  EXPECT_EQ(parse(zip_bytes({{"a..b/..c", "x"}})).size(), 1U);
}

TEST(Zip, Checksum) {
  const std::string file = zip_bytes({{"a", "x", 0, 0, "", 1}});
  const ZipTable table = parse(file);
  EXPECT_THROW(check_crc(table.at("a"), "a", "f"), DataError);
}

TEST(Zip, FlippedBits) {
  // Whatever one bit does, members stay inside the file and apart from each other.
  for (const bool zip64 : {false, true}) {
    const std::string good = zip_bytes(kTwo, {.zip64 = zip64});
    int refused = 0;
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
      std::string file = good;
      file[bit / 8] = static_cast<char>(file[bit / 8] ^ (1 << (bit % 8)));
      try {
        for (const auto& [name, member] : parse(file))
          ASSERT_LE(member.offset + member.bytes.size(), file.size());
      } catch (const DataError&) {
        ++refused;
      }
    }
    EXPECT_GT(refused, 500);
  }
}

}  // namespace
}  // namespace rankine
