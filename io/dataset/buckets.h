// Aspect buckets: every picture is resized and cut to one of a few sizes of about equal area, so that batches
// are rectangular and little is cut away. Same conventions as the kohya trainers, so their settings carry
// over.
#pragma once

#include <span>
#include <vector>

#include "io/image/image.h"

namespace rankine {

// A bucket is the size of the picture that is trained, in pixels.
using Bucket = ImageSize;

struct BucketOptions {
  ImageSize resolution{512, 512};  // the area that no bucket exceeds; the bucket itself when not enabled
  int min_side = 256;
  int max_side =
      1024;       // at 1024 x 1024 take 2048: with 1024 no bucket is longer than the square (no 1216 x 832)
  int step = 64;  // all sides are multiples of it
  bool enabled = true;
  bool no_upscale =
      false;  // small pictures keep their size, rounded down to the step; min and max are then unused
};

// 1024 x 1024 with sides up to 2048.
BucketOptions sdxl_buckets();

// Both orientations of: width = min_side, min_side + step, ... <= max_side; height = the largest multiple of
// step with width * height <= area and height <= max_side, if that is >= min_side; and the square of side
// floor(sqrt(area)). Sorted by width, then height, without repetition. Not enabled: `resolution` alone. 512 x
// 512 with the defaults gives 17. Throws std::invalid_argument on options that allow no bucket.
std::vector<Bucket> make_buckets(const BucketOptions& options);

// The bucket of the picture's exact size, else the one with the smallest |width/height difference| (the first
// of equals). With no_upscale the bucket is computed from the picture and need not be in the list: a picture
// above the area is scaled down to it, keeping its aspect, then both sides are rounded down to the step (at
// least one step, the other side then cut to the area). Throws std::invalid_argument on an empty list or
// picture.
Bucket choose_bucket(const BucketOptions& options, std::span<const Bucket> buckets, ImageSize image);

// Resize the whole picture to (resize_w, resize_h), cut (w, h) with its corner at (crop_x, crop_y), then
// mirror if flip.
struct CropPlan {
  int resize_w = 0, resize_h = 0;
  int crop_x = 0, crop_y = 0;
  int w = 0, h = 0;
  bool flip = false;

  // The cut's left edge in the picture as it is seen after mirroring: what SDXL is told as crop (arXiv
  // 2307.01952).
  int seen_crop_x() const { return flip ? resize_w - w - crop_x : crop_x; }

  friend bool operator==(const CropPlan&, const CropPlan&) = default;
};

struct CropOptions {
  bool random_crop = false;       // else the centre
  double flip_probability = 0.0;  // 0 .. 1
};

// Uniform numbers in [0, 1), one of each per picture and step, from the caller's counter-based generator.
struct CropUniforms {
  double x = 0.5, y = 0.5, flip = 1.0;
};

// Resize to cover: the smallest size with the picture's aspect that contains the bucket. With no_upscale a
// picture smaller than the area is not enlarged unless its side is below one step. Throws DataError for a
// picture so long and narrow that the resized one would pass 64 Mpixel; the caller adds its name.
CropPlan plan_crop(ImageSize image, Bucket bucket, const CropOptions& options, const CropUniforms& uniforms);

// Does it. The picture must have the size that the plan was made for only in aspect: it is resized to the
// plan.
Image apply_crop(const Image& image, const CropPlan& plan);

}  // namespace rankine
