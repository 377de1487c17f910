#include "io/record/tensorboard.h"

#include <unistd.h>

#include <bit>
#include <chrono>
#include <cstdio>
#include <string>

#include "engine/core/error.h"
#include "io/record/crc32c.h"

namespace rankine {
namespace {

// Protobuf wire types.
constexpr std::uint32_t kVarint = 0;
constexpr std::uint32_t kFixed64 = 1;
constexpr std::uint32_t kLengthDelimited = 2;
constexpr std::uint32_t kFixed32 = 5;

template <class UInt>
void put_little_endian(std::string& out, UInt value) {
  for (std::size_t i = 0; i < sizeof(UInt); ++i) out.push_back(static_cast<char>((value >> (8 * i)) & 0xFFU));
}

void put_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>((value & 0x7FU) | 0x80U));
  out.push_back(static_cast<char>(value));
}

void put_key(std::string& out, std::uint32_t field, std::uint32_t wire_type) {
  put_varint(out, (field << 3) | wire_type);
}

void put_integer(std::string& out, std::uint32_t field, std::uint64_t value) {
  put_key(out, field, kVarint);
  put_varint(out, value);
}

void put_bytes(std::string& out, std::uint32_t field, std::string_view bytes) {
  put_key(out, field, kLengthDelimited);
  put_varint(out, bytes.size());
  out.append(bytes);
}

std::string scalar_value(std::string_view tag, double value) {
  std::string out;
  put_bytes(out, 1, tag);
  put_key(out, 2, kFixed32);
  put_little_endian(out, std::bit_cast<std::uint32_t>(static_cast<float>(value)));
  return out;
}

std::uint32_t big_endian(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = (value << 8) | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// TensorBoard wants the size and the number of channels beside the picture; both stand in the PNG header.
std::string image_message(std::string_view png) {
  constexpr std::string_view kSignature = "\x89PNG\r\n\x1A\n";
  constexpr std::size_t kHeaderEnd =
      26;  // signature, chunk length and type, width, height, depth, colour type
  require<DataError>(png.size() >= kHeaderEnd && png.substr(0, kSignature.size()) == kSignature,
                     "TensorBoard image: expected a PNG file, got ", png.size(), " other bytes");
  const auto colour_type = static_cast<unsigned char>(png[25]);
  const std::uint64_t channels = colour_type == 0 ? 1 : colour_type == 4 ? 2 : colour_type == 6 ? 4 : 3;
  std::string out;
  put_integer(out, 1, big_endian(png, 20));
  put_integer(out, 2, big_endian(png, 16));
  put_integer(out, 3, channels);
  put_bytes(out, 4, png);
  return out;
}

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// TensorBoard reads the files of a folder in the order of their names, so the name starts with the time. It
// takes every file whose name holds "tfevents"; the usual host name is left out as nobody's business.
std::filesystem::path new_event_path(const std::filesystem::path& folder) {
  char time[32];
  std::snprintf(time, sizeof time, "%010lld", static_cast<long long>(now_seconds()));
  for (int n = 0;; ++n) {
    auto path = folder / join("events.out.tfevents.", time, ".rankine.", ::getpid(), ".", n);
    if (!std::filesystem::exists(path)) return path;
  }
}

}  // namespace

EventWriter::EventWriter(const std::filesystem::path& folder, std::int64_t resume_step)
    : path_(new_event_path(folder)), file_(path_, AppendFile::Mode::create_new) {
  std::string version;
  put_bytes(version, 3, "brain.Event:2");
  write_event(0, version);
  if (resume_step == 0) return;
  std::string start;
  put_integer(start, 1, 1);
  std::string session;
  put_bytes(session, 7, start);
  write_event(resume_step + 1, session);
}

void EventWriter::write_event(std::int64_t step, std::string_view fields) {
  std::string event;
  put_key(event, 1, kFixed64);
  put_little_endian(event, std::bit_cast<std::uint64_t>(now_seconds()));
  put_integer(event, 2, static_cast<std::uint64_t>(step));
  event.append(fields);
  std::string record;
  put_little_endian(record, static_cast<std::uint64_t>(event.size()));
  put_little_endian(record, masked_crc32c(record));
  record.append(event);
  put_little_endian(record, masked_crc32c(event));
  file_.append(record);
}

void EventWriter::add_scalars(std::int64_t step,
                              const std::vector<std::pair<std::string_view, double>>& scalars) {
  std::string summary;
  for (const auto& [tag, value] : scalars) put_bytes(summary, 1, scalar_value(tag, value));
  std::string fields;
  put_bytes(fields, 5, summary);
  write_event(step, fields);
}

void EventWriter::add_image(std::int64_t step, std::string_view tag, std::string_view png) {
  std::string value;
  put_bytes(value, 1, tag);
  put_bytes(value, 4, image_message(png));
  std::string summary;
  put_bytes(summary, 1, value);
  std::string fields;
  put_bytes(fields, 5, summary);
  write_event(step, fields);
}

}  // namespace rankine
