// Mapped files, SHA-256, gzip, and names that must stay in their folder.
#include <sys/stat.h>

#include <random>

#include "engine/core/error.h"
#include "io/files/gzip.h"
#include "io/files/mapped_file.h"
#include "io/files/paths.h"
#include "io/files/sha256.h"
#include "tests/formats/format_files.h"

namespace rankine {
namespace {

namespace fs = std::filesystem;
using test::TemporaryFolder;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(MappedFile, ShowsTheBytesAndMoves) {
  const TemporaryFolder folder;
  MappedFile a(folder.file("a", "hello"));
  const MappedFile b(std::move(a));
  EXPECT_EQ(text_of(b.bytes()), "hello");
  EXPECT_EQ(b.path(), folder.path() / "a");
  MappedFile c(folder.file("c", "other"));
  c = MappedFile(folder.file("d", "third"));
  EXPECT_EQ(text_of(c.bytes()), "third");
}

TEST(MappedFile, TakesAnEmptyFile) {
  const TemporaryFolder folder;
  EXPECT_TRUE(MappedFile(folder.file("empty", "")).bytes().empty());
  EXPECT_TRUE(MappedFile().bytes().empty());
}

TEST(MappedFile, SaysPathAndReason) {
  const TemporaryFolder folder;
  const auto missing = folder.path() / "missing";
  const std::string message = test::message_of<IoError>([&] { MappedFile file(missing); });
  EXPECT_NE(message.find(missing.string()), std::string::npos);
  EXPECT_NE(message.find("No such file"), std::string::npos);
  EXPECT_THROW(MappedFile file(folder.path()), IoError);
  const auto fifo = folder.path() / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THROW(MappedFile file(fifo), IoError);  // and does not wait for a writer
}

// FIPS 180-4 examples and the well-known digest of a million letters.
TEST(Sha256, MatchesPublishedDigests) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnHowTheBytesAreCut) {
  std::mt19937 random(7);
  std::string text(1000, '\0');
  for (char& c : text) c = static_cast<char>(random());
  for (std::size_t size = 0; size < 200; ++size) {
    Sha256 pieces;
    for (std::size_t at = 0; at < size;) {
      const std::size_t n = std::min<std::size_t>(size - at, 1 + random() % 70);
      pieces.update(std::string_view(text).substr(at, n));
      at += n;
    }
    EXPECT_EQ(pieces.hex(), sha256_hex(text.substr(0, size))) << size;
  }
}

TEST(Sha256, GoesOnAfterADigest) {
  Sha256 hash;
  hash.update("ab");
  EXPECT_EQ(hash.hex(), sha256_hex("ab"));
  hash.update("c");
  EXPECT_EQ(hash.hex(), sha256_hex("abc"));
}

TEST(Sha256, PortableAndFastCodeAgree) {
  if (!sha256_detail::has_sha_instructions()) GTEST_SKIP() << "this processor has no SHA instructions";
  std::mt19937 random(8);
  std::array<std::uint32_t, 8> a{}, b{};
  std::string data(64 * 50, '\0');
  for (char& c : data) c = static_cast<char>(random());
  for (auto& word : a) word = static_cast<std::uint32_t>(random());
  b = a;
  sha256_detail::compress(a, test::as_bytes(data).data(), 50);
  sha256_detail::compress_x86(b, test::as_bytes(data).data(), 50);
  EXPECT_EQ(a, b);
}

TEST(Sha256, OfAFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(sha256_of_file(folder.file("f", "abc")), sha256_hex("abc"));
  EXPECT_THROW(sha256_of_file(folder.path() / "missing"), IoError);
}

// `printf hello | gzip -n`, by hand: header, one fixed-Huffman block, CRC-32, length.
const std::string kHelloGzip(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00",
    25);

TEST(Gzip, Decompresses) {
  EXPECT_TRUE(is_gzip(test::as_bytes(kHelloGzip)));
  EXPECT_EQ(gunzip(test::as_bytes(kHelloGzip), 5, "h.gz"), "hello");
  EXPECT_FALSE(is_gzip(test::as_bytes("hello")));
  EXPECT_FALSE(is_gzip({}));
}

TEST(Gzip, RefusesEveryDamage) {
  for (std::size_t size = 0; size < kHelloGzip.size(); ++size)
    EXPECT_THROW(gunzip(test::as_bytes(kHelloGzip.substr(0, size)), 100, "h.gz"), DataError) << size;
  std::string wrong_checksum = kHelloGzip;
  wrong_checksum[18] = static_cast<char>(wrong_checksum[18] ^ 1);
  EXPECT_THROW(gunzip(test::as_bytes(wrong_checksum), 100, "h.gz"), DataError);
  EXPECT_THROW(gunzip(test::as_bytes(kHelloGzip + "x"), 100, "h.gz"), DataError);
  const std::string message =
      test::message_of<DataError>([] { gunzip(test::as_bytes(kHelloGzip), 4, "h.gz"); });
  EXPECT_EQ(message, "h.gz: gzip: the content is longer than 4 bytes");
}

TEST(ResolveInside, FindsFilesInTheFolder) {
  const TemporaryFolder folder;
  fs::create_directory(folder.path() / "sub");
  const auto file = folder.file("sub/a.png", "x");
  EXPECT_EQ(resolve_inside(folder.path(), "sub/a.png"), fs::canonical(file));
  EXPECT_EQ(resolve_inside(folder.path(), "./sub//a.png"), fs::canonical(file));
  fs::create_symlink("sub/a.png", folder.path() / "link");
  EXPECT_EQ(resolve_inside(folder.path(), "link"), fs::canonical(file));
}

TEST(ResolveInside, RefusesEverythingElse) {
  const TemporaryFolder folder;
  const auto root = folder.path() / "root";
  fs::create_directory(root);
  folder.file("secret", "x");
  folder.file("root/ok", "x");
  fs::create_directory(folder.path() / "root-twin");
  folder.file("root-twin/file", "x");
  fs::create_symlink("..", root / "up");
  fs::create_symlink("../secret", root / "out");
  fs::create_symlink("../root-twin/file", root / "twin");
  fs::create_symlink("/etc/passwd", root / "absolute");
  fs::create_symlink("missing", root / "dangling");
  fs::create_symlink("circle", root / "circle");
  ASSERT_EQ(::mkfifo((root / "fifo").c_str(), 0600), 0);
  fs::create_directory(root / "folder");
  const std::vector<std::string> tricks = {"",
                                           "/etc/passwd",
                                           "../secret",
                                           "folder/../ok",
                                           "..",
                                           "up/secret",
                                           "out",
                                           "twin",
                                           "absolute",
                                           "dangling",
                                           "circle",
                                           "fifo",
                                           "folder",
                                           ".",
                                           "missing",
                                           "ok/",
                                           "ok/x",
                                           "./../secret",
                                           "//etc",
                                           std::string("ok\0", 3),
                                           std::string("ok\0/../../secret", 17),
                                           std::string(5000, 'a'),
                                           "\xff\xfe"};
  for (const std::string& name : tricks) EXPECT_THROW(resolve_inside(root, name), DataError) << name;
  EXPECT_NO_THROW(resolve_inside(root, "ok"));
  EXPECT_THROW(resolve_inside(folder.path() / "missing", "ok"), DataError);
}

}  // namespace
}  // namespace rankine
