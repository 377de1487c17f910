// The little of the protocol buffers wire format that SentencePiece's model files use.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace rankine {

// One field of a message: its number, and its value by wire type.
struct ProtoField {
  enum Wire : std::uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };
  std::uint32_t number = 0;
  Wire wire = varint;
  std::uint64_t value = 0;   // of the numeric wire types
  std::string_view content;  // of bytes: strings and messages
  std::size_t offset = 0;    // of the field in the file
};

// Reads the fields of one message in turn. Throws DataError "file: offset N: ..." for what is not a message:
// cut varints, lengths beyond the end, groups, field number 0.
class ProtoReader {
 public:
  // `offset` is where `message` stands in the file.
  ProtoReader(std::string_view message, std::size_t offset, const std::string& file)
      : message_(message), offset_(offset), file_(file) {}
  bool next(ProtoField& field);

 private:
  std::uint64_t read_varint();
  std::string_view take(std::uint64_t length);

  std::string_view message_;
  std::size_t offset_, at_ = 0;
  const std::string& file_;
};

// As numbers of a field; throw DataError when the field has another wire type or does not fit.
float proto_float(const ProtoField& field, const std::string& file);
bool proto_bool(const ProtoField& field, const std::string& file);
std::int32_t proto_int32(const ProtoField& field, const std::string& file);
std::string_view proto_bytes(const ProtoField& field, const std::string& file);

// The same in the other direction: appends a field.
void write_proto_varint(std::string& out, std::uint32_t number, std::int64_t value);
void write_proto_float(std::string& out, std::uint32_t number, float value);
void write_proto_bytes(std::string& out, std::uint32_t number, std::string_view content);

}  // namespace rankine
