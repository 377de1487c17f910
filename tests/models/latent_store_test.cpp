// What becomes of numbers that are not finite: the VAE's latents are refused and never cached, cached ones
// are made again, and pictures that turn black say why.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>

#include "engine/core/transfer.h"
#include "engine/train/param_arena.h"
#include "io/files/sha256.h"
#include "models/tasks/autoencoder_task.h"
#include "models/tasks/diffusion_task.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;

constexpr float kBeyondFp32 = 1e38F;  // times a weight of the order of 1

const std::string kRun = R"(
base_model: examples/sd-style/tiny-sd.safetensors
resolution: 64
enable_bucket: false
batch_size: 2
max_steps: 4
output_dir: unused
sample_prompts: [a red house]
sample_steps: 1
sample_count_steps: 1
sample_cfg: 1
)";

// Multiplies the weights of one path.
class Scaler final : public ModelVisitor {
 public:
  Scaler(std::string path, float factor) : path_(std::move(path)), factor_(factor) {}
  void weight(Weight& w) override {
    if (w.path() != path_) return;
    Tensor value = w.value();
    std::vector<float> numbers = floats_of(value);
    for (float& v : numbers) v *= factor_;
    set_floats(value, numbers);
    ++found;
  }
  int found = 0;

 private:
  std::string path_;
  float factor_;
};

template <class Model>
void scale_weight(Model& model, const std::string& path, float factor) {
  Scaler scaler(path, factor);
  model.visit(scaler);
  ASSERT_EQ(scaler.found, 1) << path;
}

class LatentsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::current_path(RANKINE_SOURCE_DIR);
    fs::create_directories(pictures);
    for (const char* name : {"style_00000.png", "style_00001.png"}) {
      names.push_back(pictures / name);
      fs::copy_file(fs::path("examples/sd-style/data/style") / name, names.back());
      fs::path caption = names.back();
      std::ofstream(caption.replace_extension(".txt")) << "a house";
    }
  }
  void TearDown() override { fs::remove_all(folder); }

  config::RunConfig config(std::vector<std::string> options) const {
    options.insert(options.end(), {"train_data_dir=" + pictures.string(), "cache_dir=" + cache.string()});
    return parse_run_config(kRun, "test.yaml", options);
  }
  std::unique_ptr<DiffusionTask> make(const std::vector<std::string>& options = {}) {
    const config::RunConfig k = config(options);
    auto task =
        std::make_unique<DiffusionTask>(k, load_model(c, k, {}, {}), std::make_unique<ImageData>(k, 64, 8));
    task->warn_through([this](const std::string& message) { warnings.push_back(message); });
    return task;
  }
  std::vector<fs::path> cached() const {
    std::vector<fs::path> files;
    if (!fs::exists(cache)) return files;
    for (const auto& entry : fs::recursive_directory_iterator(cache)) {
      if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    return files;
  }
  static std::string bytes_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const fs::path folder = fs::path(::testing::TempDir()) / join("rankine-latents-", ::getpid()),
                 pictures = folder / "pictures", cache = folder / "cache";
  std::vector<fs::path> names;
  std::vector<std::string> warnings;
  Runtime runtime{Device::cpu()};
  Context c{runtime};
};

TEST_F(LatentsTest, AreRefusedAndNotCachedWhenTheyAreNotFinite) {
  const auto task = make();
  scale_weight(task->model().vae, "encoder.conv_in.weight", kBeyondFp32);
  try {
    task->fill_latent_cache(c, nullptr);
    FAIL() << "latents that are not finite were kept";
  } catch (const DataError& e) {
    const std::string message = e.what();
    for (const std::string& part : {names[0].string(), std::string("tiny-sd.safetensors"), std::string("f32"),
                                    std::string("the key vae")})
      EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  EXPECT_TRUE(cached().empty());
}

TEST_F(LatentsTest, OfRandomCropsAreLookedAtWhenTheLossIsNotFinite) {
  const auto task = make({"random_crop=true", "cache_latents=false"});
  EXPECT_EQ(task->why_not_finite(c, 0), "");
  scale_weight(task->model().vae, "encoder.conv_in.weight", kBeyondFp32);
  EXPECT_NE(task->why_not_finite(c, 0).find("tiny-sd.safetensors makes numbers that are not finite"),
            std::string::npos)
      << task->why_not_finite(c, 0);
}

// A file as an earlier version wrote it: a NaN under a checksum that fits.
void put_nan(const fs::path& file, std::string bytes) {
  constexpr std::size_t kHeader = 8 + 4 + 32 + 32, kHash = 32;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes.data() + kHeader + 4 * sizeof nan, &nan, sizeof nan);
  const std::size_t body = bytes.size() - kHash;
  const std::string hex = sha256_hex(std::as_bytes(std::span(bytes.data(), body)));
  for (std::size_t i = 0; i < kHash; ++i)
    bytes[body + i] = static_cast<char>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  std::ofstream(file, std::ios::binary) << bytes;
}

TEST_F(LatentsTest, ThatAreCachedButNotFiniteAreMadeAgain) {
  make()->fill_latent_cache(c, nullptr);
  const std::vector<fs::path> files = cached();
  ASSERT_EQ(files.size(), names.size());
  const std::string good = bytes_of(files[0]);
  put_nan(files[0], good);
  ASSERT_NE(bytes_of(files[0]), good);
  make()->fill_latent_cache(c, nullptr);
  EXPECT_EQ(cached(), files);
  EXPECT_EQ(bytes_of(files[0]), good);
}

// Caches that CPU runs left behind stay good.
TEST_F(LatentsTest, KeepTheirKeysOnACpu) {
  make()->fill_latent_cache(c, nullptr);
  const std::string model = sha256_of_file("examples/sd-style/tiny-sd.safetensors");
  const LatentCache store(cache);
  for (const fs::path& name : names) {
    const std::string key = make_latent_key({sha256_of_file(name), "64x64 crop 0,0 64x64", model, "f32"});
    EXPECT_TRUE(store.get(key).has_value()) << name;
  }
}

TEST_F(LatentsTest, OfAnotherVaeHaveKeysOfTheirOwn) {
  make()->fill_latent_cache(c, nullptr);
  const fs::path other = folder / "other.safetensors";
  {
    const auto task = make();
    scale_weight(task->model().vae, "quant_conv.weight", 2);
    task->model().save(other, {});
  }
  make({"vae=" + other.string()})->fill_latent_cache(c, nullptr);
  EXPECT_EQ(cached().size(), 2 * names.size());
}

TEST_F(LatentsTest, PicturesThatTurnBlackSayWhy) {
  const auto warning = [&](DiffusionTask& task) {
    warnings.clear();
    EXPECT_EQ(task.preview(c, 1, folder).size(), 1U);
    return warnings.size() == 1 ? warnings[0] : join(warnings.size(), " warnings");
  };
  const auto task = make();
  ParamArena arena(c, task->params());
  task->init_params(c);
  EXPECT_EQ(warning(*task), "0 warnings");
  scale_weight(task->model().vae, "decoder.conv_in.weight", kBeyondFp32);
  const std::string of_vae = warning(*task);
  EXPECT_NE(of_vae.find("\"a red house\""), std::string::npos) << of_vae;
  EXPECT_NE(of_vae.find("the VAE in"), std::string::npos) << of_vae;
  scale_weight(task->model().unet, "out.2.weight", std::numeric_limits<float>::quiet_NaN());
  EXPECT_NE(warning(*task).find("the U-Net makes"), std::string::npos) << warnings[0];

  const config::RunConfig k = config({"task_type=autoencoder", "method=full"});
  AutoencoderTask autoencoder(k, load_model(c, k, {}, {}), std::make_unique<ImageData>(k, 64, 8));
  autoencoder.warn_through([this](const std::string& message) { warnings.push_back(message); });
  ParamArena weights(c, autoencoder.params());
  autoencoder.init_params(c);
  warnings.clear();
  autoencoder.preview(c, 1, folder);
  EXPECT_TRUE(warnings.empty()) << warnings[0];
  for (Param* p : autoencoder.params()) {
    if (p->name == "vae.decoder.conv_out.bias")
      p->value.span<float>()[0] = std::numeric_limits<float>::infinity();
  }
  autoencoder.preview(c, 1, folder);
  ASSERT_EQ(warnings.size(), names.size());
  EXPECT_NE(warnings[0].find(pictures.string()), std::string::npos) << warnings[0];
}

}  // namespace
}  // namespace rankine
