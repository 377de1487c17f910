#include "models/tasks/latent_store.h"

#include <algorithm>

#include "engine/core/finite.h"
#include "engine/core/transfer.h"
#include "io/files/sha256.h"
#include "kernels/elementwise/elementwise.h"

namespace rankine {
namespace {

std::string transform_text(const CropPlan& p) {
  return join(p.resize_w, 'x', p.resize_h, " crop ", p.crop_x, ',', p.crop_y, ' ', p.w, 'x', p.h,
              p.flip ? " flip" : "");
}

}  // namespace

LatentStore::LatentStore(StableDiffusion& sd, std::string vae_id,
                         std::optional<std::filesystem::path> directory)
    : sd_(sd), vae_id_(std::move(vae_id)) {
  if (directory) disk_.emplace(*directory);
}

const std::string& LatentStore::image_hash(const Sample& sample) {
  auto it = hashes_.find(sample.id);
  if (it == hashes_.end()) it = hashes_.emplace(sample.id, sha256_of_file(sample.image)).first;
  return it->second;
}

std::string LatentStore::disk_key(const Context& c, const Sample& sample, const std::string& transform) {
  return make_latent_key({image_hash(sample), transform, vae_id_, std::string(name_of(sd_.vae_type(c)))});
}

Tensor LatentStore::encode(const Context& c, const Sample& sample, const CropPlan& crop) {
  return sd_.encode(c, pictures_.get(c, sample, crop));
}

namespace {

// `values` are those of `moments`.
CachedLatent to_store(const Tensor& moments, const std::vector<float>& values, const Sample& sample,
                      const CropPlan& crop) {
  CachedLatent out;
  out.h = static_cast<int>(moments.dim(1));
  out.w = static_cast<int>(moments.dim(2));
  out.c = static_cast<int>(moments.dim(3) / 2);
  out.original_w = sample.size.width;
  out.original_h = sample.size.height;
  out.crop_x = crop.seen_crop_x();
  out.crop_y = crop.crop_y;
  out.flipped = crop.flip;
  const float* row = values.data();
  for (std::int64_t p = 0; p < moments.rows(); ++p, row += 2 * out.c) {
    out.mean.insert(out.mean.end(), row, row + out.c);
    out.logvar.insert(out.logvar.end(), row + out.c, row + 2 * out.c);
  }
  return out;
}

std::vector<float> interleaved(const CachedLatent& l) {
  std::vector<float> values;
  values.reserve(2 * l.mean.size());
  for (std::size_t p = 0; p < l.mean.size(); p += l.c) {
    values.insert(values.end(), l.mean.begin() + p, l.mean.begin() + p + l.c);
    values.insert(values.end(), l.logvar.begin() + p, l.logvar.begin() + p + l.c);
  }
  return values;
}

}  // namespace

CachedLatent LatentStore::encode_checked(const Context& c, const Sample& sample, const CropPlan& crop) {
  const Tensor moments = encode(c, sample, crop);
  const std::vector<float> values = floats_of(moments);
  require<DataError>(all_finite(values), sample.image.string(), ": cannot be encoded: ", sd_.vae_failure(c));
  return to_store(moments, values, sample, crop);
}

void LatentStore::require_finite(const Context& c, const Sample& sample, const CropPlan& crop) {
  encode_checked(c, sample, crop);
}

const CachedLatent& LatentStore::stored(const Context& c, const Sample& sample, const CropPlan& crop) {
  const std::string transform = transform_text(crop);
  const std::string here = sample.id + '\n' + transform;
  if (const auto it = memory_.find(here); it != memory_.end()) return it->second;
  std::string key;
  if (disk_) {
    key = disk_key(c, sample, transform);
    if (auto found = disk_->get(key)) return memory_.emplace(here, *found).first->second;
  }
  CachedLatent made = encode_checked(c, sample, crop);
  if (disk_) disk_->put(key, made);
  return memory_.emplace(here, std::move(made)).first->second;
}

void LatentStore::store(const Context& c, const Sample& sample, const CropPlan& crop) {
  if (c.planning())
    encode(c, sample, crop);
  else
    stored(c, sample, crop);
}

void LatentStore::get(const Context& c, const Sample& sample, const CropPlan& crop, bool keep,
                      Tensor& moments) {
  if (!keep || c.planning())
    copy(c, moments, encode(c, sample, crop));
  else
    set_floats(moments, interleaved(stored(c, sample, crop)));
}

void LatentStore::ahead(const Context& c, const Sample& sample, const CropPlan& crop, bool keep) {
  if (keep && !c.planning()) {
    const std::string transform = transform_text(crop);
    if (memory_.contains(sample.id + '\n' + transform)) return;
    if (disk_ && std::filesystem::exists(disk_->path_of(disk_key(c, sample, transform)))) return;
  }
  pictures_.ahead(c, sample, crop);
}

}  // namespace rankine
