// Pictures from disk, decoded ahead of their use on a side stream.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "engine/core/context.h"
#include "engine/core/stream.h"
#include "io/dataset/buckets.h"
#include "io/dataset/dataset.h"

namespace rankine {

// Decodes the part of a picture that a visit trains: (1, h, w, 3) in [-1, 1]. Throws DataError or IoError.
std::vector<float> decode_picture(const Sample& sample, const CropPlan& crop);
Tensor load_picture(const Context& c, const Sample& sample, const CropPlan& crop);

// What get() returns does not depend on what was asked for ahead, only when it is decoded does. Memory is
// taken by the caller's thread (account `data`), so its layout depends on the calls alone, on a plan device
// as well.
class PictureLoader {
 public:
  // Takes memory for the picture and begins to decode it. An error is kept for the get() of this picture.
  void ahead(const Context& c, const Sample& sample, const CropPlan& crop);
  // load_picture(), or the oldest of the same picture and cut that was begun ahead.
  Tensor get(const Context& c, const Sample& sample, const CropPlan& crop);
  // Gives back what was begun and not asked for.
  void forget();

 private:
  struct Begun {
    std::filesystem::path image;
    CropPlan crop;
    Tensor picture;
    std::shared_ptr<std::vector<float>> pixels;  // on CUDA: where it is decoded before it is copied
    Event decoded;
  };
  std::deque<Begun> begun_;
  std::optional<Stream> stream_;  // after begun_: it finishes before the pictures go
};

}  // namespace rankine
