#include "io/dataset/latent_cache.h"

#include <gtest/gtest.h>

#include <fstream>
#include <limits>
#include <set>
#include <stdexcept>

#include "engine/core/error.h"
#include "test_images.h"

namespace rankine {
namespace {

using namespace testing_images;

CachedLatent example() {
  CachedLatent latent;
  latent.h = 2;
  latent.w = 3;
  latent.c = 4;
  for (int i = 0; i < 24; ++i) {
    latent.mean.push_back(0.25F * static_cast<float>(i) - 2);
    latent.logvar.push_back(-10.0F - static_cast<float>(i));
  }
  latent.mean[5] = std::numeric_limits<float>::denorm_min();
  latent.original_w = 640;
  latent.original_h = 480;
  latent.crop_x = 7;
  latent.crop_y = 9;
  latent.flipped = true;
  return latent;
}

LatentKeyParts parts() { return {"abc", "512x512 crop 0,0", "def", "f32"}; }

TEST(LatentCache, GivesBackEveryBit) {
  LatentCache cache(fresh_folder("latents"));
  const std::string key = make_latent_key(parts());
  EXPECT_EQ(cache.get(key), std::nullopt);
  cache.put(key, example());
  EXPECT_EQ(cache.get(key), example());
  CachedLatent other = example();
  other.flipped = false;
  other.mean[0] = 77;
  cache.put(key, other);
  EXPECT_EQ(cache.get(key), other);
  EXPECT_EQ(cache.path_of(key).parent_path().filename().string(), key.substr(0, 2));
}

TEST(LatentCache, KeyDependsOnEachPartAndOnItsBorders) {
  std::set<std::string> keys{make_latent_key(parts())};
  EXPECT_EQ(keys.begin()->size(), 64U);
  EXPECT_EQ(make_latent_key(parts()), *keys.begin());
  LatentKeyParts changed = parts();
  changed.image_sha256 = "abd";
  keys.insert(make_latent_key(changed));
  changed = parts();
  changed.transform += ' ';
  keys.insert(make_latent_key(changed));
  changed = parts();
  changed.vae_sha256 = "dee";
  keys.insert(make_latent_key(changed));
  changed = parts();
  changed.dtype = "f16";
  keys.insert(make_latent_key(changed));
  changed = parts();
  changed.vae_sha256 = "deff";
  changed.dtype = "32";
  keys.insert(make_latent_key(changed));
  EXPECT_EQ(keys.size(), 6U);
}

TEST(LatentCache, TruncationAtEveryLengthCountsAsAbsent) {
  LatentCache cache(fresh_folder("latents_cut"));
  const std::string key = make_latent_key(parts());
  cache.put(key, example());
  const Bytes whole = read_file(cache.path_of(key));
  for (std::size_t n = 0; n < whole.size(); ++n) {
    write_file(cache.path_of(key), Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)));
    ASSERT_EQ(cache.get(key), std::nullopt) << n;
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  write_file(cache.path_of(key), longer);
  EXPECT_EQ(cache.get(key), std::nullopt);
  cache.put(key, example());
  EXPECT_EQ(cache.get(key), example());
}

TEST(LatentCache, EveryFlippedByteCountsAsAbsent) {
  LatentCache cache(fresh_folder("latents_flip"));
  const std::string key = make_latent_key(parts());
  cache.put(key, example());
  const Bytes whole = read_file(cache.path_of(key));
  for (std::size_t i = 0; i < whole.size(); ++i) {
    Bytes damaged = whole;
    damaged[i] ^= std::byte{0x10};
    write_file(cache.path_of(key), damaged);
    ASSERT_EQ(cache.get(key), std::nullopt) << i;
  }
}

TEST(LatentCache, AnEntryUnderAnotherKeyCountsAsAbsent) {
  LatentCache cache(fresh_folder("latents_moved"));
  const std::string key = make_latent_key(parts());
  cache.put(key, example());
  LatentKeyParts changed = parts();
  changed.transform = "other";
  const std::string other = make_latent_key(changed);
  std::filesystem::create_directories(cache.path_of(other).parent_path());
  std::filesystem::copy_file(cache.path_of(key), cache.path_of(other));
  EXPECT_EQ(cache.get(other), std::nullopt);
}

TEST(LatentCache, MisuseAndFullDisksAreReported) {
  const std::filesystem::path folder = fresh_folder("latents_bad");
  LatentCache cache(folder);
  const std::string key = make_latent_key(parts());
  EXPECT_THROW(cache.get("../../etc/passwd"), std::invalid_argument);
  EXPECT_THROW(cache.get(std::string(64, 'A')), std::invalid_argument);
  CachedLatent wrong = example();
  wrong.mean.pop_back();
  EXPECT_THROW(cache.put(key, wrong), std::invalid_argument);
  wrong = example();
  wrong.h = -2;
  wrong.w = -3;
  EXPECT_THROW(cache.put(key, wrong), std::invalid_argument);
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    wrong = example();
    wrong.logvar[23] = bad;
    EXPECT_THROW(cache.put(key, wrong), std::invalid_argument);
  }
  EXPECT_EQ(cache.get(key), std::nullopt);
  std::ofstream(folder / "file") << "x";
  LatentCache blocked(folder / "file");
  EXPECT_EQ(blocked.get(key), std::nullopt);
  EXPECT_THROW(blocked.put(key, example()), IoError);
}

}  // namespace
}  // namespace rankine
