// A tiny U-Net and a tiny LLaMA train for three steps on the CUDA kernels, emulated where there is no card,
// and on the CPU: the same losses and parameters, to what fp16 activations allow.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "engine/core/cuda_device.h"
#include "engine/core/transfer.h"
#include "engine/train/train_state.h"
#include "models/tasks/diffusion_task.h"
#include "models/tasks/text_results.h"
#include "models/tasks/text_task.h"
#include "tests/support/compare.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;
using testing_support::relative_l2;

constexpr double kAgreement = 2e-3;  // of losses, gradients and parameters, relative
constexpr int kSteps = 3;

// What a run came to.
struct Trail {
  std::vector<double> losses;
  std::vector<float> first_gradient, parameters;  // without the loss scale
};

void expect_agreement(const Trail& cpu, const Trail& cuda) {
  ASSERT_EQ(cpu.losses.size(), cuda.losses.size());
  for (std::size_t i = 0; i < cpu.losses.size(); ++i)
    EXPECT_NEAR(cuda.losses[i], cpu.losses[i], kAgreement * cpu.losses[i]) << "step " << i;
  const auto difference = [](const std::vector<float>& a, const std::vector<float>& b) {
    return relative_l2(std::span<const float>(a), std::span<const float>(b));
  };
  EXPECT_LE(difference(cuda.first_gradient, cpu.first_gradient), kAgreement);
  EXPECT_LE(difference(cuda.parameters, cpu.parameters), kAgreement);
}

class CudaTraining : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device: training on CUDA was NOT tested";
    fs::current_path(RANKINE_SOURCE_DIR);
  }
  static std::unique_ptr<Runtime> runtime(Device device) {
    return std::make_unique<Runtime>(device, std::size_t{1} << 30, 2,
                                     device.is_cuda() ? DType::f16 : DType::f32);
  }

  // kSteps updates of `task`, whose step is `loss_and_gradients`; up matrices start away from zero.
  template <class Step>
  static Trail train(Context& c, Task& task, const Step& loss_and_gradients) {
    Trail trail;
    ParamArena arena(c, task.params());
    task.init_params(c);
    std::vector<float> values = floats_of(arena.value());
    HostRandom random({7, purpose("test"), 0, 0});
    for (float& v : values) v += 0.02F * (random.uniform() - 0.5F);
    set_floats(arena.value(), values);
    arena.refresh(c);
    AdamW adamw(c, arena, {});
    const LossScale scale(c.activations());
    c.training = true;
    c.loss_scale = static_cast<float>(scale.value());
    for (int i = 0; i < kSteps; ++i) {
      c.step = static_cast<std::uint32_t>(i);
      arena.zero_grad(c);
      trail.losses.push_back(loss_and_gradients(i));
      const GradientCheck check = check_gradient(c, arena, 1.0, scale.value());
      EXPECT_TRUE(check.finite);
      if (i == 0) {
        trail.first_gradient = floats_of(arena.grad());
        for (float& g : trail.first_gradient) g /= c.loss_scale;
      }
      adamw.step(c, arena, 1e-3, check.scale);
      arena.refresh(c);
    }
    trail.parameters = floats_of(arena.value());
    return trail;
  }
};

TEST_F(CudaTraining, UNetAgreesWithTheCpu) {
  const config::RunConfig k = config::parse_run_config(
      "base_model: examples/sd-style/tiny-sd.safetensors\ntrain_data_dir: unused\nresolution: 64\nlora_rank: "
      "4\n"
      "output_dir: unused\n",
      "test");
  const auto run = [&](Device device) {
    const auto r = runtime(device);
    Context c(*r);
    c.seed = 3;
    DiffusionTask task(k, load_model(c, k, {}, {}), nullptr);
    return train(c, task, [&](int) { return task.plan_step(c, {1, {64, 64}}); });
  };
  expect_agreement(run(Device::cpu()), run(Device::cuda(0)));
}

TEST_F(CudaTraining, DecoderAgreesWithTheCpu) {
  const fs::path folder = fs::path(::testing::TempDir()) / "rankine-emulated-decoder";
  fs::create_directories(folder);
  std::ofstream rows(folder / "rows.jsonl");
  for (int i = 0; i < 6; ++i)
    rows << R"({"instruction": "Count to )" << i + 3 << R"(, please.", "output": "one two three four"})"
         << "\n";
  rows.close();
  const auto config = [&](const std::string& more) {
    return config::parse_run_config("task_type: text-generation\ntrain_data_dir: " +
                                        (folder / "rows.jsonl").string() + "\noutput_dir: unused\n" + more,
                                    "test");
  };
  {
    Runtime r(Device::cpu());
    const Context c(r);
    LoadedDecoder fresh = load_decoder(
        c, config("method: full\nnew_model: {decoder: {vocab: 320, width: 64, mlp: 128, layers: 2, heads: 4, "
                  "kv_heads: 2, context: 128}}\n"));
    init_weights(c, *fresh.model, 3, DType::f32, [](const std::string&) { return false; });
    save_decoder_folder(folder / "base", fresh, config::SaveDtype::fp16, {});
  }
  const config::RunConfig k =
      config("base_model: " + (folder / "base").string() +
             "\nlora_rank: 4\ntarget_modules: [all-linear]\nbatch_size: 2\n"
             "custom_template: {user: \"Q {user}\\n\", assistant: \"A {assistant}\"}\n");
  const auto run = [&](Device device) {
    const auto r = runtime(device);
    Context c(*r);
    c.seed = 3;
    const DecoderCheckpoint checkpoint = checkpoint_of(k);
    auto data = std::make_unique<TextData>(k, name_of(checkpoint.config.family),
                                           vocabulary_for(k, checkpoint).tokenizer);
    TextTask task(k, load_decoder(c, k), std::move(data));
    return train(c, task, [&](int step) { return task.train_step(c, step).loss; });
  };
  expect_agreement(run(Device::cpu()), run(Device::cuda(0)));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace rankine
