#include "io/dataset/buckets.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>

#include "engine/core/error.h"
#include "io/image/decode.h"
#include "io/image/pixels.h"
#include "io/image/resize.h"

namespace rankine {

namespace {

double aspect(ImageSize size) { return static_cast<double>(size.width) / size.height; }

std::int64_t area(ImageSize size) { return static_cast<std::int64_t>(size.width) * size.height; }

int rounded(double value) { return static_cast<int>(std::lround(value)); }

int floor_to(int value, int step) { return value / step * step; }

bool by_width_then_height(const Bucket& a, const Bucket& b) {
  return a.width != b.width ? a.width < b.width : a.height < b.height;
}

void check_options(const BucketOptions& o) {
  require<std::invalid_argument>(o.step >= 8 && o.step % 8 == 0, "buckets: step ", o.step,
                                 "; expected a multiple of 8, as the VAE divides sides by 8");
  require<std::invalid_argument>(o.resolution.width >= o.step && o.resolution.height >= o.step &&
                                     o.resolution.width <= (1 << 15) && o.resolution.height <= (1 << 15),
                                 "buckets: resolution ", o.resolution.width, " x ", o.resolution.height,
                                 "; expected ", o.step, " to 32768");
  require<std::invalid_argument>(o.min_side >= 1 && o.max_side >= o.min_side && o.max_side <= (1 << 15),
                                 "buckets: min_side ", o.min_side, ", max_side ", o.max_side,
                                 "; expected 1 <= min_side <= max_side <= 32768");
}

// A side of at least one step can push very long pictures past the area: the longer side then gives way.
Bucket within_area(Bucket bucket, std::int64_t max_area, int step) {
  int& longer = bucket.width > bucket.height ? bucket.width : bucket.height;
  const int shorter = std::min(bucket.width, bucket.height);
  if (area(bucket) > max_area) longer = floor_to(static_cast<int>(max_area / shorter), step);
  return bucket;
}

// Scaled down to the area and rounded to the step on the side that keeps the aspect better.
ImageSize shrink_to_area(ImageSize image, std::int64_t max_area, int step) {
  const double ratio = aspect(image);
  const double width = std::sqrt(static_cast<double>(max_area) * ratio);
  const double height = static_cast<double>(max_area) / width;
  const int by_width = std::max(step, floor_to(rounded(width), step));
  const int by_height = std::max(step, floor_to(rounded(height), step));
  const int other_height = std::max(step, floor_to(rounded(by_width / ratio), step));
  const int other_width = std::max(step, floor_to(rounded(by_height * ratio), step));
  const ImageSize first{by_width, other_height}, second{other_width, by_height};
  return std::abs(aspect(first) - ratio) < std::abs(aspect(second) - ratio) ? first : second;
}

Bucket bucket_without_upscale(const BucketOptions& options, ImageSize image) {
  const std::int64_t max_area = area(options.resolution);
  const ImageSize own{std::max(options.step, floor_to(image.width, options.step)),
                      std::max(options.step, floor_to(image.height, options.step))};
  const ImageSize fitting = area(image) > max_area ? shrink_to_area(image, max_area, options.step) : own;
  return within_area(fitting, max_area, options.step);
}

}  // namespace

BucketOptions sdxl_buckets() {
  BucketOptions options;
  options.resolution = {1024, 1024};
  options.max_side = 2048;
  return options;
}

std::vector<Bucket> make_buckets(const BucketOptions& options) {
  check_options(options);
  if (!options.enabled) return {options.resolution};
  const std::int64_t max_area = area(options.resolution);
  std::vector<Bucket> buckets;
  for (int width = options.min_side; width <= options.max_side; width += options.step) {
    const auto fitting = static_cast<int>(std::min<std::int64_t>(options.max_side, max_area / width));
    const int height = floor_to(fitting, options.step);
    if (height < options.min_side || height < 1) continue;
    buckets.push_back({width, height});
    buckets.push_back({height, width});
  }
  const int side = floor_to(static_cast<int>(std::sqrt(static_cast<double>(max_area))), options.step);
  buckets.push_back({side, side});
  std::sort(buckets.begin(), buckets.end(), by_width_then_height);
  buckets.erase(std::unique(buckets.begin(), buckets.end()), buckets.end());
  return buckets;
}

Bucket choose_bucket(const BucketOptions& options, std::span<const Bucket> buckets, ImageSize image) {
  require<std::invalid_argument>(image.width > 0 && image.height > 0, "choose_bucket: picture of ",
                                 image.width, " x ", image.height);
  if (options.enabled && options.no_upscale) return bucket_without_upscale(options, image);
  require<std::invalid_argument>(!buckets.empty(), "choose_bucket: no buckets");
  if (const auto same = std::find(buckets.begin(), buckets.end(), image); same != buckets.end()) return *same;
  const double ratio = aspect(image);
  return *std::min_element(buckets.begin(), buckets.end(), [ratio](const Bucket& a, const Bucket& b) {
    return std::abs(aspect(a) - ratio) < std::abs(aspect(b) - ratio);
  });
}

CropPlan plan_crop(ImageSize image, Bucket bucket, const CropOptions& options, const CropUniforms& uniforms) {
  require<std::invalid_argument>(image.width > 0 && image.height > 0 && bucket.width > 0 && bucket.height > 0,
                                 "plan_crop: picture ", image.width, " x ", image.height, ", bucket ",
                                 bucket.width, " x ", bucket.height);
  const double scale = std::max(static_cast<double>(bucket.width) / image.width,
                                static_cast<double>(bucket.height) / image.height);
  CropPlan plan;
  plan.w = bucket.width;
  plan.h = bucket.height;
  plan.resize_w = std::max(bucket.width, static_cast<int>(std::lround(image.width * scale)));
  plan.resize_h = std::max(bucket.height, static_cast<int>(std::lround(image.height * scale)));
  require<DataError>(static_cast<std::int64_t>(plan.resize_w) * plan.resize_h <= kMaxImagePixels,
                     "a picture of ", image.width, " x ", image.height,
                     " pixels is too long and narrow to fill ", bucket.width, " x ", bucket.height,
                     "; cut it first");
  const int spare_x = plan.resize_w - plan.w, spare_y = plan.resize_h - plan.h;
  plan.crop_x =
      options.random_crop ? std::min(spare_x, static_cast<int>(uniforms.x * (spare_x + 1))) : spare_x / 2;
  plan.crop_y =
      options.random_crop ? std::min(spare_y, static_cast<int>(uniforms.y * (spare_y + 1))) : spare_y / 2;
  plan.flip = uniforms.flip < options.flip_probability;
  return plan;
}

Image apply_crop(const Image& image, const CropPlan& plan) {
  const Image resized = resize(image, plan.resize_w, plan.resize_h);
  Image cut = crop(resized, plan.crop_x, plan.crop_y, plan.w, plan.h);
  return plan.flip ? flip_horizontal(cut) : cut;
}

}  // namespace rankine
