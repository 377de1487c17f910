#include <bit>
#include <limits>

#include "io/formats/ggml_reader.h"
#include "io/formats/ggml_types.h"
#include "io/formats/gguf.h"

namespace rankine {
namespace {

constexpr std::size_t kMaxTensorName = 63;  // ggml keeps names in 64 bytes
constexpr std::uint32_t kMaxRank = 4;
constexpr std::uint32_t kDefaultAlignment = 32;

std::string read_text(GgmlReader& in, std::string_view what) {
  const auto length = in.number<std::uint64_t>(what);
  return in.text(length, what);
}

template <class T>
T read_scalar(GgmlReader& in) {
  if constexpr (std::is_same_v<T, std::string>)
    return read_text(in, "a text");
  else if constexpr (std::is_same_v<T, bool>)
    return in.number<std::uint8_t>("a bool") != 0;
  else
    return in.number<T>("a value");
}

template <class T>
std::vector<T> read_array(GgmlReader& in, std::uint64_t n) {
  constexpr std::size_t kLeast = std::is_same_v<T, std::string> ? 8 : std::is_same_v<T, bool> ? 1 : sizeof(T);
  std::vector<T> all;
  all.reserve(in.count(n, kLeast, "array elements"));
  for (std::uint64_t i = 0; i < n; ++i) all.push_back(read_scalar<T>(in));
  return all;
}

// Calls read.template operator()<T>() with the T of a value type.
template <class F>
GgufValue visit_type(const GgmlReader& in, std::uint32_t type, const std::string& key, const F& read) {
  switch (type) {
    case 0:
      return read.template operator()<std::uint8_t>();
    case 1:
      return read.template operator()<std::int8_t>();
    case 2:
      return read.template operator()<std::uint16_t>();
    case 3:
      return read.template operator()<std::int16_t>();
    case 4:
      return read.template operator()<std::uint32_t>();
    case 5:
      return read.template operator()<std::int32_t>();
    case 6:
      return read.template operator()<float>();
    case 7:
      return read.template operator()<bool>();
    case 8:
      return read.template operator()<std::string>();
    case 10:
      return read.template operator()<std::uint64_t>();
    case 11:
      return read.template operator()<std::int64_t>();
    case 12:
      return read.template operator()<double>();
    case kGgufArray:
      in.fail("key ", printable(key), ": arrays of arrays are not supported");
    default:
      in.fail("key ", printable(key), ": value type ", type, " is unknown; 0 to 12 are known");
  }
}

GgufValue read_value(GgmlReader& in, const std::string& key) {
  const auto type = in.number<std::uint32_t>("the type of a value");
  if (type != kGgufArray)
    return visit_type(in, type, key, [&]<class T>() { return GgufValue(read_scalar<T>(in)); });
  const auto element = in.number<std::uint32_t>("the element type of an array");
  const auto n = in.number<std::uint64_t>("the length of an array");
  return visit_type(in, element, key, [&]<class T>() { return GgufValue(read_array<T>(in, n)); });
}

void check_version(const GgmlReader& in, std::uint32_t version) {
  in.check(version == 0 || (version & 0xFFFFU) != 0,
           "the version has its bytes swapped: this is a big-endian file, which is not supported; convert it "
           "with gguf-py's gguf_convert_endian");
  in.check(version != 1, "GGUF version 1, written for a week of August 2023, is not supported; 2 and 3 are");
  in.check(version == 2 || version == 3, "GGUF version ", version, " is unknown; 2 and 3 are known");
}

std::uint32_t alignment_of(const GgmlReader& in, const GgufTable& values) {
  const auto found = values.find("general.alignment");
  if (found == values.end()) return kDefaultAlignment;
  const auto* alignment = std::get_if<std::uint32_t>(&found->second);
  in.check(alignment != nullptr, "general.alignment must be a u32, not ", gguf_type_name(found->second));
  in.check(std::has_single_bit(*alignment), "general.alignment ", *alignment, " is not a power of two");
  return *alignment;
}

struct Entry {
  std::string name;
  TensorInfo info;
  const GgmlType* type;
  std::uint64_t bytes, offset;
};

Entry read_entry(GgmlReader& in) {
  Entry entry;
  entry.name = read_text(in, "a tensor name");
  const std::string shown = printable(entry.name);
  in.check(!entry.name.empty() && entry.name.size() <= kMaxTensorName, "tensor ", shown, ": a name of ",
           entry.name.size(), " bytes; 1 to ", kMaxTensorName, " are allowed");
  const auto rank = in.number<std::uint32_t>("a number of dimensions");
  in.check(rank <= kMaxRank, "tensor ", shown, ": ", rank, " dimensions; at most ", kMaxRank);
  entry.info.shape.resize(rank);
  std::uint64_t row = 1, numel = 1;
  for (std::uint32_t i = 0; i < rank; ++i) {
    const auto extent = in.number<std::uint64_t>("an extent");
    in.check(extent <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) &&
                 !__builtin_mul_overflow(numel, extent, &numel) && numel <= (std::uint64_t{1} << 60),
             "tensor ", shown, ": the extents overflow");
    if (i == 0) row = extent;
    entry.info.shape[rank - 1 - i] = static_cast<std::int64_t>(extent);
  }
  const auto type = in.number<std::uint32_t>("a tensor type");
  entry.type = ggml_type(type);
  in.check(entry.type != nullptr, "tensor ", shown, ": type ", type, " is unknown or was removed from ggml");
  const auto bytes = ggml_bytes(*entry.type, row, row == 0 ? 0 : numel / row);
  in.check(bytes.has_value(), "tensor ", shown, ": rows of ", row, " numbers are not whole ",
           entry.type->name, " blocks of ", entry.type->elements);
  entry.bytes = *bytes;
  entry.info.dtype = entry.type->dtype;
  entry.offset = in.number<std::uint64_t>("a tensor offset");
  return entry;
}

// Checks that the tensor begins where the ones before it end, and gives it its bytes.
void place(const GgmlReader& in, Entry& entry, std::span<const std::byte> data, std::uint64_t& end,
           std::uint32_t alignment) {
  const std::string shown = printable(entry.name);
  in.check(entry.offset == end, "tensor ", shown, ": offset ", entry.offset,
           ", but the tensors before it end at ", end);
  in.check(entry.offset <= data.size() && entry.bytes <= data.size() - entry.offset, "tensor ", shown, ": ",
           entry.bytes, " bytes from offset ", entry.offset, " do not fit the data of ", data.size(),
           " bytes; the file may be cut short");
  entry.info.bytes = data.subspan(entry.offset, entry.bytes);
  end = (entry.offset + entry.bytes + alignment - 1) / alignment * alignment;
}

}  // namespace

bool is_gguf(std::span<const std::byte> head) {
  return head.size() >= 4 && GgmlReader(head, "").text(4, "") == "GGUF";
}

GgufHeader parse_gguf(std::span<const std::byte> file, const std::string& name) {
  GgmlReader in(file, name);
  in.check(file.size() >= 4 && in.text(4, "the magic") == "GGUF", "this is not a GGUF file");
  check_version(in, in.number<std::uint32_t>("the version"));
  const auto tensors = in.number<std::uint64_t>("the number of tensors");
  const auto keys = in.number<std::uint64_t>("the number of keys");
  constexpr std::size_t kLeastTensor = 8 + 4 + 4 + 8, kLeastKey = 8 + 4 + 1;
  in.count(tensors, kLeastTensor, "tensors");
  in.count(keys, kLeastKey, "keys");
  GgufHeader header;
  for (std::uint64_t i = 0; i < keys; ++i) {
    std::string key = read_text(in, "a key");
    in.check(!key.empty(), "an empty key");
    GgufValue value = read_value(in, key);
    in.check(header.values.find(key) == header.values.end(), "key ", printable(key), " appears twice");
    header.values.emplace(std::move(key), std::move(value));
  }
  const std::uint32_t alignment = alignment_of(in, header.values);
  std::vector<Entry> entries;
  entries.reserve(in.count(tensors, kLeastTensor, "tensors"));
  for (std::uint64_t i = 0; i < tensors; ++i) entries.push_back(read_entry(in));
  in.align(alignment);
  header.data_begin = in.position();
  std::uint64_t end = 0;
  for (Entry& entry : entries) {
    place(in, entry, file.subspan(header.data_begin), end, alignment);
    if (entry.info.dtype == FileDType::other) header.unloadable.emplace(entry.name, entry.type->name);
    const bool fresh = header.tensors.emplace(entry.name, std::move(entry.info)).second;
    in.check(fresh, "tensor ", printable(entry.name), " appears twice");
  }
  return header;
}

}  // namespace rankine
