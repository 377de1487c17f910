// Training with weights that are not kept on the device, on a CPU and on the CUDA kernels (emulated where
// there is no card): no bit of a result depends on it, a model larger than the memory trains, the plan is the
// run to the byte, and a file that cannot be read ends the run with nothing changed.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "engine/core/cuda_device.h"
#include "engine/core/transfer.h"
#include "engine/train/train_state.h"
#include "models/tasks/diffusion_task.h"
#include "models/tasks/text_results.h"
#include "models/tasks/text_task.h"
#include "tests/core/page_support.h"
#include "tests/models/memory_support.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;
using namespace testing_support;

constexpr int kSteps = 3;  // on CUDA: an ordinary one, a recorded one, a launched one
constexpr int kLayers = 3, kDeep = 24;
constexpr std::int64_t kTokens = 16;
constexpr std::size_t kMiB = std::size_t{1} << 20;

struct Trial {
  std::string options;        // of the run file
  WeightStreaming streaming;  // units: none
  MemoryPolicy policy;        // of the tape
  std::size_t budget = 512 * kMiB;
  int layers = kLayers;
};

// What a run came to.
struct Outcome {
  std::vector<double> losses;
  std::vector<float> parameters;
  std::size_t high_water = 0, weights = 0;  // bytes; weights: on the device between steps
  PageStore::Limits needed;
  PageStore::Counters counters;  // of the last step
  bool operator==(const Outcome& o) const { return losses == o.losses && parameters == o.parameters; }
};

class Streaming : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    device = Device::cpu();
    if (std::string(GetParam()) != "cuda") return write_bases();
    if constexpr (build::cuda) {
      if (cuda::device_count() > 0) {
        device = Device::cuda(0);
        return write_bases();
      }
    }
    GTEST_SKIP() << "no CUDA device: streamed weights on CUDA were NOT tested";
  }
  void TearDown() override { fs::remove_all(folder); }

  // A LLaMA whose blocks are most of it.
  void write_bases() const {
    fs::create_directories(folder);
    std::ofstream(folder / "rows.jsonl")
        << R"({"instruction": "Count to 3, please.", "output": "one two three"})"
        << "\n";
    for (const int layers : {kLayers, kDeep}) {
      Runtime r(Device::cpu());
      const Context c(r);
      LoadedDecoder fresh = load_decoder(
          c, text("method: full\nnew_model: {decoder: {vocab: 320, width: 128, mlp: 256, layers: " +
                  std::to_string(layers) + ", heads: 4, kv_heads: 2, context: 128}}\n"));
      init_weights(c, *fresh.model, 3, DType::f32, [](const std::string&) { return false; });
      save_decoder_folder(folder / std::to_string(layers), fresh, config::SaveDtype::fp16, {});
    }
  }
  config::RunConfig text(const std::string& more) const {
    return config::parse_run_config("task_type: text-generation\ntrain_data_dir: " +
                                        (folder / "rows.jsonl").string() + "\noutput_dir: unused\n" + more,
                                    "test");
  }
  // The deep one has few numbers that train. On a CPU weights of a decoder are mapped unless they are rounded
  // to blocks.
  config::RunConfig lora(const std::string& more, int layers = kLayers) const {
    return text(
        "base_model: " + (folder / std::to_string(layers)).string() +
        (layers == kDeep ? "\nlora_rank: 1" : "\nlora_rank: 4\ntarget_modules: [all-linear]") +
        "\nlearning_rate: 1e-2\ncustom_template: {user: \"Q {user}\\n\", assistant: \"A {assistant}\"}" +
        "\nvalidation_data: " + (folder / "rows.jsonl").string() + "\n" + more);
  }
  std::string quantised() const { return "quantise_base: q8_0\n"; }
  std::unique_ptr<Runtime> runtime(const Device& on, std::size_t budget = 512 * kMiB) const {
    return std::make_unique<Runtime>(on, budget, 2, on.is_cuda() ? DType::f16 : DType::f32);
  }
  // The host has room for about half of what is streamed, the file for all.
  WeightStreaming streaming(int units, bool host = false) const {
    return {units, {device.is_cuda() && host ? kMiB / 4 : 0, 8 * kMiB, folder}};
  }
  std::unique_ptr<TextData> data(const config::RunConfig& k) const {
    return std::make_unique<TextData>(k, name_of(checkpoint_of(k).config.family),
                                      vocabulary_for(k, checkpoint_of(k)).tokenizer);
  }

  Outcome train(const Device& on, const Trial& s) {
    const auto r = runtime(on, s.budget);
    Context c(*r);
    c.seed = 3;
    const config::RunConfig k = lora(s.options, s.layers);
    const auto t = std::make_unique<TextTask>(k, load_decoder(c, k, s.streaming), data(k));
    t->step_memory().policy = s.policy;
    PageStore::Limits limits{0, 8 * kMiB, folder};
    t->step_memory().pages = std::make_shared<PageStore>(*r, limits);
    Outcome out;
    TrainState state(c, *t, {}, 0);
    for (int i = 0; i < kSteps; ++i) {
      if (t->step_memory().weights) t->step_memory().weights->reset_counters();
      state.begin(c, 1e-2, 1.0);
      t->plan_step(c, kTokens, state.loss());
      state.apply(c);
      out.losses.push_back(state.finish(c, {}).loss);
    }
    if (!on.plan) out.parameters = floats_of(state.arena().value());
    out.high_water = r->memory().high_water();
    out.weights = r->memory().held(Account::weights);
    EXPECT_EQ(r->memory().held(Account::streamed), 0U);
    if (const auto& weights = t->step_memory().weights) {
      out.needed = weights->needed();
      out.counters = weights->counters();
    }
    if (on.is_cuda() && !on.plan) {
      EXPECT_EQ(t->runner().graphs().launched(), kSteps - 1);
    }
    t->step_memory().pages.reset();
    return out;
  }

  Device device = Device::cpu();
  const fs::path folder = fs::path(::testing::TempDir()) / join("rankine-streaming-", ::getpid());
};

TEST_P(Streaming, NoBitOfTrainingDependsOnIt) {
  std::vector<std::string> bases{quantised()};
  if (device.is_cuda()) bases.push_back("");  // fp16
  for (const std::string& base : bases) {
    const Outcome resident = train(device, {base, {}, {}});
    EXPECT_NE(resident.losses[1], resident.losses[2]);
    struct Case {
      int units;
      bool host;  // pages in its memory, too
      UnitPolicy policy;
    };
    std::vector<Case> cases{{2, device.is_cuda(), {}}, {kLayers, false, {true, true}}};
    if (!device.is_cuda())  // emulated kernels are slow
      cases.insert(cases.end(),
                   {{2, false, {true, false}}, {kLayers, false, {}}, {kLayers, false, {true, false}}});
    for (const Case& k : cases) {
      SCOPED_TRACE(join(base, k.units, " units, recompute ", k.policy.recompute, ", page ", k.policy.page));
      const Outcome streamed = train(device, {base, streaming(k.units, k.host), {{}, k.policy}});
      EXPECT_EQ(streamed, resident);
      EXPECT_LT(streamed.weights, resident.weights);
      EXPECT_GT(streamed.needed.file_bytes, 0U);
      EXPECT_EQ(streamed.needed.host_bytes > 0, k.host);
    }
  }
}

// Adapters that start from the weight that they adapt.
TEST_P(Streaming, AdaptersThatReadTheirWeights) {
  for (const char* adapter : {"use_dora: true\n", "lora_init: pissa\n", "lora_dropout: 0.2\n"}) {
    SCOPED_TRACE(adapter);
    const std::string options = quantised() + adapter;
    EXPECT_EQ(train(device, {options, streaming(kLayers), {}}), train(device, {options, {}, {}}));
  }
}

// Each layer is read once forward and once backward, but the last, which is still there; two at a time.
TEST_P(Streaming, PlansAreTheRunToTheByteAndLargerModelsThanTheMemoryTrain) {
  Trial trial{quantised(), {}, {{}, {true, false}}};
  const int units = device.is_cuda() ? kLayers : kDeep;  // emulated kernels are slow
  trial.layers = units;
  const Outcome resident = train(device, trial);
  trial.streaming = {units, {PageStore::kUnlimited, PageStore::kUnlimited, folder}};
  const Outcome plan = train(device.planned(), trial);
  const std::size_t layers = resident.weights - plan.weights;
  EXPECT_EQ(plan.counters.bytes_in,
            layers / static_cast<std::size_t>(units) * (2 * static_cast<std::size_t>(units) - 1));
  trial.budget = plan.high_water;
  if (!device.is_cuda()) {
    EXPECT_LT(plan.high_water, resident.weights) << "else this test shows little";
    trial.streaming = {0, {}};
    EXPECT_THROW(train(device, trial), OutOfMemory);
  }
  trial.streaming = {units, plan.needed};
  const Outcome streamed = train(device, trial);
  EXPECT_EQ(streamed, resident);
  EXPECT_EQ(streamed.high_water, plan.high_water);
  EXPECT_EQ(streamed.needed.host_bytes, plan.needed.host_bytes);
  EXPECT_EQ(streamed.needed.file_bytes, plan.needed.file_bytes);
}

TEST_P(Streaming, ValidationAndAnswers) {
  const auto run = [&](int units) {
    const auto r = runtime(device);
    Context c(*r);
    c.seed = 3;
    const config::RunConfig k = lora(quantised());
    const auto t = std::make_unique<TextTask>(k, load_decoder(c, k, streaming(units)), data(k));
    TrainState state(c, *t, {}, 0);
    state.update(c, *t, 1e-2, 1.0);
    const double loss = t->validate(c).value();
    Conversation row;
    row.messages.push_back({Role::user, "Count to 3, please.", "", false});
    AnswerOptions options = answer_options(k);
    options.max_new_tokens = 4;
    return std::pair(loss, answer(c, t->model(), data(k)->chat(), row, options));
  };
  EXPECT_EQ(run(kLayers), run(0));
}

TEST_P(Streaming, AFileThatCannotBeReadEndsTheRunWithNothingChanged) {
  FaultyCalls calls;
  WeightStreaming faulty = streaming(kLayers);
  faulty.calls = &calls;
  const auto r = runtime(device);
  Context c(*r);
  c.seed = 3;
  const config::RunConfig k = lora(quantised());
  const auto t = std::make_unique<TextTask>(k, load_decoder(c, k, faulty), data(k));
  TrainState state(c, *t, {}, 0);
  state.update(c, *t, 1e-2, 1.0);
  const std::vector<float> before = floats_of(state.arena().value());
  calls.fail_read = calls.reads + 6;
  calls.stays = true;
  EXPECT_THROW(state.update(c, *t, 1e-2, 1.0), IoError);
  EXPECT_EQ(floats_of(state.arena().value()), before);
  EXPECT_EQ(state.counters().updates, 1);
  EXPECT_EQ(r->memory().held(Account::streamed), 0U);
}

TEST_P(Streaming, Misuse) {
  const auto r = runtime(device);
  const Context c(*r);
  {
    const LoadedDecoder kept = load_decoder(c, lora(quantised()));
    EXPECT_EQ(kept.stream->units(), kLayers);
    EXPECT_EQ(kept.stream->pages(), nullptr);
    EXPECT_EQ(r->weight_stream(), nullptr);
  }
  EXPECT_THROW(load_decoder(c, lora(quantised()), streaming(kLayers + 1)), ConfigError);
  EXPECT_THROW(load_decoder(c, lora("method: full\n"), streaming(1)), ConfigError);
  const LoadedDecoder one = load_decoder(c, lora(quantised()), streaming(kLayers));
  EXPECT_EQ(one.stream->units(), kLayers);
  EXPECT_THROW(load_decoder(c, lora(quantised()), streaming(1)), std::logic_error);
  const std::vector<std::int32_t> ids{1, 2, 3};
  EXPECT_THROW(one.model->forward(c, sequence_input(c, one.model->config(), ids, 0, 0)), std::logic_error)
      << "outside a pass";
  EXPECT_NO_THROW(sequence_logits(c, *one.model, ids, 0));
  struct Reader final : ModelVisitor {
    void linear(SharedLinear& layer) override {
      if (!layer.path(0).starts_with("model.layers.")) return;
      EXPECT_THROW(layer.weight(0).value().raw(), ShapeError);
    }
  } reader;
  one.model->visit(reader);
  if (device.is_cuda()) return;
  const LoadedDecoder mapped = load_decoder(c, lora(""));
  EXPECT_EQ(mapped.stream->units(), 0) << "what is mapped is not streamed";
}

// ---- pictures ----

// A small Stable Diffusion, smaller than the example's.
const char* const kSmallModel =
    "train_data_dir: unused\nresolution: 64\noutput_dir: unused\n"
    "new_model: {unet: {model_channels: 32, channel_mult: [1, 2], attention_levels: [1], num_heads: 8, "
    "context_dim: 64}, vae: {channel_mult: [1, 1, 1, 1]}, text_encoder: {width: 64, layers: 1, heads: 1}}\n";

TEST_P(Streaming, UNet) {
  fs::current_path(RANKINE_SOURCE_DIR);
  {
    const auto r = runtime(Device::cpu());
    load_model(Context(*r), config::parse_run_config(std::string("method: full\n") + kSmallModel, "test"), {},
               {"a b"})
        .sd->save(folder / "base.safetensors", {});
  }
  const config::RunConfig k = config::parse_run_config(
      "base_model: " + (folder / "base.safetensors").string() +
          "\ntrain_data_dir: examples/sd-style/data/style\nresolution: 64\nlora_rank: 4\noutput_dir: unused\n"
          "enable_bucket: false\ncache_dir: " +
          (folder / "cache").string() +
          "\nvalidation_split: 0.05\nsample_cfg: 1\n"
          "sample_steps: 1\nsample_count_steps: 1\nsample_prompts: [a b]\n",
      "test");
  struct Pictures {
    std::vector<double> losses;
    double validation = 0;
    std::vector<float> parameters;
    std::string preview;
    int units = 0;
    std::size_t high_water = 0;
    bool operator==(const Pictures& o) const {
      return losses == o.losses && validation == o.validation && parameters == o.parameters &&
             preview == o.preview;
    }
  };
  const auto run = [&](const Device& on, WeightStreaming streamed, UnitPolicy policy) {
    const auto r = runtime(on);
    Context c(*r);
    c.seed = 3;
    DiffusionTask t(k, load_model(c, k, {}, {}, streamed), std::make_unique<ImageData>(k, 64, 8));
    t.step_memory().policy.others = policy;
    TrainState state(c, t, {}, 0);
    Pictures out;
    for (int i = 0; i < kSteps; ++i) {
      state.begin(c, 1e-2, 1.0);
      t.plan_step(c, {1, {64, 64}}, state.loss());
      state.apply(c);
      out.losses.push_back(state.finish(c, {}).loss);
    }
    out.high_water = r->memory().high_water();
    out.units = t.loaded().stream->units();
    if (on.plan) return out;
    out.parameters = floats_of(state.arena().value());
    out.validation = t.validate(c).value();
    std::ifstream in(t.preview(c, kSteps, folder).at(0), std::ios::binary);
    out.preview.assign(std::istreambuf_iterator<char>(in), {});
    EXPECT_EQ(r->memory().held(Account::streamed), 0U);
    return out;
  };
  const Pictures resident = run(device, {}, {});
  EXPECT_FALSE(resident.preview.empty());
  WeightStreaming some = streaming(resident.units / 2, true);
  some.limits.file_bytes = 64 * kMiB;
  WeightStreaming all = some;
  all.units = resident.units;
  EXPECT_EQ(run(device, some, {}), resident);
  const Pictures streamed = run(device, all, {true, false});
  EXPECT_EQ(streamed, resident);
  EXPECT_EQ(run(device.planned(), all, {true, false}).high_water, streamed.high_water);
}

TEST(StreamedUnits, AreSpreadEvenly) {
  for (const auto& [all, streamed] : {std::pair(12, 0), {12, 5}, {12, 12}, {7, 1}, {80, 79}}) {
    int count = 0, last = -1;
    for (int i = 0; i < all; ++i) {
      if (!is_streamed(i, all, streamed)) continue;
      ++count;
      EXPECT_LE(i - last, (all + streamed - 1) / streamed) << i;
      last = i;
    }
    EXPECT_EQ(count, streamed);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, Streaming,
                         ::testing::ValuesIn(build::cuda ? std::vector<const char*>{"cpu", "cuda"}
                                                         : std::vector<const char*>{"cpu"}),
                         [](const auto& p) { return std::string(p.param); });

}  // namespace
}  // namespace rankine
