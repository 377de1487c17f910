#include "models/tasks/picture_loader.h"

#include <algorithm>

#include "io/image/decode.h"
#include "io/image/pixels.h"

namespace rankine {
namespace {

Tensor empty_picture(const Context& c, const CropPlan& crop) {
  return {c.memory(), {1, crop.h, crop.w, 3}, DType::f32, Account::data, "picture"};
}

void decode_into(std::span<float> out, const std::filesystem::path& image, const CropPlan& crop) {
  to_float_hwc(apply_crop(decode_image(image), crop), out);
}

}  // namespace

Tensor load_picture(const Context& c, const Sample& sample, const CropPlan& crop) {
  Tensor x = empty_picture(c, crop);
  if (!c.planning()) decode_into(x.span<float>(), sample.image, crop);
  return x;
}

void PictureLoader::ahead(const Context& c, const Sample& sample, const CropPlan& crop) {
  if (!stream_) stream_.emplace(c.device());
  Begun b{sample.image, crop, empty_picture(c, crop), {}};
  if (!c.planning()) {
    stream_->run([out = b.picture.span<float>(), image = b.image, crop] { decode_into(out, image, crop); });
    b.decoded = stream_->record();
  }
  begun_.push_back(std::move(b));
}

Tensor PictureLoader::get(const Context& c, const Sample& sample, const CropPlan& crop) {
  const auto it = std::find_if(begun_.begin(), begun_.end(),
                               [&](const Begun& b) { return b.image == sample.image && b.crop == crop; });
  if (it == begun_.end()) return load_picture(c, sample, crop);
  const Begun b = std::move(*it);
  begun_.erase(it);
  b.decoded.synchronize();
  return b.picture;
}

void PictureLoader::forget() {
  if (stream_) stream_->synchronize();
  begun_.clear();
}

}  // namespace rankine
