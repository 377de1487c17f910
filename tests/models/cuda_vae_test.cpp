// A VAE whose numbers pass the largest of fp16, as SDXL's does, on the CUDA kernels: as SDXL's it computes in
// bf16 and agrees with the CPU; as any other in fp16 it overflows, and is found out.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "engine/core/cuda_device.h"
#include "engine/core/finite.h"
#include "engine/core/transfer.h"
#include "io/files/sha256.h"
#include "io/image/encode.h"
#include "kernels/random/random.h"
#include "models/tasks/latent_store.h"
#include "models/tasks/model_setup.h"
#include "tests/support/compare.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;
using testing_support::relative_l2;

// Of a whole encoder or decoder: 4 roundings of bf16 (2^-8), as cuda_training_test.cpp allows losses and
// parameters. Measured: less than 2.
constexpr double kAgreement = 1.6e-2;
// Residual streams of this many times the usual: beyond 65504 at once, no limit to bf16 or fp32.
constexpr float kLoud = 1e7F;
constexpr int kSide = 32;
constexpr std::size_t kMoments = 8;  // of a latent pixel

class Amplifier final : public ModelVisitor {
 public:
  void weight(Weight& w) override {
    if (!w.path().starts_with("encoder.conv_in.") && !w.path().starts_with("decoder.conv_in.")) return;
    Tensor value = w.value();
    std::vector<float> numbers = floats_of(value);
    for (float& v : numbers) v *= kLoud;
    set_floats(value, numbers);
  }
};

class CudaVae : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device: the VAE on CUDA was NOT tested";
    fs::create_directories(folder);
    // A small model that nobody trained, with a loud VAE.
    const config::RunConfig k = config::parse_run_config(
        "method: full\ntrain_data_dir: unused\nresolution: 64\noutput_dir: unused\n"
        "new_model: {unet: {model_channels: 32, channel_mult: [1], num_res_blocks: 1, attention_levels: [0], "
        "num_heads: 8, context_dim: 64}, vae: {channel_mult: [1, 1, 1, 1]}, text_encoder: {width: 64, "
        "layers: 1, heads: 1}}\n",
        "test", {});
    Runtime r(Device::cpu());
    const LoadedModel model = load_model(Context(r), k, {}, {"a b"});
    Amplifier loud;
    model.sd->vae.visit(loud);
    model.sd->save(file, {.half = false, .latent_gain = 1, .metadata = {}});
  }
  void TearDown() override { fs::remove_all(folder); }

  // The model, taken for one of `family`: of that the type of the VAE depends on this alone.
  std::unique_ptr<StableDiffusion> load(const Context& c, SdFamily family) const {
    SdCheckpoint k = open_sd_checkpoint(file);
    k.family = family;
    const auto tokenizer = std::make_shared<const ClipTokenizer>(k.merges);
    auto sd = std::make_unique<StableDiffusion>(std::move(k), tokenizer);
    sd->load(c);
    return sd;
  }
  struct Coded {
    std::vector<float> means, logvars, picture;
  };
  static Coded code(const Context& c, StableDiffusion& sd) {
    Runtime r(Device::cpu());
    const auto drawn = [&](Shape shape, std::uint32_t id) {  // the same on every device
      Tensor t(r.memory(), shape, DType::f32, Account::data, "input");
      fill_uniform(Context(r), t, RandomStream{3, purpose("picture"), 0, id}, -1, 1);
      Tensor there = c.empty(shape, "input");
      set_floats(there, floats_of(t));
      return there;
    };
    const Tensor moments = sd.encode(c, drawn({1, kSide, kSide, 3}, 0));
    const Tensor picture = sd.decode(c, drawn({1, kSide / 8, kSide / 8, 4}, 1));
    EXPECT_EQ(moments.dtype(), sd.vae_type(c));
    EXPECT_EQ(picture.dtype(), sd.vae_type(c));
    Coded out{{}, {}, floats_of(picture)};
    const std::vector<float> numbers = floats_of(moments);
    for (std::size_t i = 0; i < numbers.size(); ++i)
      (i % kMoments < kMoments / 2 ? out.means : out.logvars).push_back(numbers[i]);
    return out;
  }
  static double difference(const std::vector<float>& a, const std::vector<float>& b) {
    return relative_l2(std::span<const float>(a), std::span<const float>(b));
  }

  const fs::path folder = fs::path(::testing::TempDir()) / join("rankine-cuda-vae-", ::getpid());
  const fs::path file = folder / "base.safetensors";
};

TEST_F(CudaVae, OfSdxlAgreesWithTheCpuBeyondTheRangeOfFp16) {
  const auto run = [&](Device device, DType activations) {
    Runtime r(device, std::size_t{1} << 30, 2, activations);
    const Context c(r);
    const auto sd = load(c, SdFamily::sdxl);
    EXPECT_EQ(sd->vae_type(c), device.is_cuda() ? DType::bf16 : DType::f32);
    return code(c, *sd);
  };
  const Coded cpu = run(Device::cpu(), DType::f32);
  for (const DType activations : {DType::f16, DType::bf16}) {
    const Coded cuda = run(Device::cuda(0), activations);
    EXPECT_TRUE(all_finite(cuda.means) && all_finite(cuda.logvars) && all_finite(cuda.picture));
    EXPECT_LE(difference(cuda.means, cpu.means), kAgreement);
    EXPECT_LE(difference(cuda.logvars, cpu.logvars), kAgreement);
    EXPECT_LE(difference(cuda.picture, cpu.picture), kAgreement);
    RecordProperty("means", std::to_string(difference(cuda.means, cpu.means)));
    RecordProperty("picture", std::to_string(difference(cuda.picture, cpu.picture)));
  }
}

TEST_F(CudaVae, OfSdxlIsPlannedAsItRuns) {
  const auto peak = [&](Device device) {
    Runtime r(device, std::size_t{1} << 30, 2, DType::f16);
    const Context c(r);
    const auto sd = load(c, SdFamily::sdxl);
    r.memory().reset_peak();
    code(c, *sd);
    return std::pair(r.memory().high_water(), r.cost().flops());
  };
  EXPECT_EQ(peak(Device::cuda(0)), peak(Device::cuda(0).planned()));
}

TEST_F(CudaVae, ThatOverflowsFp16IsFoundOutAndNotCached) {
  Image picture(kSide, kSide);
  for (std::size_t i = 0; i < picture.rgb.size(); ++i) picture.rgb[i] = static_cast<std::uint8_t>(37 * i);
  Sample sample;
  sample.id = "picture";
  sample.image = folder / "picture.png";
  sample.size = {kSide, kSide};
  write_png(sample.image, picture);
  const CropPlan whole{kSide, kSide, 0, 0, kSide, kSide};

  Runtime r(Device::cuda(0), std::size_t{1} << 30, 2, DType::f16);
  const Context c(r);
  const LatentCache cache(folder / "cache");
  const auto entry = [&](const char* type) {
    return cache.get(make_latent_key({sha256_of_file(sample.image), "32x32 crop 0,0 32x32", "id", type}));
  };
  const auto other = load(c, SdFamily::sd_v1);
  EXPECT_EQ(other->vae_type(c), DType::f16);
  LatentStore refusing(*other, "id", folder / "cache");
  try {
    refusing.store(c, sample, whole);
    FAIL() << "latents that are not finite were kept";
  } catch (const DataError& e) {
    const std::string message = e.what();
    for (const std::string& part :
         {sample.image.string(), file.string(), std::string("in f16"), std::string("compute_dtype: bf16")})
      EXPECT_NE(message.find(part), std::string::npos) << message;
  }
  EXPECT_FALSE(fs::exists(folder / "cache"));

  const auto sdxl = load(c, SdFamily::sdxl);
  LatentStore storing(*sdxl, "id", folder / "cache");
  storing.store(c, sample, whole);
  EXPECT_TRUE(entry("bf16").has_value());
  EXPECT_FALSE(entry("f32").has_value()) << "a CPU run must not meet latents of another type";
  Tensor moments = c.empty({1, kSide / 8, kSide / 8, 8}, "moments");  // the run's type, as the U-Net reads it
  for (const bool keep : {true, false}) {
    storing.get(c, sample, whole, keep, moments);
    EXPECT_EQ(moments.dtype(), DType::f16);
    EXPECT_TRUE(all_finite(floats_of(moments)));
    EXPECT_LE(difference(floats_of(moments), floats_of(sdxl->encode(c, load_picture(c, sample, whole)))),
              1e-3);
  }
}

}  // namespace
}  // namespace rankine
