// Event files, read back by a small reader of TFRecord and protobuf written from the formats' own
// descriptions.
#include "io/record/tensorboard.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "engine/core/error.h"
#include "io/record/crc32c.h"
#include "tests/record/tiny_png.h"

namespace rankine {
namespace {

std::filesystem::path fresh_folder(const std::string& name) {
  auto path = std::filesystem::path(testing::TempDir()) / name;
  std::filesystem::remove_all(path);
  std::filesystem::create_directories(path);
  return path;
}

std::string text_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

// CRC-32C bit by bit, straight from the polynomial.
std::uint32_t slow_crc32c(std::string_view bytes) {
  std::uint32_t crc = 0xFFFFFFFFU;
  for (const char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = (crc & 1U) != 0 ? (crc >> 1) ^ 0x82F63B78U : crc >> 1;
  }
  return ~crc;
}

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i > 0; --i)
    value = (value << 8) | static_cast<unsigned char>(bytes[i - 1]);
  return value;
}

std::uint64_t masked(std::string_view bytes) {
  const std::uint32_t crc = slow_crc32c(bytes);
  return static_cast<std::uint32_t>(((crc >> 15) | (crc << 17)) + 0xA282EAD8U);
}

std::vector<std::string> read_records(const std::string& file) {
  std::vector<std::string> records;
  std::string_view rest = file;
  while (!rest.empty()) {
    EXPECT_GE(rest.size(), 16U);
    if (rest.size() < 16) break;
    const std::uint64_t length = little_endian(rest.substr(0, 8));
    EXPECT_EQ(little_endian(rest.substr(8, 4)), masked(rest.substr(0, 8)));
    EXPECT_LE(length + 16, rest.size());
    if (length + 16 > rest.size()) break;
    const std::string_view data = rest.substr(12, length);
    EXPECT_EQ(little_endian(rest.substr(12 + length, 4)), masked(data));
    records.emplace_back(data);
    rest.remove_prefix(length + 16);
  }
  return records;
}

// Fields of a message: numbers as they are, strings and messages as bytes.
struct Message {
  std::multimap<int, std::uint64_t> numbers;
  std::multimap<int, std::string> bytes;
  std::uint64_t number(int field) const {
    return numbers.count(field) == 1 ? numbers.find(field)->second : ~0ULL;
  }
  std::string text(int field) const { return bytes.count(field) == 1 ? bytes.find(field)->second : "?"; }
};

std::uint64_t take_varint(std::string_view& s) {
  std::uint64_t value = 0;
  for (int shift = 0; !s.empty() && shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(s.front());
    s.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

Message parse_message(std::string_view s) {
  Message message;
  while (!s.empty()) {
    const std::uint64_t key = take_varint(s);
    const int field = static_cast<int>(key >> 3);
    const std::uint64_t type = key & 7U;
    if (type == 0) {
      message.numbers.emplace(field, take_varint(s));
      continue;
    }
    const std::uint64_t size = type == 1 ? 8 : type == 5 ? 4 : take_varint(s);
    EXPECT_LE(size, s.size());
    if (size > s.size()) return message;
    if (type == 2) {
      message.bytes.emplace(field, s.substr(0, size));
    } else {
      message.numbers.emplace(field, little_endian(s.substr(0, size)));
    }
    s.remove_prefix(size);
  }
  return message;
}

TEST(Crc32cTest, KnownValues) {
  EXPECT_EQ(crc32c(""), 0U);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283U);              // the check value of the polynomial
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAU);    // RFC 3720 B.4
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43U);  // RFC 3720 B.4
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text.push_back(static_cast<char>(i * 37));
    ASSERT_EQ(crc32c(text), slow_crc32c(text));
  }
}

TEST(EventWriterTest, ScalarsReadBack) {
  const auto folder = fresh_folder("events_scalars");
  EventWriter writer(folder);
  writer.add_scalars(1, {{"train/loss", 0.5}, {"train/lr", 1e-4}});
  writer.add_scalars(300, {{"train/loss", NAN}});
  writer.sync();
  const auto records = read_records(text_of(writer.path()));
  ASSERT_EQ(records.size(), 3U);
  EXPECT_EQ(parse_message(records[0]).text(3), "brain.Event:2");
  const double wall_time = std::bit_cast<double>(parse_message(records[0]).number(1));
  EXPECT_GT(wall_time, 1.5e9);
  EXPECT_LT(wall_time, 1e11);
  const Message event = parse_message(records[1]);
  EXPECT_EQ(event.number(2), 1U);
  const Message summary = parse_message(event.text(5));
  ASSERT_EQ(summary.bytes.count(1), 2U);
  const auto values = summary.bytes.equal_range(1);
  const Message loss = parse_message(values.first->second);
  const Message rate = parse_message(std::next(values.first)->second);
  EXPECT_EQ(loss.text(1), "train/loss");
  EXPECT_EQ(std::bit_cast<float>(static_cast<std::uint32_t>(loss.number(2))), 0.5F);
  EXPECT_EQ(rate.text(1), "train/lr");
  EXPECT_EQ(std::bit_cast<float>(static_cast<std::uint32_t>(rate.number(2))), 1e-4F);
  EXPECT_EQ(parse_message(records[2]).number(2), 300U);  // a varint of two bytes
}

TEST(EventWriterTest, ImagesReadBack) {
  const auto folder = fresh_folder("events_images");
  EventWriter writer(folder);
  writer.add_image(7, "samples/fox", kTinyPng);
  const auto records = read_records(text_of(writer.path()));
  ASSERT_EQ(records.size(), 2U);
  const Message value = parse_message(parse_message(parse_message(records[1]).text(5)).text(1));
  EXPECT_EQ(value.text(1), "samples/fox");
  const Message image = parse_message(value.text(4));
  EXPECT_EQ(image.number(1), 1U);  // height
  EXPECT_EQ(image.number(2), 2U);  // width
  EXPECT_EQ(image.number(3), 3U);  // channels
  EXPECT_EQ(image.text(4), kTinyPng);
  EXPECT_THROW(writer.add_image(8, "x", "no picture"), DataError);
  EXPECT_THROW(writer.add_image(8, "x", kTinyPng.substr(0, 20)), DataError);
}

TEST(EventWriterTest, AResumedRunStartsANewFile) {
  const auto folder = fresh_folder("events_resume");
  const EventWriter first(folder);
  const EventWriter second(folder, 40);
  EXPECT_NE(first.path(), second.path());
  EXPECT_NE(first.path().filename().string().find("tfevents"), std::string::npos);
  EXPECT_LT(first.path().filename(), second.path().filename());
  const auto records = read_records(text_of(second.path()));
  ASSERT_EQ(records.size(), 2U);
  const Message start = parse_message(records[1]);
  EXPECT_EQ(start.number(2), 41U);
  EXPECT_EQ(parse_message(start.text(7)).number(1), 1U);
}

TEST(EventWriterTest, AMissingFolderIsNamed) { EXPECT_THROW(EventWriter("/no/such/folder"), IoError); }

}  // namespace
}  // namespace rankine
