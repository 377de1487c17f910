#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>

#include "engine/core/block_formats.h"
#include "engine/core/error.h"
#include "engine/core/nf4.h"
#include "io/formats/bnb_matrix.h"

namespace rankine {
namespace {

using Json = nlohmann::json;
constexpr std::int64_t kBlock = 64, kNested = 256, kNestedNumbers = kBlock * kNested;

// What the JSON of a matrix says.
struct State {
  std::vector<std::int64_t> shape;
  float nested_offset = 0.0F;
};

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

State read_state(const TensorSource& source, const std::string& name) {
  constexpr std::size_t kMaxBytes = 4096;
  const std::string tensor = name + std::string(kNf4State);
  const auto fail = [&](const std::string& what) {
    throw DataError(join(source.describe(), ": tensor '", tensor, "': ", what));
  };
  const TensorBytes loaded = source.load(tensor);
  if (loaded.bytes.size() > kMaxBytes) fail("too long for a quantisation state");
  const auto* text = reinterpret_cast<const char*>(loaded.bytes.data());
  const Json json = Json::parse(text, text + loaded.bytes.size(), nullptr, false);
  if (!json.is_object()) fail("no JSON object");
  const auto number = [&](const char* key, std::int64_t otherwise) {
    const auto found = json.find(key);
    if (found == json.end()) return otherwise;
    if (!found->is_number_integer()) fail(join('"', key, "\" is no whole number"));
    return found->get<std::int64_t>();
  };
  if (number("blocksize", -1) != kBlock || number("nested_blocksize", kNested) != kNested)
    fail("block sizes other than 64 and 256 are not supported");
  State state;
  const auto shape = json.find("shape");
  if (shape == json.end() || !shape->is_array() || shape->empty() || shape->size() > 4) fail("no \"shape\"");
  std::int64_t numel = 1;
  for (const Json& extent : *shape) {
    const bool whole = extent.is_number_integer() && extent.get<std::int64_t>() > 0;
    if (!whole || __builtin_mul_overflow(numel, extent.get<std::int64_t>(), &numel) ||
        numel > std::int64_t{1} << 60)
      fail("\"shape\" is not one of a matrix");
    state.shape.push_back(extent.get<std::int64_t>());
  }
  if (json.contains("nested_offset")) {
    if (!json["nested_offset"].is_number()) fail("\"nested_offset\" is no number");
    state.nested_offset = json["nested_offset"].get<float>();
  }
  return state;
}

// Checks that a helper has this type and number of elements.
void check(const TensorSource& source, const std::string& name, FileDType dtype, std::int64_t numel) {
  const TensorInfo& info = source.at(name);
  require<DataError>(info.dtype == dtype && info.numel() == numel, source.describe(), ": tensor '", name,
                     "': ", info.numel(), " numbers of ", name_of(info.dtype), ", expected ", numel, " of ",
                     name_of(dtype));
}

template <std::size_t N>
bool equal_bits(const TensorSource& source, const std::string& name, const std::array<float, N>& want) {
  const TensorBytes loaded = source.load(name);
  return std::ranges::equal(loaded.bytes, std::as_bytes(std::span(want)));
}

class Nf4Matrix final : public QuantizedMatrix {
 public:
  Nf4Matrix(const TensorSource& source, std::string name)
      : QuantizedMatrix({}), name_(std::move(name)), offset_(0.0F) {
    const State state = read_state(source, name_);
    info.shape = state.shape;
    offset_ = state.nested_offset;
    const std::int64_t numel = info.numel(), blocks = ceil_div(numel, kBlock);
    check(source, name_, FileDType::u8, ceil_div(numel, 2));
    check(source, name_ + ".quant_map", FileDType::f32, 16);
    nested_ = source.contains(name_ + ".nested_absmax");
    check(source, name_ + ".absmax", nested_ ? FileDType::u8 : FileDType::f32, blocks);
    if (nested_) {
      check(source, name_ + ".nested_absmax", FileDType::f32, ceil_div(blocks, kNested));
      check(source, name_ + ".nested_quant_map", FileDType::f32, 256);
    }
    const bool standard = equal_bits(source, name_ + ".quant_map", kNf4Table);
    const bool standard_map = nested_ && equal_bits(source, name_ + ".nested_quant_map", kNf4ScaleMap);
    const std::int64_t row = info.shape.back();
    info.dtype = !standard || row % kBlock != 0   ? FileDType::f32
                 : standard_map && row % 256 == 0 ? FileDType::nf4_dq
                                                  : FileDType::nf4;
  }

  std::vector<std::byte> make(const TensorSource& source) const override {
    const TensorBytes codes = source.load(name_), scales = source.load(name_ + ".absmax");
    const std::int64_t numel = info.numel();
    std::vector<std::byte> out(bytes_of(info.dtype, static_cast<std::uint64_t>(numel)));
    if (info.dtype == FileDType::nf4_dq) {
      pack_nested(source, codes.bytes, scales.bytes, out);
      return out;
    }
    const std::vector<float> absmax = absmax_of(source, scales.bytes);
    if (info.dtype == FileDType::nf4) {
      for (std::size_t b = 0; b < absmax.size(); ++b) {
        std::memcpy(&out[36 * b], &codes.bytes[32 * b], 32);
        std::memcpy(&out[36 * b + 32], &absmax[b], 4);
      }
      return out;
    }
    const std::vector<float> table = read_as_float(source, name_ + ".quant_map");
    for (std::int64_t i = 0; i < numel; ++i) {
      const auto byte = std::to_integer<unsigned>(codes.bytes[static_cast<std::size_t>(i / 2)]);
      const float x =
          table[i % 2 == 0 ? byte >> 4 : byte & 15U] * absmax[static_cast<std::size_t>(i / kBlock)];
      std::memcpy(&out[4 * static_cast<std::size_t>(i)], &x, 4);
    }
    return out;
  }

 private:
  std::vector<float> absmax_of(const TensorSource& source, std::span<const std::byte> scales) const {
    if (!nested_) return read_as_float(source, name_ + ".absmax");
    const std::vector<float> map = read_as_float(source, name_ + ".nested_quant_map");
    const std::vector<float> nested = read_as_float(source, name_ + ".nested_absmax");
    std::vector<float> absmax(scales.size());
    for (std::size_t b = 0; b < absmax.size(); ++b) {
      const float scaled = map[std::to_integer<std::size_t>(scales[b])] * nested[b / kNested];
      absmax[b] = scaled + offset_;
    }
    return absmax;
  }

  void pack_nested(const TensorSource& source, std::span<const std::byte> codes,
                   std::span<const std::byte> scales, std::span<std::byte> out) const {
    const std::vector<float> nested = read_as_float(source, name_ + ".nested_absmax");
    constexpr std::size_t kSize = block_of(DType::nf4_dq).bytes;
    for (std::size_t b = 0; b < out.size() / kSize; ++b) {
      std::byte* block = &out[kSize * b];
      std::memcpy(block, &codes[128 * b], 128);
      std::memcpy(block + 128, &scales[4 * b], 4);
      std::memcpy(block + 132, &nested[256 * b / kNestedNumbers], 4);
      std::memcpy(block + 136, &offset_, 4);
    }
  }

  std::string name_;
  float offset_;
  bool nested_ = false;
};

}  // namespace

std::unique_ptr<const QuantizedMatrix> nf4_matrix(const TensorSource& source, const std::string& name) {
  return std::make_unique<Nf4Matrix>(source, name);
}

}  // namespace rankine
