#include "io/formats/tensor_source.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "engine/core/block_formats.h"
#include "engine/core/error.h"
#include "io/config/suggest.h"

namespace rankine {
namespace {

// IEEE-like 8-bit float with 5 exponent bits: the high half of a binary16.
float from_f8_e5m2(std::uint8_t bits) { return to_float(Half{static_cast<std::uint16_t>(bits << 8)}); }

// 4 exponent bits (bias 7), 3 mantissa bits, no infinity; all ones is NaN.
float from_f8_e4m3(std::uint8_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x80U) << 24;
  const std::uint32_t exponent = (bits >> 3) & 15U, mantissa = bits & 7U;
  if (exponent == 15 && mantissa == 7) return std::bit_cast<float>(sign | 0x7FC00000U);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 120) << 23 | mantissa << 20);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-9F;
  return sign != 0 ? -magnitude : magnitude;
}

// The bytes may be unaligned, so elements are copied out one by one.
template <class T, class Decode>
void decode(std::span<const std::byte> bytes, std::span<float> out, Decode value) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    T x;
    std::memcpy(&x, bytes.data() + i * sizeof(T), sizeof(T));
    out[i] = value(x);
  }
}

template <class T>
void decode_number(std::span<const std::byte> bytes, std::span<float> out) {
  decode<T>(bytes, out, [](T x) { return static_cast<float>(x); });
}

struct DTypeFacts {
  std::string_view name;
  std::size_t size;
  int alignment_rank;  // place in the reference writer's table
};

// In the order of the enumeration.
constexpr std::array<DTypeFacts, 32> kFacts = {
    {{"F64", 8, 19},    {"F32", 4, 17},      {"F16", 2, 13},      {"BF16", 2, 14},     {"F8_E4M3", 1, 7},
     {"F8_E5M2", 1, 6}, {"I64", 8, 20},      {"I32", 4, 15},      {"I16", 2, 11},      {"I8", 1, 5},
     {"U64", 8, 21},    {"U32", 4, 16},      {"U16", 2, 12},      {"U8", 1, 4},        {"BOOL", 1, 0},
     {"Q4_0", 0, -1},   {"Q4_1", 0, -1},     {"Q5_0", 0, -1},     {"Q5_1", 0, -1},     {"Q8_0", 0, -1},
     {"Q2_K", 0, -1},   {"Q3_K", 0, -1},     {"Q4_K", 0, -1},     {"Q5_K", 0, -1},     {"Q6_K", 0, -1},
     {"IQ4_NL", 0, -1}, {"Q4_0_F32", 0, -1}, {"Q4_1_F32", 0, -1}, {"Q8_0_F32", 0, -1}, {"NF4", 0, -1},
     {"NF4_DQ", 0, -1}, {"other", 0, -1}}};

bool is_block(FileDType t) { return t >= FileDType::q4_0 && t <= FileDType::nf4_dq; }

const DTypeFacts& facts(FileDType t) { return kFacts[static_cast<std::size_t>(t)]; }

}  // namespace

std::string_view name_of(FileDType t) { return facts(t).name; }
std::size_t size_of(FileDType t) { return facts(t).size; }
int alignment_rank(FileDType t) { return facts(t).alignment_rank; }

std::uint64_t bytes_of(FileDType t, std::uint64_t numel) {
  if (!is_block(t)) return numel * size_of(t);
  const BlockShape block = block_of(*memory_dtype(t));
  return numel / static_cast<std::uint64_t>(block.elements) * block.bytes;
}

std::optional<DType> memory_dtype(FileDType t) {
  if (is_block(t)) {
    const int distance = static_cast<int>(t) - static_cast<int>(FileDType::q4_0);
    return static_cast<DType>(static_cast<int>(DType::q4_0) + distance);
  }
  if (t == FileDType::f32) return DType::f32;
  if (t == FileDType::f16) return DType::f16;
  if (t == FileDType::bf16) return DType::bf16;
  return std::nullopt;
}

FileDType file_dtype(DType t) {
  if (is_block(t)) {
    const int distance = static_cast<int>(t) - static_cast<int>(DType::q4_0);
    return static_cast<FileDType>(static_cast<int>(FileDType::q4_0) + distance);
  }
  return t == DType::f16    ? FileDType::f16
         : t == DType::bf16 ? FileDType::bf16
         : t == DType::i32  ? FileDType::i32
                            : FileDType::f32;
}

FileDType file_dtype_named(std::string_view name) {
  for (std::size_t i = 0; i <= static_cast<std::size_t>(FileDType::boolean); ++i)
    if (kFacts[i].name == name) return static_cast<FileDType>(i);
  return FileDType::other;
}

std::int64_t TensorInfo::numel() const {
  // An empty tensor may have other extents of any size: their product is not asked for.
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::int64_t n = 1;
  for (const std::int64_t extent : shape) n *= extent;
  return n;
}

const TensorInfo* TensorSource::find(std::string_view name) const {
  const auto at = tensors().find(name);
  return at == tensors().end() ? nullptr : &at->second;
}

const TensorInfo& TensorSource::at(std::string_view name) const {
  if (const TensorInfo* info = find(name)) return *info;
  std::vector<std::string> names;
  names.reserve(tensors().size());
  for (const auto& entry : tensors()) names.push_back(entry.first);
  const auto near = config::nearest(name, names);
  throw DataError(join(describe(), ": no tensor '", name, "' among ", names.size(),
                       near ? "; the nearest name is '" + *near + "'" : std::string()));
}

std::vector<float> read_as_float(const TensorSource& source, std::string_view name) {
  TensorInfo info = source.at(name);
  const TensorBytes loaded = source.load(name);
  info.bytes = loaded.bytes;
  std::vector<float> out(static_cast<std::size_t>(info.numel()));
  read_as_float(info, out);
  return out;
}

void read_as_float(const TensorInfo& info, std::span<float> out) {
  require<DataError>(info.dtype != FileDType::other, "tensor of a type that cannot be decoded to float");
  require<DataError>(static_cast<std::size_t>(info.numel()) == out.size() &&
                         info.bytes.size() == bytes_of(info.dtype, out.size()),
                     "tensor of ", info.numel(), " ", name_of(info.dtype), " values in ", info.bytes.size(),
                     " bytes does not fill ", out.size(), " floats");
  if (out.empty()) return;
  const auto bytes = info.bytes;
  switch (info.dtype) {
    case FileDType::f64:
      return decode_number<double>(bytes, out);
    case FileDType::f32:
      std::memcpy(out.data(), bytes.data(), bytes.size());
      return;
    case FileDType::f16:
      return decode<Half>(bytes, out, [](Half x) { return to_float(x); });
    case FileDType::bf16:
      return decode<BFloat16>(bytes, out, [](BFloat16 x) { return to_float(x); });
    case FileDType::f8_e4m3:
      return decode<std::uint8_t>(bytes, out, from_f8_e4m3);
    case FileDType::f8_e5m2:
      return decode<std::uint8_t>(bytes, out, from_f8_e5m2);
    case FileDType::i64:
      return decode_number<std::int64_t>(bytes, out);
    case FileDType::i32:
      return decode_number<std::int32_t>(bytes, out);
    case FileDType::i16:
      return decode_number<std::int16_t>(bytes, out);
    case FileDType::i8:
      return decode_number<std::int8_t>(bytes, out);
    case FileDType::u64:
      return decode_number<std::uint64_t>(bytes, out);
    case FileDType::u32:
      return decode_number<std::uint32_t>(bytes, out);
    case FileDType::u16:
      return decode_number<std::uint16_t>(bytes, out);
    case FileDType::u8:
      return decode_number<std::uint8_t>(bytes, out);
    case FileDType::boolean:
      return decode<std::uint8_t>(bytes, out, [](std::uint8_t x) { return x != 0 ? 1.0F : 0.0F; });
    case FileDType::other:
      return;
    default:
      return decode_blocks(*memory_dtype(info.dtype), info.bytes.data(), out);
  }
}

}  // namespace rankine
