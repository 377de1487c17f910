// Pictures as VAE moments: encoded once per (picture, crop), kept in memory and, if wanted, in a folder on
// disk.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "io/dataset/latent_cache.h"
#include "models/tasks/picture_loader.h"
#include "models/vae/vae.h"

namespace rankine {

class LatentStore {
 public:
  // Without `directory` nothing is written to disk. `vae_id` is the identity of the VAE's weights.
  LatentStore(VaeEncoder& encoder, std::string vae_id, std::optional<std::filesystem::path> directory);

  // Encodes and stores a visit unless it is stored.
  void store(const Context& c, const Sample& sample, const CropPlan& crop);
  // moments (1, h/8, w/8, 2Z) = [mean | logvar] of a visit, from the store, where a miss is stored, or, with
  // `keep` false (random crops: used once), straight from the encoder: the host does not wait for those.
  void get(const Context& c, const Sample& sample, const CropPlan& crop, bool keep, Tensor& moments);
  // Begins to decode the picture of a visit that get() or store() will be asked for next, unless it is
  // stored. Changes no result: an error is thrown by that call.
  void ahead(const Context& c, const Sample& sample, const CropPlan& crop, bool keep);
  // Gives back the memory of what was begun and not asked for.
  void forget_ahead() { pictures_.forget(); }

 private:
  Tensor encode(const Context& c, const Sample& sample, const CropPlan& crop);
  const CachedLatent& stored(const Context& c, const Sample& sample, const CropPlan& crop);
  const std::string& image_hash(const Sample& sample);
  std::string disk_key(const Sample& sample, const std::string& transform);

  VaeEncoder& encoder_;
  PictureLoader pictures_;
  std::string vae_id_;
  std::optional<LatentCache> disk_;
  std::map<std::string, CachedLatent> memory_;  // by (id, transform)
  std::map<std::string, std::string> hashes_;   // sample id -> SHA-256 of the file
};

}  // namespace rankine
