#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "engine/core/error.h"
#include "engine/core/half.h"
#include "io/files/atomic_write.h"
#include "io/files/sha256.h"
#include "io/formats/safetensors.h"

namespace rankine {
namespace {

using Parts = std::vector<std::span<const std::byte>>;

static_assert(std::endian::native == std::endian::little, "the format is little-endian");

std::string quoted(const std::string& text) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    throw DataError("safetensors: a name or a metadata text is not valid UTF-8");
  }
}

std::string list_of(const std::vector<std::int64_t>& numbers) {
  std::string text = "[";
  for (const std::int64_t n : numbers) text += join(text.size() > 1 ? "," : "", n);
  return text + "]";
}

void check_size(const TensorToWrite& t) {
  std::uint64_t bytes = size_of(t.dtype);
  require<DataError>(bytes != 0, "safetensors: tensor \"", t.name, "\": this element type is not written");
  bool fits = true;
  for (const std::int64_t extent : t.shape)
    fits = fits && extent >= 0 && !__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(extent), &bytes);
  require<DataError>(fits && bytes == t.bytes.size(), "safetensors: tensor \"", t.name,
                     "\": ", name_of(t.dtype), " of shape ", list_of(t.shape), " does not take ",
                     t.bytes.size(), " bytes");
}

template <class T, class Encode>
void encode(std::span<const float> values, std::vector<std::byte>& bytes, Encode element) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T x = element(values[i]);
    std::memcpy(bytes.data() + i * sizeof(T), &x, sizeof(T));
  }
}

// The file as parts: length, header, tensors. `length` and `header` must outlive the result.
Parts parts_of(const std::uint64_t& length, const std::string& header,
               const std::vector<TensorToWrite>& sorted) {
  Parts parts{std::as_bytes(std::span(&length, 1)), std::as_bytes(std::span(header))};
  for (const TensorToWrite& t : sorted) parts.emplace_back(t.bytes);
  return parts;
}

}  // namespace

TensorToWrite tensor_to_write(std::string name, std::vector<std::int64_t> shape,
                              std::span<const float> values, FileDType dtype) {
  TensorToWrite t{std::move(name), dtype, std::move(shape), {}};
  t.bytes.resize(values.size() * size_of(dtype));
  switch (dtype) {
    case FileDType::f32:
      encode<float>(values, t.bytes, [](float x) { return x; });
      break;
    case FileDType::f16:
      encode<Half>(values, t.bytes, to_half);
      break;
    case FileDType::bf16:
      encode<BFloat16>(values, t.bytes, to_bfloat16);
      break;
    default:
      throw Error(join("safetensors: numbers are written as F32, F16 or BF16, not ", name_of(dtype)));
  }
  return t;
}

void sort_for_writing(std::vector<TensorToWrite>& tensors) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorToWrite& a, const TensorToWrite& b) {
    const int rank_a = alignment_rank(a.dtype), rank_b = alignment_rank(b.dtype);
    return rank_a != rank_b ? rank_a > rank_b : a.name < b.name;
  });
}

std::string serialise_header(const std::vector<TensorToWrite>& sorted, const MetadataTable& metadata) {
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (const auto& [key, value] : metadata) text += quoted(key) + ":" + quoted(value) + ",";
    text.back() = '}';
    text += ",";
  }
  std::vector<std::string_view> names{"__metadata__"};
  std::size_t at = 0;
  for (const TensorToWrite& t : sorted) {
    check_size(t);
    names.push_back(t.name);
    text += join(quoted(t.name), ":{\"dtype\":\"", name_of(t.dtype), "\",\"shape\":", list_of(t.shape),
                 ",\"data_offsets\":[", at, ",", at + t.bytes.size(), "]},");
    at += t.bytes.size();
  }
  if (text.size() > 1) text.pop_back();
  text += "}";
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  require<DataError>(twice == names.end(), "safetensors: two tensors would be named \"",
                     twice == names.end() ? "" : *twice, "\"");
  text.resize((text.size() + 7) / 8 * 8, ' ');
  require<DataError>(text.size() <= 100'000'000, "safetensors: a header of ", text.size(),
                     " bytes is too long");
  return text;
}

std::string payload_sha256(const std::vector<TensorToWrite>& sorted) {
  Sha256 hash;
  for (const TensorToWrite& t : sorted) hash.update(t.bytes);
  return hash.hex();
}

std::string legacy_hash(const std::vector<TensorToWrite>& sorted, const MetadataTable& metadata) {
  MetadataTable kept;
  for (const auto& [key, value] : metadata)
    if (key.starts_with("ss_")) kept.emplace(key, value);
  const std::string header = serialise_header(sorted, kept);
  const std::uint64_t length = header.size();
  constexpr std::size_t kBegin = 0x100000, kEnd = kBegin + 0x10000;
  Sha256 hash;
  std::size_t at = 0;
  for (const auto& part : parts_of(length, header, sorted)) {
    const std::size_t from = std::clamp(kBegin, at, at + part.size()) - at;
    const std::size_t to = std::clamp(kEnd, at, at + part.size()) - at;
    hash.update(part.subspan(from, to - from));
    at += part.size();
  }
  return hash.hex().substr(0, 8);
}

void write_safetensors(const std::filesystem::path& path, std::vector<TensorToWrite> tensors,
                       const MetadataTable& metadata) {
  sort_for_writing(tensors);
  const std::string header = serialise_header(tensors, metadata);
  const std::uint64_t length = header.size();
  write_file_atomically(path, parts_of(length, header, tensors));
}

}  // namespace rankine
