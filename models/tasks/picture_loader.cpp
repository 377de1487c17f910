#include "models/tasks/picture_loader.h"

#include <algorithm>

#include "engine/core/transfer.h"

#include "io/image/decode.h"
#include "io/image/pixels.h"

namespace rankine {
namespace {

Tensor empty_picture(const Context& c, const CropPlan& crop) {
  return {c.memory(), {1, crop.h, crop.w, 3}, c.activations(), Account::data, "picture"};
}

void decode_into(std::span<float> out, const std::filesystem::path& image, const CropPlan& crop) {
  to_float_hwc(apply_crop(decode_image(image), crop), out);
}

}  // namespace

std::vector<float> decode_picture(const Sample& sample, const CropPlan& crop) {
  std::vector<float> pixels(static_cast<std::size_t>(Shape{crop.h, crop.w, 3}.numel()));
  decode_into(pixels, sample.image, crop);
  return pixels;
}

Tensor load_picture(const Context& c, const Sample& sample, const CropPlan& crop) {
  Tensor x = empty_picture(c, crop);
  if (!c.planning()) set_floats(x, decode_picture(sample, crop));
  return x;
}

void PictureLoader::ahead(const Context& c, const Sample& sample, const CropPlan& crop) {
  if (!stream_) stream_.emplace(c.planning() ? c.device() : Device::cpu());
  Begun b{sample.image, crop, empty_picture(c, crop), nullptr, {}};
  if (!c.planning()) {
    std::span<float> out;
    if (c.device().is_cuda()) {
      b.pixels = std::make_shared<std::vector<float>>(static_cast<std::size_t>(b.picture.numel()));
      out = *b.pixels;
    } else {
      out = b.picture.span<float>();
    }
    stream_->run([out, image = b.image, crop] { decode_into(out, image, crop); });
    b.decoded = stream_->record();
  }
  begun_.push_back(std::move(b));
}

Tensor PictureLoader::get(const Context& c, const Sample& sample, const CropPlan& crop) {
  const auto it = std::find_if(begun_.begin(), begun_.end(),
                               [&](const Begun& b) { return b.image == sample.image && b.crop == crop; });
  if (it == begun_.end()) return load_picture(c, sample, crop);
  Begun b = std::move(*it);
  begun_.erase(it);
  b.decoded.synchronize();
  if (b.pixels) set_floats(b.picture, *b.pixels);
  return b.picture;
}

void PictureLoader::forget() {
  if (stream_) stream_->synchronize();
  begun_.clear();
}

}  // namespace rankine
