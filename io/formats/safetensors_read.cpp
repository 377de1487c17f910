#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "engine/core/error.h"
#include "io/formats/likely_kind.h"
#include "io/formats/safetensors.h"
#include "io/formats/safetensors_header.h"

namespace rankine {
namespace {

using safetensors_detail::Entry;

constexpr std::uint64_t kMaxHeader = 100'000'000;

// Bits of an element, also of the types that the engine cannot decode; 0 for an unknown name.
std::uint64_t bits_of(std::string_view dtype) {
  const FileDType known = file_dtype_named(dtype);
  if (known != FileDType::other) return 8 * size_of(known);
  if (dtype == "F4") return 4;
  if (dtype == "F6_E2M3" || dtype == "F6_E3M2") return 6;
  if (dtype == "F8_E8M0" || dtype == "F8_E4M3FNUZ" || dtype == "F8_E5M2FNUZ") return 8;
  return dtype == "C64" ? 64 : 0;
}

// Product of bits and extents, in the order given; nothing on overflow.
std::optional<std::uint64_t> bit_count(const std::vector<std::uint64_t>& shape, std::uint64_t bits) {
  std::uint64_t elements = 1, total = 0;
  for (const std::uint64_t extent : shape) {
    if (extent > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return std::nullopt;
    if (__builtin_mul_overflow(elements, extent, &elements)) return std::nullopt;
  }
  if (__builtin_mul_overflow(elements, bits, &total)) return std::nullopt;
  return total;
}

std::string shown(const std::vector<std::uint64_t>& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < std::min<std::size_t>(shape.size(), 8); ++i)
    text += join(i > 0 ? "," : "", shape[i]);
  return text + (shape.size() > 8 ? ",...]" : "]");
}

TensorInfo checked_info(const Entry& entry, std::span<const std::byte> data, const std::string& where) {
  const std::uint64_t bits = bits_of(entry.dtype);
  require<DataError>(bits != 0, where, ": unknown dtype \"", entry.dtype.substr(0, 40), "\"");
  require<DataError>(entry.begin <= entry.end && entry.end <= data.size(), where, ": data_offsets [",
                     entry.begin, ",", entry.end, "] do not lie in the data of ", data.size(), " bytes",
                     entry.end > data.size() ? "; the file may be cut short" : "");
  const auto total = bit_count(entry.shape, bits);
  require<DataError>(total.has_value(), where, ": shape ", shown(entry.shape), " overflows");
  require<DataError>(*total % 8 == 0, where, ": ", *total, " bits are not a whole number of bytes");
  require<DataError>(*total / 8 == entry.end - entry.begin, where, ": ", entry.dtype, " of shape ",
                     shown(entry.shape), " needs ", *total / 8, " bytes, data_offsets give ",
                     entry.end - entry.begin);
  TensorInfo info;
  info.dtype = file_dtype_named(entry.dtype);
  info.shape.assign(entry.shape.begin(), entry.shape.end());
  info.bytes = data.subspan(entry.begin, entry.end - entry.begin);
  return info;
}

// Every byte of the data belongs to exactly one tensor.
void check_coverage(const std::map<std::string, Entry, std::less<>>& entries, std::size_t data_begin,
                    std::size_t data_size, const std::string& file) {
  std::vector<const std::pair<const std::string, Entry>*> sorted;
  sorted.reserve(entries.size());
  for (const auto& entry : entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) {
    return std::pair(a->second.begin, a->second.end) < std::pair(b->second.begin, b->second.end);
  });
  std::uint64_t cursor = 0;
  for (const auto* entry : sorted) {
    require<DataError>(entry->second.begin == cursor, file, ": byte ", data_begin + cursor, ": ",
                       entry->second.begin > cursor ? "a hole before" : "an overlap with", " tensor \"",
                       entry->first.substr(0, 120), "\"");
    cursor = entry->second.end;
  }
  require<DataError>(cursor == data_size, file, ": byte ", data_begin + cursor, ": ", data_size - cursor,
                     " bytes that belong to no tensor");
}

}  // namespace

SafetensorsHeader parse_safetensors(std::span<const std::byte> file, const std::string& name) {
  require<DataError>(file.size() >= 8, name, ": byte 0: ", file.size(),
                     " bytes are too few for a safetensors file");
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | std::to_integer<std::uint64_t>(file[i]);
  require<DataError>(length <= kMaxHeader, name, ": byte 0: header length ", length,
                     " is above the limit of ", kMaxHeader, likely_kind(file));
  require<DataError>(length <= file.size() - 8, name, ": byte 0: header length ", length,
                     " does not fit the file of ", file.size(), " bytes", likely_kind(file));
  auto table =
      safetensors_detail::read_header({reinterpret_cast<const char*>(file.data()) + 8, length}, name);

  SafetensorsHeader header;
  header.data_begin = 8 + length;
  header.metadata = std::move(table.metadata);
  const auto data = file.subspan(header.data_begin);
  for (const auto& [tensor, entry] : table.entries) {
    const std::string where = name + ": tensor \"" + tensor.substr(0, 120) + "\"";
    header.tensors.emplace_hint(header.tensors.end(), tensor, checked_info(entry, data, where));
  }
  check_coverage(table.entries, header.data_begin, data.size(), name);
  return header;
}

SafetensorsFile::SafetensorsFile(const std::filesystem::path& path)
    : file_(path), header_(parse_safetensors(file_.bytes(), path.string())) {}

}  // namespace rankine
