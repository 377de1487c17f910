// What the VAE encoder said about pictures, kept on disk so that it runs once per picture.
//
// Mean and log-variance are stored, not a sample: each step can draw its own latent from the same entry.
// An entry is found by its content key, so a changed picture, transform or VAE can never meet an old entry,
// and nothing ever needs to be invalidated.
//
// File <directory>/<first 2 hex digits>/<key>.latent, little-endian:
//   8 bytes "RKLATENT", u32 version, 32 bytes key, i32 h, w, c, original_w, original_h, crop_x, crop_y, u32
//   flags (bit 0: flipped), h*w*c floats mean, as many floats logvar, 32 bytes SHA-256 of all before.
// Files are written atomically. A damaged, truncated or foreign file, or one with a number that is not
// finite, counts as absent and is replaced by the next put, so a process may be killed at any moment and
// several may share a directory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace rankine {

struct CachedLatent {
  int h = 0, w = 0, c = 0;             // latent sides and channels
  std::vector<float> mean;             // (h, w, c), unscaled posterior mean
  std::vector<float> logvar;           // (h, w, c), unscaled log-variance
  int original_w = 0, original_h = 0;  // of the picture, in pixels
  int crop_x = 0, crop_y = 0;          // CropPlan::seen_crop_x() and crop_y
  bool flipped = false;

  friend bool operator==(const CachedLatent&, const CachedLatent&) = default;
};

struct LatentKeyParts {
  std::string image_sha256;  // of the file's bytes, hex
  std::string transform;     // all that happens between file and VAE, e.g. "768x512 crop 12,0 512x512 flip"
  std::string vae_sha256;    // of the VAE's weights, hex
  std::string dtype;         // that the VAE computed in: "f32", "f16", ...
};

// 64 hex digits: SHA-256 over the format version and the parts, each with its length, so no two lists
// collide.
std::string make_latent_key(const LatentKeyParts& parts);

class LatentCache {
 public:
  // Does not touch the disk.
  explicit LatentCache(std::filesystem::path directory) : directory_(std::move(directory)) {}

  // The entry, or nothing when there is no valid one. Throws std::invalid_argument on a malformed key.
  std::optional<CachedLatent> get(const std::string& key) const;

  // Writes or replaces the entry; folders are made as needed. Throws std::invalid_argument on a malformed key
  // or a value whose sizes disagree or that is not finite, IoError when the disk refuses.
  void put(const std::string& key, const CachedLatent& latent);

  std::filesystem::path path_of(const std::string& key) const;

 private:
  std::filesystem::path directory_;
};

}  // namespace rankine
