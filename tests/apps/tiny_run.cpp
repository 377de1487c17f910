#include "tests/apps/tiny_run.h"

#include <gtest/gtest.h>

#include <fstream>

#include "io/image/encode.h"

namespace rankine {
namespace fs = std::filesystem;
namespace {

constexpr int kSide = 32;  // pixels

Image picture(int kind) {
  Image image(kSide, kSide);
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      for (int c = 0; c < 3; ++c)
        image.pixel(x, y)[c] = static_cast<std::uint8_t>(x * (kind + 1) * 7 + y * (c + 2) * 5);
    }
  }
  return image;
}

constexpr const char* kShared =
    "resolution: 32\nmin_bucket_side: 32\nbatch_size: 2\nlearning_rate: 1e-3\nsave_steps: 5\nsave_dtype: "
    "fp32\n"
    "sample_prompts: [\"a red square\", \"a blue circle\"]\nsample_count_steps: 2\nthreads: 2\n";

}  // namespace

TinyRun::TinyRun(const std::string& name, int max_steps)
    : root_(fs::path(testing::TempDir()) / ("rankine_" + name)) {
  fs::remove_all(root_);
  fs::create_directories(pictures());
  std::ofstream table(pictures() / "metadata.csv");
  table << "file_name,text\n";
  for (int i = 0; i < 4; ++i) {
    const std::string file = "p" + std::to_string(i) + ".png";
    write_png(pictures() / file, picture(i));
    table << file << ",\"a " << (i % 2 == 0 ? "red square" : "blue circle") << "\"\n";
  }
  std::ofstream(root_ / "run.yaml")
      << "method: full\ntrain_data_dir: " << pictures().string() << "\noutput_dir: " << out().string()
      << "\nmax_steps: " << max_steps << "\n"
      << kShared
      << "new_model:\n"
         "  unet: {model_channels: 32, channel_mult: [1, 2], num_res_blocks: 1, attention_levels: [1], "
         "num_heads: 8, "
         "context_dim: 64}\n"
         "  vae: {channels: 32, channel_mult: [1, 1], num_res_blocks: 1, latent_channels: 4}\n"
         "  text_encoder: {width: 64, layers: 1, heads: 1}\n";
}

std::string TinyRun::lora_config(const fs::path& base, int max_steps) const {
  const fs::path file = root_ / "lora.yaml";
  std::ofstream(file) << "base_model: " << base.string() << "\ntrain_data_dir: " << pictures().string()
                      << "\noutput_dir: " << (root_ / "lora").string() << "\nmax_steps: " << max_steps
                      << "\nlora_rank: 4\n"
                      << kShared;
  return file.string();
}

}  // namespace rankine
