// The diffusion objective as a whole, on the example's tiny model: every option trains, repeats to the bit,
// and options that only save memory change nothing.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "engine/train/train_state.h"
#include "models/tasks/autoencoder_task.h"
#include "models/tasks/diffusion_task.h"
#include "tests/models/memory_support.h"
#include "tests/models/task_support.h"

namespace rankine {
namespace {

const std::string kRun = R"(
base_model: examples/sd-style/tiny-sd.safetensors
train_data_dir: examples/sd-style/data/style
resolution: 64
enable_bucket: false
cache_latents: false
batch_size: 3
max_steps: 4
output_dir: unused
)";

struct Step {
  double loss = 0;
  std::vector<float> grad;
};

class TaskTest : public ::testing::Test {
 protected:
  void SetUp() override { std::filesystem::current_path(RANKINE_SOURCE_DIR); }

  std::unique_ptr<DiffusionTask> make(const std::vector<std::string>& options) {
    const config::RunConfig k = parse_run_config(kRun, "test.yaml", options);
    auto data = std::make_unique<ImageData>(k, 64, 8);
    return std::make_unique<DiffusionTask>(k, load_model(c, k, {}, {}), std::move(data));
  }
  // Optimizer step 1 of a run with these options, up matrices away from zero.
  Step step(const std::vector<std::string>& options, const MemoryPolicy& policy = {}) {
    const auto task = make(options);
    const testing_support::PageFolder folder;
    task->step_memory() = folder.memory(runtime, policy);
    ParamArena arena(c, task->params());
    c.seed = 42;
    task->init_params(c);
    HostRandom random({7, purpose("test"), 0, 0});
    for (float& v : arena.value().span<float>()) v += 0.02F * (random.uniform() - 0.5F);
    arena.zero_grad(c);
    c.step = 1;
    Step s;
    s.loss = testing_support::step_loss(c, *task, 1);
    s.grad.assign(arena.grad().data<float>(), arena.grad().data<float>() + arena.numel());
    return s;
  }
  static double norm(const std::vector<float>& v) {
    double sum = 0;
    for (const float x : v) sum += double(x) * double(x);
    return std::sqrt(sum);
  }

  Runtime runtime{Device::cpu()};
  Context c{runtime};
};

TEST_F(TaskTest, EveryOptionTrainsAndRepeatsToTheBit) {
  const Step plain = step({});
  const std::vector<std::vector<std::string>> cases{
      {"noise_offset=0.1"},
      {"min_snr_gamma=0.01"},
      {"loss=huber"},
      {"loss=smooth_l1"},
      {"lora_dropout=0.3"},
      {"lora_rank_dropout=0.3"},
      {"prediction_type=v_prediction"},
      {"prediction_type=v_prediction", "zero_terminal_snr=true"},
      {"lora_conv_rank=2"},
      {"use_rslora=true"},
      {"train_text_encoder=true"},
      {"train_text_encoder=true", "max_token_length=225"},
      {"max_token_length=150"},
      {"clip_skip=2"},
      {"random_crop=true", "resolution=[64, 48]"},
      {"flip=true"},
      {"caption_dropout=0.9"},
      {"min_timestep=900"},
      {"target_modules=[attn2]"},
      {"gradient_accumulation=2"},
  };
  for (const auto& options : cases) {
    SCOPED_TRACE(options[0]);
    const Step first = step(options), second = step(options);
    EXPECT_TRUE(std::isfinite(first.loss));
    EXPECT_GT(norm(first.grad), 0);
    EXPECT_EQ(first.loss, second.loss);
    EXPECT_EQ(first.grad, second.grad);
    EXPECT_FALSE(first.loss == plain.loss && first.grad == plain.grad) << "the option changes nothing";
  }
}

TEST_F(TaskTest, ModuleDropoutLeavesModulesOut) {
  const Step all = step({}), some = step({"lora_module_dropout=0.5"});
  const auto zeros = [](const Step& s) { return std::count(s.grad.begin(), s.grad.end(), 0.0F); };
  EXPECT_GT(zeros(some), zeros(all) + static_cast<std::ptrdiff_t>(some.grad.size() / 4));
  EXPECT_GT(norm(some.grad), 0);
}

TEST_F(TaskTest, MemoryOptionsChangeNoBit) {
  for (const char* extra :
       {"lora_rank=4", "lora_dropout=0.3", "lora_conv_rank=2", "train_text_encoder=true"}) {
    SCOPED_TRACE(extra);
    std::optional<Step> kept;
    for (const MemoryPolicy& policy : testing_support::memory_policies()) {
      const Step one = step({extra}, policy);
      if (!kept) kept = one;
      EXPECT_EQ(kept->loss, one.loss);
      EXPECT_EQ(kept->grad, one.grad);
    }
  }
}

TEST_F(TaskTest, AllWeightsOfASmallModelTrain) {
  const auto task = make({"method=full", "train_text_encoder=true"});
  ParamArena arena(c, task->params());
  task->init_params(c);
  arena.zero_grad(c);
  EXPECT_TRUE(std::isfinite(testing_support::step_loss(c, *task, 0)));
  std::set<std::string> silent;
  for (Param* p : task->params()) {
    const auto g = p->grad.span<float>();
    if (std::all_of(g.begin(), g.end(), [](float v) { return v == 0; })) silent.insert(p->name);
  }
  // The middle of this model sees one pixel of these pictures, and a lone token's attention is constant.
  const std::string lone = "unet.middle_block.1.transformer_blocks.0.attn1.";
  EXPECT_EQ(silent, (std::set<std::string>{lone + "to_k.weight", lone + "to_q.weight"}));
}

TEST_F(TaskTest, ContinuesFromAnExistingLora) {
  const std::filesystem::path file = std::filesystem::path(::testing::TempDir()) / "task_init.safetensors";
  AdapterFile written;
  {
    const auto task = make({"lora_rank=4", "lora_conv_rank=2"});
    ParamArena arena(c, task->params());
    HostRandom random({9, purpose("test"), 0, 0});
    for (float& v : arena.value().span<float>()) v = random.uniform() - 0.5F;
    written.modules = task->network().to_file();
    write_adapter(file, written, FileDType::f32);
  }
  const auto task = make({"lora_rank=16", "init_lora=" + file.string()});  // the file's ranks win
  ParamArena arena(c, task->params());
  task->init_params(c);
  const std::vector<AdapterModule> back = task->network().to_file();
  ASSERT_EQ(back.size(), written.modules.size());
  for (std::size_t i = 0; i < back.size(); ++i) {
    EXPECT_EQ(back[i].name, written.modules[i].name);
    EXPECT_EQ(back[i].down, written.modules[i].down);
    EXPECT_EQ(back[i].up, written.modules[i].up);
    EXPECT_EQ(back[i].alpha, written.modules[i].alpha);
  }
}

// Pictures of the step after are decoded while one computes: what a step sees must not depend on that.
TEST_F(TaskTest, AStepIsTheSameWhateverWasDecodedAhead) {
  const std::vector<std::string> options{"random_crop=true", "resolution=[64, 48]",
                                         "gradient_accumulation=2"};
  const auto losses = [&](const std::vector<std::int64_t>& steps) {
    const auto task = make(options);
    ParamArena arena(c, task->params());
    c.seed = 42;
    task->init_params(c);
    arena.zero_grad(c);
    std::vector<double> out;
    for (const std::int64_t step : steps) {
      c.step = static_cast<std::uint32_t>(step);
      out.push_back(testing_support::step_loss(c, *task, step));
      if (step == 1) task->validate(c);
    }
    return out;
  };
  const std::vector<double> all =
      losses({0, 1, 2, 4, 5});  // 5 pairs of batches an epoch: 5 begins the second
  const std::vector<std::int64_t> steps{0, 1, 2, 4, 5};
  for (std::size_t i = 0; i < steps.size(); ++i) EXPECT_EQ(losses({steps[i]})[0], all[i]) << steps[i];
}

TEST_F(TaskTest, ABrokenPictureFailsItsOwnStep) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "task_broken_picture";
  std::filesystem::remove_all(folder);
  std::filesystem::copy("examples/sd-style/data/style", folder);
  const auto task = make({"train_data_dir=" + folder.string(), "random_crop=true", "batch_size=1"});
  ParamArena arena(c, task->params());
  task->init_params(c);
  arena.zero_grad(c);
  const Sample& later = task->data().samples()[task->data().step(1)[0][0].sample];
  std::filesystem::resize_file(later.image, 100);
  EXPECT_TRUE(std::isfinite(testing_support::step_loss(c, *task, 0)));
  EXPECT_THROW(testing_support::step_loss(c, *task, 1), DataError);
  EXPECT_TRUE(std::isfinite(testing_support::step_loss(c, *task, 2)));
}

// Everything between the uploads of a micro-batch and the end of the step stays on the device.
TEST_F(TaskTest, AStepReadsTheDeviceOnce) {
  const auto expect_one_read = [&](Task& task) {
    TrainState state(c, task, {}, 0.9);
    for (int i = 0; i < 2; ++i) {
      const std::uint64_t before = runtime.memory().downloads();
      const UpdateReport report = state.update(c, task, 1e-4, 1.0);
      EXPECT_EQ(runtime.memory().downloads(), before + 1);
      EXPECT_TRUE(std::isfinite(report.loss) && report.loss > 0);
      EXPECT_FALSE(report.skipped);
    }
  };
  expect_one_read(*make({"random_crop=true", "gradient_accumulation=2", "train_text_encoder=true"}));
  const auto cached = make({"noise_offset=0.1", "lora_dropout=0.1"});
  cached->fill_latent_cache(c, nullptr);
  expect_one_read(*cached);
  const config::RunConfig k =
      parse_run_config(kRun, "test.yaml", {"task_type=autoencoder", "method=full", "batch_size=1"});
  AutoencoderTask autoencoder(k, load_model(c, k, {}, {}), std::make_unique<ImageData>(k, 64, 8));
  expect_one_read(autoencoder);
}

TEST_F(TaskTest, ThePlanIsTheStep) {
  const auto peak = [](Device device) {
    Runtime rt(device);
    Context ctx(rt);
    const config::RunConfig k = parse_run_config(kRun, "test.yaml", {"cache_latents=true"});
    DiffusionTask task(k, load_model(ctx, k, {}, {}), std::make_unique<ImageData>(k, 64, 8));
    ParamArena arena(ctx, task.params());
    task.init_params(ctx);
    rt.cost().clear();
    Tensor loss = ctx.empty({1}, "loss");
    task.plan_step(ctx, {3, {64, 64}}, loss);
    return std::pair(rt.memory().high_water(), rt.cost().flops());
  };
  EXPECT_EQ(peak(Device::cpu()), peak(Device::cpu().planned()));
}

}  // namespace
}  // namespace rankine
