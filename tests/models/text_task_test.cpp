// The text objective as a task: packing and accumulation change nothing, seeds decide everything, results go
// on.
#include <gtest/gtest.h>

#include <unistd.h>
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>

#include "engine/train/param_arena.h"
#include "engine/train/trainer.h"
#include "kernels/elementwise/elementwise.h"
#include "models/tasks/text_results.h"
#include "models/tasks/text_task.h"
#include "tests/models/task_support.h"
#include "tests/support/compare.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;

// A folder with rows, a run file and a base model trained by nobody, for one test.
class TextTaskTest : public ::testing::Test {
 protected:
  TextTaskTest() : folder(fs::temp_directory_path() / ("rankine-text-" + std::to_string(::getpid()))) {
    fs::remove_all(folder);
    fs::create_directories(folder);
    std::ofstream rows(folder / "rows.jsonl");
    for (int i = 0; i < 10; ++i) {
      rows << R"({"instruction": "Count to )" << i + 3
           << R"(, please, and say the word apple.", "output": ")";
      for (int k = 0; k <= i; ++k) rows << "apple " << k << (k == i ? "" : ", ");
      rows << "\"}\n";
    }
    rows.close();
    write_base();
  }
  ~TextTaskTest() override { fs::remove_all(folder); }

  config::RunConfig config(const std::string& more = "") {
    return config::parse_run_config(
        "task_type: text-generation\nbase_model: " + (folder / "base").string() + "\ntrain_data_dir: " +
            (folder / "rows.jsonl").string() + "\noutput_dir: " + (folder / "out").string() +
            "\nlora_rank: 4\nmax_length: 128\ncontext_length: 256\nlearning_rate: 1e-2\n"
            "custom_template: {user: \"Q {user}\\n\", assistant: \"A {assistant}\"}\n" +
            more,
        "test");
  }
  // A new model saved as a Hugging Face folder, its random start.
  void write_base() {
    const config::RunConfig k = config::parse_run_config(
        "task_type: text-generation\nmethod: full\ntrain_data_dir: " + (folder / "rows.jsonl").string() +
            "\noutput_dir: x\nnew_model: {decoder: {vocab: 320, width: 64, mlp: 128, layers: 2, heads: 4, "
            "kv_heads: 2, "
            "context: 256}}\n",
        "base");
    Runtime runtime(Device::cpu());
    const Context c(runtime);
    LoadedDecoder model = load_decoder(c, k);
    // Residual branches of a new model start at zero, which would hide everything behind them.
    init_weights(c, *model.model, 3, DType::f32, [](const std::string&) { return false; });
    save_decoder_folder(folder / "base", model, config::SaveDtype::fp32, {});
  }

  // Loss and gradient of optimizer step 0.
  struct Step {
    double loss = 0;
    std::vector<float> gradient;
  };
  Step first_step(const config::RunConfig& k) {
    Runtime runtime(Device::cpu());
    Context c(runtime);
    c.seed = 5;
    TextTask task(k, load_decoder(c, k), data(k));
    ParamArena arena(c, task.params());
    task.init_params(c);
    Tensor value = arena.value();
    for (std::int64_t i = 0; i < value.numel(); ++i)  // up matrices are not zero either
      value.data<float>()[i] += 0.05F * static_cast<float>((i * 37 % 19) - 9) / 9.0F;
    arena.zero_grad(c);
    Step s;
    s.loss = testing_support::step_loss(c, task, 0);
    const auto g = arena.grad().span<float>();
    s.gradient.assign(g.begin(), g.end());
    return s;
  }
  double first_loss(const config::RunConfig& k) {
    Runtime runtime(Device::cpu());
    Context c(runtime);
    TextTask task(k, load_decoder(c, k), data(k));
    const ParamArena arena(c, task.params());
    task.init_params(c);
    return *task.validate(c);
  }
  std::unique_ptr<TextData> data(const config::RunConfig& k) {
    const DecoderCheckpoint checkpoint = checkpoint_of(k);
    return std::make_unique<TextData>(k, name_of(checkpoint.config.family),
                                      vocabulary_for(k, checkpoint).tokenizer);
  }
  std::string bytes_of_run(const config::RunConfig& k, std::int64_t stop_after) {
    Runtime runtime(Device::cpu());
    Context c(runtime);
    c.seed = static_cast<std::uint64_t>(k.optim.seed);
    TextTask task(k, load_decoder(c, k), data(k));
    TrainOptions o;
    o.run_dir = k.output.output_dir;
    o.result_name = "adapter";
    o.max_steps = 6;
    o.schedule.learning_rate = 1e-2;
    o.save_steps = 2;
    o.seed = static_cast<std::uint64_t>(k.optim.seed);
    Trainer trainer(c, task, o);
    trainer.resume_latest();
    std::atomic<bool> stop{false};
    struct Stopper final : TrainObserver {
      std::atomic<bool>& stop;
      std::int64_t after;
      Stopper(std::atomic<bool>& s, std::int64_t a) : stop(s), after(a) {}
      void on_step(const StepRecord& r) override { stop = r.step >= after; }
    } stopper(stop, stop_after);
    trainer.observe(stopper);
    const TrainResult result = trainer.run(stop);
    if (result.outcome != Outcome::finished) return "";
    std::ifstream in(result.result / "adapter_model.safetensors", std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  static void expect_close(const Step& a, const Step& b) {
    constexpr double kSame = 1e-5;
    EXPECT_NEAR(a.loss, b.loss, kSame * a.loss);
    EXPECT_LE(
        testing_support::relative_l2(std::span<const float>(a.gradient), std::span<const float>(b.gradient)),
        kSame);
  }

  fs::path folder;
};

TEST_F(TextTaskTest, PackedAndUnpackedStepsAgree) {
  expect_close(first_step(config("batch_size: 10\n")), first_step(config("batch_size: 8\npacking: true\n")));
}

TEST_F(TextTaskTest, BatchAndAccumulationPermute) {
  const Step whole = first_step(config("batch_size: 8\n"));
  expect_close(whole, first_step(config("batch_size: 4\ngradient_accumulation: 2\n")));
  expect_close(whole, first_step(config("batch_size: 1\ngradient_accumulation: 8\n")));
}

TEST_F(TextTaskTest, GradientIsTheDerivativeOfTheLoss) {
  const config::RunConfig k = config("batch_size: 4\ntarget_modules: [all-linear]\n");
  Runtime runtime(Device::cpu());
  Context c(runtime);
  c.seed = 5;
  TextTask task(k, load_decoder(c, k), data(k));
  ParamArena arena(c, task.params());
  task.init_params(c);
  Tensor value = arena.value();
  for (std::int64_t i = 0; i < value.numel(); ++i)
    value.data<float>()[i] += 0.02F * static_cast<float>((i * 37 % 19) - 9);
  arena.zero_grad(c);
  testing_support::step_loss(c, task, 0);
  // Along the gradient itself: d loss / d t = |g|².
  const std::vector<float> g(arena.grad().span<float>().begin(), arena.grad().span<float>().end());
  double square = 0;
  for (const float x : g) square += double(x) * double(x);
  const double step = 2e-3 / std::sqrt(square);
  const auto loss_at = [&](double t) {
    std::vector<float> kept(value.span<float>().begin(), value.span<float>().end());
    for (std::size_t i = 0; i < g.size(); ++i)
      value.data<float>()[i] = static_cast<float>(double(kept[i]) + t * double(g[i]));
    const double loss = testing_support::step_loss(c, task, 0);
    std::copy(kept.begin(), kept.end(), value.data<float>());
    return loss;
  };
  const double slope = (loss_at(step) - loss_at(-step)) / (2 * step);
  EXPECT_NEAR(slope, square, 1e-2 * square);
}

TEST_F(TextTaskTest, AStepReadsTheDeviceOnce) {
  const config::RunConfig k = config("batch_size: 4\ngradient_accumulation: 2\nlora_dropout: 0.1\n");
  Runtime runtime(Device::cpu());
  Context c(runtime);
  TextTask task(k, load_decoder(c, k), data(k));
  TrainState state(c, task, {}, 0);
  const std::uint64_t before = runtime.memory().downloads();
  EXPECT_TRUE(std::isfinite(state.update(c, task, 1e-3, 1.0).loss));
  EXPECT_EQ(runtime.memory().downloads(), before + 1);
}

// Before they reach a device, which would not say so.
TEST_F(TextTaskTest, AnIdOutsideTheVocabularyIsNamedWithItsPlace) {
  const config::RunConfig k = config("batch_size: 4\n");
  Runtime runtime(Device::cpu());
  Context c(runtime);
  TextTask task(k, load_decoder(c, k), data(k));
  for (const std::int32_t wrong : {-1, 1 << 20}) {
    const TokenSequence sequences[] = {{{1, 2, 3}, {0, 1, 1}}, {{1, wrong, 3}, {0, 1, 1}}};
    EXPECT_NO_THROW(task.runner().prepare(c, {{0}}, sequences, 1.0F));
    try {
      task.runner().prepare(c, {{0, 1}}, sequences, 1.0F);
      ADD_FAILURE() << "no error for " << wrong;
    } catch (const ShapeError& e) {
      EXPECT_NE(std::string(e.what()).find(join("id ", wrong, " at position 4")), std::string::npos)
          << e.what();
    }
  }
}

TEST_F(TextTaskTest, SameSeedSameBytesAlsoWhenStoppedBetween) {
  const config::RunConfig k = config("batch_size: 4\nlora_dropout: 0.1\n");
  const std::string straight = bytes_of_run(k, 1000);
  ASSERT_FALSE(straight.empty());
  fs::remove_all(k.output.output_dir);
  EXPECT_TRUE(bytes_of_run(k, 3).empty());
  EXPECT_EQ(bytes_of_run(k, 1000), straight);
}

TEST_F(TextTaskTest, AdaptersComeBackFromBothFiles) {
  const config::RunConfig k = config("batch_size: 4\n");
  ASSERT_FALSE(bytes_of_run(k, 1000).empty());
  const DecoderCheckpoint checkpoint = checkpoint_of(k);
  const std::vector<AdapterWeights> peft = read_text_adapter(folder / "out/adapter", checkpoint);
  const std::vector<AdapterWeights> gguf = read_text_adapter(folder / "out/adapter.gguf", checkpoint);
  ASSERT_EQ(peft.size(), 4U);  // q and v of two layers
  ASSERT_EQ(gguf.size(), peft.size());
  for (const AdapterWeights& a : peft) {
    const auto b =
        std::find_if(gguf.begin(), gguf.end(), [&](const AdapterWeights& m) { return m.module == a.module; });
    ASSERT_NE(b, gguf.end()) << a.module;
    EXPECT_EQ(a.a.values, b->a.values);
    ASSERT_EQ(a.b.values.size(), b->b.values.size());
    for (std::size_t i = 0; i < a.b.values.size(); ++i)
      EXPECT_NEAR(a.scale * a.b.values[i], b->scale * b->b.values[i], 1e-3F) << a.module;
  }
  // Training goes on from either.
  for (const char* from : {"out/adapter", "out/adapter.gguf"}) {
    const config::RunConfig more = config("batch_size: 4\ninit_lora: " + (folder / from).string() + "\n");
    EXPECT_LT(first_loss(more), first_loss(k)) << from;
  }
}

// Every kind of adapter trains, and its file, read by itself, says what training said.
TEST_F(TextTaskTest, EveryAdapterComesBackAsItWasTrained) {
  for (const char* kind : {"use_dora: true\n", "lora_init: pissa\n", "use_rslora: true\nlora_plus_ratio: 4\n",
                           "target_modules: [all-linear]\n", "target_modules: ['*.mlp.down_proj', k_proj]\n",
                           "lora_module_dropout: 0.3\n"}) {
    fs::remove_all(folder / "out");
    const config::RunConfig k = config(std::string("batch_size: 4\nsave_dtype: fp32\n") + kind);
    Runtime runtime(Device::cpu());
    Context c(runtime);
    c.seed = 42;
    TextTask task(k, load_decoder(c, k), data(k));
    TrainOptions o;
    o.run_dir = k.output.output_dir;
    o.result_name = "adapter";
    o.max_steps = 4;
    o.schedule.learning_rate = 1e-2;
    Trainer trainer(c, task, o);
    const TrainResult result = trainer.run(std::atomic<bool>{false});
    ASSERT_TRUE(result.first_validation && result.last_validation) << kind;
    EXPECT_LT(*result.last_validation, *result.first_validation) << kind;
    // A fresh adapter changes nothing.
    EXPECT_NEAR(*result.first_validation, first_loss(config()), 1e-4) << kind;
    const config::RunConfig again = config("init_lora: " + (folder / "out/adapter").string() + "\n");
    EXPECT_NEAR(first_loss(again), *result.last_validation, 1e-4) << kind;
  }
}

// Rounding a float base while loading: near the same loss, in fewer bytes, as the plan says.
TEST_F(TextTaskTest, AQuantisedBaseIsSmallerAndNearlyAsGood) {
  const auto weights = [&](const config::RunConfig& k, Device device) {
    Runtime runtime(device);
    const LoadedDecoder model = load_decoder(Context(runtime), k);
    return runtime.memory().held(Account::weights) + runtime.memory().held(Account::mapped);
  };
  const config::RunConfig plain = config();
  for (const char* type : {"nf4", "q8_0", "q4_0"}) {
    const config::RunConfig k = config(std::string("quantise_base: ") + type + "\n");
    EXPECT_LT(weights(k, Device::cpu()), weights(plain, Device::cpu())) << type;
    EXPECT_EQ(weights(k, Device::cpu()), weights(k, Device::cpu().planned())) << type;
    EXPECT_NEAR(first_loss(k), first_loss(plain), 0.1) << type;
  }
}

}  // namespace
}  // namespace rankine
