#include "io/text/protobuf.h"

#include <bit>
#include <limits>

#include "engine/core/error.h"

namespace rankine {
namespace {

void check_wire(const ProtoField& field, ProtoField::Wire wanted, const std::string& file) {
  require<DataError>(field.wire == wanted, file, ": offset ", field.offset, ": field ", field.number,
                     " has wire type ", int{field.wire}, " where ", int{wanted}, " is expected");
}

void append_varint(std::string& out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

std::uint64_t little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
  return value;
}

}  // namespace

std::uint64_t ProtoReader::read_varint() {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<std::uint8_t>(take(1)[0]);
    value |= std::uint64_t{byte & 0x7FU} << shift;
    if (byte < 0x80) return value;
  }
  throw DataError(join(file_, ": offset ", offset_ + at_, ": a number of more than ten bytes"));
}

std::string_view ProtoReader::take(std::uint64_t length) {
  require<DataError>(length <= message_.size() - at_, file_, ": offset ", offset_ + at_, ": a field needs ",
                     length, " bytes, ", message_.size() - at_, " are left");
  const std::string_view bytes = message_.substr(at_, static_cast<std::size_t>(length));
  at_ += bytes.size();
  return bytes;
}

bool ProtoReader::next(ProtoField& field) {
  if (at_ == message_.size()) return false;
  field = {};
  field.offset = offset_ + at_;
  const std::uint64_t tag = read_varint();
  require<DataError>(tag >> 3 != 0 && tag >> 3 < 1U << 29, file_, ": offset ", field.offset,
                     ": there is no field ", tag >> 3);
  field.number = static_cast<std::uint32_t>(tag >> 3);
  field.wire = static_cast<ProtoField::Wire>(tag & 7);
  switch (field.wire) {
    case ProtoField::varint:
      field.value = read_varint();
      return true;
    case ProtoField::fixed64:
      field.value = little_endian(take(8));
      return true;
    case ProtoField::bytes:
      field.content = take(read_varint());
      return true;
    case ProtoField::fixed32:
      field.value = little_endian(take(4));
      return true;
  }
  throw DataError(
      join(file_, ": offset ", field.offset, ": wire type ", tag & 7, "; allowed are 0, 1, 2 and 5"));
}

float proto_float(const ProtoField& field, const std::string& file) {
  check_wire(field, ProtoField::fixed32, file);
  return std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
}

bool proto_bool(const ProtoField& field, const std::string& file) {
  check_wire(field, ProtoField::varint, file);
  return field.value != 0;
}

std::int32_t proto_int32(const ProtoField& field, const std::string& file) {
  check_wire(field, ProtoField::varint, file);
  const auto value = static_cast<std::int64_t>(field.value);
  require<DataError>(
      value >= std::numeric_limits<std::int32_t>::min() && value <= std::numeric_limits<std::int32_t>::max(),
      file, ": offset ", field.offset, ": field ", field.number, " is ", value, ", more than 32 bits");
  return static_cast<std::int32_t>(value);
}

std::string_view proto_bytes(const ProtoField& field, const std::string& file) {
  check_wire(field, ProtoField::bytes, file);
  return field.content;
}

void write_proto_varint(std::string& out, std::uint32_t number, std::int64_t value) {
  append_varint(out, number << 3 | ProtoField::varint);
  append_varint(out, static_cast<std::uint64_t>(value));
}

void write_proto_float(std::string& out, std::uint32_t number, float value) {
  append_varint(out, number << 3 | ProtoField::fixed32);
  auto bits = std::bit_cast<std::uint32_t>(value);
  for (int i = 0; i < 4; ++i, bits >>= 8) out += static_cast<char>(bits & 0xFF);
}

void write_proto_bytes(std::string& out, std::uint32_t number, std::string_view content) {
  append_varint(out, number << 3 | ProtoField::bytes);
  append_varint(out, content.size());
  out += content;
}

}  // namespace rankine
