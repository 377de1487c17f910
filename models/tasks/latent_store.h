// Pictures as VAE moments: encoded once per (picture, crop), kept in memory and, if wanted, in a folder on
// disk.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "io/dataset/latent_cache.h"
#include "models/sd/stable_diffusion.h"
#include "models/tasks/picture_loader.h"

namespace rankine {

class LatentStore {
 public:
  // Without `directory` nothing is written to disk. `vae_id` is the identity of the VAE's weights.
  LatentStore(StableDiffusion& sd, std::string vae_id, std::optional<std::filesystem::path> directory);

  // Encodes and stores a visit unless it is stored. Throws DataError for moments that are not finite, as
  // get() with `keep` does: they are neither kept nor written.
  void store(const Context& c, const Sample& sample, const CropPlan& crop);
  // moments (1, h/8, w/8, 2Z) = [mean | logvar] of a visit, from the store, where a miss is stored, or, with
  // `keep` false (random crops: used once), straight from the encoder: the host does not wait for those,
  // and does not see whether they are finite.
  void get(const Context& c, const Sample& sample, const CropPlan& crop, bool keep, Tensor& moments);
  // Encodes a visit to see whether its moments are finite; throws DataError if not.
  void require_finite(const Context& c, const Sample& sample, const CropPlan& crop);
  // Begins to decode the picture of a visit that get() or store() will be asked for next, unless it is
  // stored. Changes no result: an error is thrown by that call.
  void ahead(const Context& c, const Sample& sample, const CropPlan& crop, bool keep);
  // Gives back the memory of what was begun and not asked for.
  void forget_ahead() { pictures_.forget(); }

 private:
  Tensor encode(const Context& c, const Sample& sample, const CropPlan& crop);
  // The same on the host, every number finite.
  CachedLatent encode_checked(const Context& c, const Sample& sample, const CropPlan& crop);
  const CachedLatent& stored(const Context& c, const Sample& sample, const CropPlan& crop);
  const std::string& image_hash(const Sample& sample);
  std::string disk_key(const Context& c, const Sample& sample, const std::string& transform);

  StableDiffusion& sd_;
  PictureLoader pictures_;
  std::string vae_id_;
  std::optional<LatentCache> disk_;
  std::map<std::string, CachedLatent> memory_;  // by (id, transform)
  std::map<std::string, std::string> hashes_;   // sample id -> SHA-256 of the file
};

}  // namespace rankine
