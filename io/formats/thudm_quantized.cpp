#include <cstring>

#include "engine/core/error.h"
#include "io/formats/bnb_matrix.h"

namespace rankine {
namespace {

// Signed numbers of 8 or 4 bits with one scale a row (THUDM/chatglm-6b quantization.py).
class ThudmMatrix final : public QuantizedMatrix {
 public:
  ThudmMatrix(const TensorSource& source, std::string name, int bits)
      : QuantizedMatrix({}), name_(std::move(name)), four_bits_(bits == 4) {
    require<DataError>(bits == 4 || bits == 8, source.describe(), ": tensor '", name_,
                       "' is quantised; quantization_bit of the model's config.json must say 4 or 8, not ",
                       bits);
    const TensorInfo &codes = source.at(name_), &scale = source.at(name_ + "_scale");
    require<DataError>(codes.shape.size() == 2 && scale.shape.size() == 1 && scale.shape[0] == codes.shape[0],
                       source.describe(), ": tensor '", name_, "_scale': one scale for each row of '", name_,
                       "' is expected");
    info.dtype = FileDType::f32;
    info.shape = {codes.shape[0], codes.shape[1] * (four_bits_ ? 2 : 1)};
  }

  std::vector<std::byte> make(const TensorSource& source) const override {
    const TensorBytes codes = source.load(name_);
    const std::vector<float> scale = read_as_float(source, name_ + "_scale");
    const auto columns = static_cast<std::size_t>(info.shape[1]);
    std::vector<std::byte> out(4 * static_cast<std::size_t>(info.numel()));
    for (std::size_t i = 0; i < out.size() / 4; ++i) {
      const float x = static_cast<float>(code(codes.bytes, i)) * scale[i / columns];
      std::memcpy(&out[4 * i], &x, 4);
    }
    return out;
  }

 private:
  int code(std::span<const std::byte> codes, std::size_t i) const {
    if (!four_bits_) return std::to_integer<std::int8_t>(codes[i]);
    const auto byte = std::to_integer<std::uint8_t>(codes[i / 2]);
    const int four = i % 2 == 0 ? byte >> 4 : byte & 15;
    return four < 8 ? four : four - 16;
  }

  std::string name_;
  bool four_bits_;
};

}  // namespace

std::unique_ptr<const QuantizedMatrix> thudm_matrix(const TensorSource& source, const std::string& name,
                                                    int bits) {
  return std::make_unique<ThudmMatrix>(source, name, bits);
}

}  // namespace rankine
