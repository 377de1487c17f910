// A tiny U-Net and a tiny LLaMA train for a few steps of TrainState on the CUDA kernels, emulated where there
// is no card: what comes out is what the CPU makes, to what fp16 or bf16 activations allow; overflows are
// skipped; checkpoints continue to the byte; and the device is read once a step.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "engine/core/cuda_device.h"
#include "engine/core/transfer.h"
#include "engine/train/train_state.h"
#include "io/formats/safetensors.h"
#include "io/image/decode.h"
#include "models/tasks/diffusion_task.h"
#include "models/tasks/text_results.h"
#include "models/tasks/text_task.h"
#include "tests/support/compare.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;
using testing_support::relative_l2;

// What one rounding to the type of the activations changes at most, relative: fp16 keeps 11 bits, bf16 8.
constexpr double roundoff(DType activations) { return 1.0 / (activations == DType::bf16 ? 256 : 2048); }
// Of losses, norms, gradients and parameters, relative, in roundoffs. Measured in both types: at most 2.4, of
// losses 0.2.
constexpr double kRoundoffs = 4;
// A gradient in the middle of a U-Net has passed about a hundred roundings, forward and backward, each of
// about u / sqrt(3): together sqrt(100 / 3) = 6 u. Measured: 6.8 u in fp16 and 7.3 u in bf16, so it is
// rounding.
constexpr double kRoundoffsInUNet = 10;
constexpr double kAgreement = kRoundoffs * roundoff(DType::f16);
constexpr int kSteps = 3;
constexpr double kRate = 1e-3;

// A task with steps of the test's choice, whose up matrices start away from zero.
class Nudged final : public Task {
 public:
  using Step = std::function<void(Context&, std::int64_t, Tensor&)>;
  Nudged(Task& task, Step step) : task_(task), step_(std::move(step)) {}

  std::vector<Param*> params() override { return task_.params(); }
  void init_params(Context& c) override {
    task_.init_params(c);
    HostRandom random({7, purpose("test"), 0, 0});
    for (Param* p : params()) {
      std::vector<float> values = floats_of(p->value);
      for (float& v : values) v += 0.02F * (random.uniform() - 0.5F);
      set_floats(p->value, values);
    }
  }
  std::int64_t steps_per_epoch() const override { return kSteps; }
  std::string unit() const override { return "steps"; }
  StepStats train_step(Context& c, std::int64_t step, Tensor& loss) override {
    step_(c, step, loss);
    return {1, static_cast<double>(step + 1) / kSteps};
  }
  std::optional<double> validate(Context&) override { return std::nullopt; }
  std::vector<fs::path> preview(Context&, std::int64_t, const fs::path&) override { return {}; }
  void save_result(Context&, const fs::path&, const std::map<std::string, std::string>&) override {}
  std::string fingerprint() const override { return ""; }

 private:
  Task& task_;
  Step step_;
};

// Gives weights that start at zero numbers. A new U-Net's last layers do, and pass no gradient to any other.
class WithoutZeros final : public ModelVisitor {
 public:
  void weight(Weight& w) override {
    std::vector<float> values = floats_of(w.value());
    if (std::any_of(values.begin(), values.end(), [](float v) { return v != 0; })) return;
    for (float& v : values) v = 0.1F * (random_.uniform() - 0.5F);
    Tensor same = w.value();
    set_floats(same, values);
  }

 private:
  HostRandom random_{{8, purpose("test"), 0, 0}};
};

// What a run came to.
struct Trail {
  std::vector<double> losses, norms;
  std::vector<float> first_gradient, parameters;  // without the loss scale
};

Trail train(Context& c, Task& task, int steps = kSteps) {
  Trail trail;
  TrainState state(c, task, {}, 0.5);
  const float scale = static_cast<float>(state.loss_scale().value());
  for (int i = 0; i < steps; ++i) {
    const std::uint64_t before = c.memory().downloads();
    const UpdateReport report = state.update(c, task, kRate, 1.0);
    EXPECT_EQ(c.memory().downloads(), before + 1) << "the device is read once, at the end of a step";
    EXPECT_FALSE(report.skipped);
    EXPECT_GT(report.grad_norm, 0);
    trail.losses.push_back(report.loss);
    trail.norms.push_back(report.grad_norm);
    if (i > 0) continue;
    trail.first_gradient = floats_of(state.arena().grad());
    for (float& g : trail.first_gradient) g /= scale;
  }
  trail.parameters = floats_of(state.arena().value());
  const std::vector<float> average = floats_of(state.ema()->average());
  trail.parameters.insert(trail.parameters.end(), average.begin(), average.end());
  return trail;
}

void expect_agreement(const Trail& cpu, const Trail& cuda, DType type = DType::f16,
                      double gradient_roundoffs = kRoundoffs) {
  const double within = kRoundoffs * roundoff(type);
  ASSERT_EQ(cpu.losses.size(), cuda.losses.size());
  for (std::size_t i = 0; i < cpu.losses.size(); ++i) {
    EXPECT_NEAR(cuda.losses[i], cpu.losses[i], within * cpu.losses[i]) << "step " << i;
    EXPECT_NEAR(cuda.norms[i], cpu.norms[i], within * cpu.norms[i]) << "step " << i;
  }
  const auto difference = [](const std::vector<float>& a, const std::vector<float>& b) {
    return relative_l2(std::span<const float>(a), std::span<const float>(b));
  };
  EXPECT_LE(difference(cuda.first_gradient, cpu.first_gradient), gradient_roundoffs * roundoff(type));
  EXPECT_LE(difference(cuda.parameters, cpu.parameters), within);
}

// A U-Net, with the runtime it lives in, whose step is one made-up micro-batch of one latent of 8 x 8.
struct UNetRun {
  UNetRun(Device device, const config::RunConfig& config, DType on_cuda = DType::f16)
      : runtime(device, std::size_t{1} << 30, 2, device.is_cuda() ? on_cuda : DType::f32), c(runtime) {
    c.seed = 3;
    constexpr int kPixels = 64;
    diffusion = std::make_unique<DiffusionTask>(config, load_model(c, config, {}, {"a b"}), nullptr);
    task = std::make_unique<Nudged>(*diffusion, [this](Context& step, std::int64_t, Tensor& loss) {
      diffusion->plan_step(step, {1, {kPixels, kPixels}}, loss);
    });
  }
  Runtime runtime;
  Context c;
  std::unique_ptr<DiffusionTask> diffusion;
  std::unique_ptr<Nudged> task;
};

// Smaller than the example's: emulated kernels are slow.
const char* const kSmallModel =
    "method: full\ntrain_data_dir: unused\nresolution: 64\noutput_dir: unused\n"
    "new_model: {unet: {model_channels: 32, channel_mult: [1, 2], num_res_blocks: 1, attention_levels: [1], "
    "num_heads: 8, context_dim: 64}, vae: {channel_mult: [1, 1, 1, 1]}, text_encoder: {width: 64, layers: 1, "
    "heads: 1}}\n";

config::RunConfig config_of(const std::string& yaml, const std::vector<std::string>& options = {}) {
  return config::parse_run_config(yaml, "test", options);
}

class CudaTraining : public ::testing::Test {
 protected:
  void SetUp() override {
    if (cuda::device_count() == 0) GTEST_SKIP() << "no CUDA device: training on CUDA was NOT tested";
    fs::current_path(RANKINE_SOURCE_DIR);
    fs::create_directories(folder);
  }
  void TearDown() override { fs::remove_all(folder); }

  // A small Stable Diffusion that nobody trained, as a file.
  config::RunConfig lora_on_unet(const std::vector<std::string>& options = {}) const {
    const fs::path base = folder / "base.safetensors";
    if (!fs::exists(base)) {
      Runtime r(Device::cpu());
      const config::RunConfig k = config_of(kSmallModel);
      const LoadedModel fresh = load_model(Context(r), k, {}, {"a b"});
      WithoutZeros changed;
      fresh.sd->unet.visit(changed);
      fresh.sd->save(base, {});
    }
    return config_of("base_model: " + base.string() +
                         "\ntrain_data_dir: examples/sd-style/data/style\nresolution: 64\nlora_rank: 4\n"
                         "output_dir: unused\n",
                     options);
  }
  config::RunConfig text_config(const std::string& more) const {
    return config::parse_run_config("task_type: text-generation\ntrain_data_dir: " +
                                        (folder / "rows.jsonl").string() + "\noutput_dir: unused\n" + more,
                                    "test");
  }
  // Rows, whose answers have so many more words, and a base model that nobody trained.
  void write_decoder(const std::vector<int>& more_words = std::vector<int>(6)) const {
    std::ofstream rows(folder / "rows.jsonl");
    for (std::size_t i = 0; i < more_words.size(); ++i) {
      rows << R"({"instruction": "Count to )" << i + 3 << R"(, please.", "output": "one two three four)";
      for (int word = 0; word < more_words[i]; ++word) rows << " more";
      rows << "\"}\n";
    }
    rows.close();
    Runtime r(Device::cpu());
    const Context c(r);
    LoadedDecoder fresh = load_decoder(
        c, text_config("method: full\nnew_model: {decoder: {vocab: 320, width: 64, mlp: 128, layers: 2, "
                       "heads: 4, kv_heads: 2, context: 128}}\n"));
    init_weights(c, *fresh.model, 3, DType::f32, [](const std::string&) { return false; });
    save_decoder_folder(folder / "base", fresh, config::SaveDtype::fp16, {});
  }
  config::RunConfig lora_on_decoder(const std::string& more = "") const {
    return text_config("base_model: " + (folder / "base").string() +
                       "\nlora_rank: 4\ntarget_modules: [all-linear]\nbatch_size: 2\n"
                       "custom_template: {user: \"Q {user}\\n\", assistant: \"A {assistant}\"}\n" +
                       more);
  }
  static std::unique_ptr<TextTask> text_task(const Context& c, const config::RunConfig& k) {
    const DecoderCheckpoint checkpoint = checkpoint_of(k);
    auto data = std::make_unique<TextData>(k, name_of(checkpoint.config.family),
                                           vocabulary_for(k, checkpoint).tokenizer);
    return std::make_unique<TextTask>(k, load_decoder(c, k), std::move(data));
  }
  // A decoder, with the runtime it lives in, that trains on the rows.
  struct DecoderRun {
    DecoderRun(Device device, const config::RunConfig& k, DType on_cuda = DType::f16)
        : runtime(device, std::size_t{1} << 30, 2, device.is_cuda() ? on_cuda : DType::f32), c(runtime) {
      c.seed = 3;
      text = text_task(c, k);
      task = std::make_unique<Nudged>(*text, [this](Context& step, std::int64_t number, Tensor& loss) {
        text->train_step(step, number, loss);
      });
    }
    Runtime runtime;
    Context c;
    std::unique_ptr<TextTask> text;
    std::unique_ptr<Nudged> task;
  };
  static std::string bytes_of(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  const fs::path folder = fs::path(::testing::TempDir()) / join("rankine-cuda-training-", ::getpid());
};

// A step is recorded once and launched from then on; with phases measured it never is. The bits are the same.
void expect_same_bits(const Trail& ordinary, const Trail& recorded) {
  EXPECT_EQ(ordinary.losses, recorded.losses);
  EXPECT_EQ(ordinary.parameters, recorded.parameters);
  EXPECT_NE(recorded.losses[1], recorded.losses[2]);
}

TEST_F(CudaTraining, UNetAgreesWithTheCpuRecordedOrNot) {
  const auto unet = [&](bool phases, DType type = DType::f16) {
    UNetRun r(Device::cuda(0), lora_on_unet(), type);
    r.runtime.phases().set(phases ? Phases::Detail::inside : Phases::Detail::graphs);
    const Trail trail = train(r.c, *r.task);
    EXPECT_EQ(r.diffusion->steps_recorded(), phases ? 0 : 1);
    EXPECT_EQ(r.diffusion->steps_launched(), phases ? 0 : kSteps - 1);
    std::vector<std::string> names;
    for (const Phases::Line& line : r.runtime.phases().take(r.c.device(), r.c.cuda_stream()))
      names.push_back(line.name);
    EXPECT_EQ(names, phases ? std::vector<std::string>({"forward", "backward", "update"})
                            : std::vector<std::string>({"forward", "backward", "update", "graph"}));
    return trail;
  };
  const Trail recorded = unet(false);
  expect_same_bits(unet(true), recorded);
  UNetRun r(Device::cpu(), lora_on_unet());
  const Trail cpu = train(r.c, *r.task);
  expect_agreement(cpu, recorded, DType::f16, kRoundoffsInUNet);
  SCOPED_TRACE("bf16");
  expect_agreement(cpu, unet(false, DType::bf16), DType::bf16, kRoundoffsInUNet);
}

TEST_F(CudaTraining, RecordedStepsOfADecoderHaveTheBitsOfOrdinaryOnes) {
  write_decoder();
  const auto decoder = [&](bool phases, const char* base) {  // dropouts make other numbers every step
    Runtime r(Device::cuda(0), std::size_t{1} << 30, 2, DType::f16);
    if (phases) r.phases().set(Phases::Detail::inside);
    Context c(r);
    c.seed = 3;
    const auto task = text_task(c, lora_on_decoder(join("lora_dropout: 0.2\n", base)));
    Nudged same_rows(*task,
                     [&](Context& step, std::int64_t, Tensor& loss) { task->train_step(step, 0, loss); });
    const Trail trail = train(c, same_rows);
    EXPECT_EQ(task->runner().graphs().launched(), phases ? 0 : kSteps - 1);
    EXPECT_EQ(task->runner().ahead() != nullptr, *base != 0);
    if (const DecodeAhead* ahead = task->runner().ahead()) {
      // Most weights, once a first pass has shown their order; a launched graph asks for none.
      const std::int64_t passes = phases ? kSteps : 2, each = (ahead->found() + ahead->decoded()) / passes;
      EXPECT_GT(ahead->found(), (passes - 1) * each / 2);
    }
    return trail;
  };
  for (const char* base : {"", "quantise_base: q4_0\n"})
    expect_same_bits(decoder(true, base), decoder(false, base));
}

TEST_F(CudaTraining, AllWeightsOfAUNetAgreeWithTheCpu) {
  const config::RunConfig k = config_of(kSmallModel);
  const auto run = [&](Device device) {
    UNetRun r(device, k);
    return train(r.c, *r.task);
  };
  expect_agreement(run(Device::cpu()), run(Device::cuda(0)));
}

// LoRA, and the adapters that start from the weight they adapt.
TEST_F(CudaTraining, DecoderAgreesWithTheCpu) {
  write_decoder();
  const auto run = [&](Device device, const std::string& adapter, DType on_cuda = DType::f16) {
    DecoderRun r(device, lora_on_decoder(adapter), on_cuda);
    return train(r.c, *r.task);
  };
  for (const char* adapter : {"", "use_dora: true\n", "lora_init: pissa\n", "quantise_base: q8_0\n"}) {
    SCOPED_TRACE(adapter);
    const Trail cpu = run(Device::cpu(), adapter);
    expect_agreement(cpu, run(Device::cuda(0), adapter));
    if (*adapter) continue;
    SCOPED_TRACE("bf16");
    expect_agreement(cpu, run(Device::cuda(0), adapter, DType::bf16), DType::bf16);
  }
}

// Columns and targets of the first steps of a run, each one micro-batch.
std::set<std::pair<std::int64_t, std::int64_t>> sizes_of(TextData& data, const TextShapes& shapes,
                                                         std::int64_t steps) {
  std::set<std::pair<std::int64_t, std::int64_t>> sizes;
  for (std::int64_t i = 0; i < steps; ++i) {
    const TextStep step = data.step(i);
    std::int64_t tokens = 0;
    for (const std::vector<std::size_t>& row : step.micro_batches.at(0))
      for (const std::size_t sequence : row)
        tokens += static_cast<std::int64_t>(data.sequences()[sequence].ids.size());
    const std::int64_t columns = shapes.columns(tokens);
    sizes.emplace(columns, shapes.targets(step.trained_tokens, columns));
  }
  return sizes;
}

// Hardly two micro-batches of rows of many lengths are alike; what they are rounded up to is, so that after
// an epoch each step launches a graph. Loss and gradients are those of the CPU, which adds nothing.
TEST_F(CudaTraining, RowsOfManyLengthsAreTrainedByLaunchingGraphs) {
  write_decoder({48, 52, 53, 55, 56, 60});
  DecoderRun cuda(Device::cuda(0), lora_on_decoder()), cpu(Device::cpu(), lora_on_decoder());
  TextData& data = cuda.text->data();
  const std::int64_t epoch = cuda.text->steps_per_epoch(), steps = 3 * epoch;
  const TextShapes rounded = TextShapes::recurring(data.most_tokens());
  const auto few = sizes_of(data, rounded, steps), exact = sizes_of(data, {}, steps);
  ASSERT_EQ(sizes_of(data, rounded, epoch), few) << "the first epoch has all of them";
  ASSERT_GE(exact.size(), 2 * few.size());
  ASSERT_FALSE(exact.contains(*few.begin()));

  const Trail trail = train(cuda.c, *cuda.task, static_cast<int>(steps));
  const auto& graphs = cuda.text->runner().graphs();
  EXPECT_EQ(graphs.launched(), steps - static_cast<std::int64_t>(few.size()));
  EXPECT_LE(graphs.recorded(), static_cast<std::int64_t>(few.size()));
  expect_agreement(train(cpu.c, *cpu.task, static_cast<int>(steps)), trail);
}

// The scale of `from`, a file of TrainState::save, becomes `scale` in `to`.
void set_loss_scale(const fs::path& from, const fs::path& to, double scale) {
  const SafetensorsFile file(from);
  MetadataTable metadata(file.metadata().begin(), file.metadata().end());
  metadata["loss_scale"] = std::to_string(scale);
  std::vector<TensorToWrite> tensors;
  for (const char* name : {"parameters", "adamw.m", "adamw.v", "ema"}) {
    std::vector<float> values(static_cast<std::size_t>(file.at(name).numel()));
    read_as_float(file.at(name), values);
    tensors.push_back(tensor_to_write(name, {file.at(name).numel()}, values, FileDType::f32));
  }
  write_safetensors(to, std::move(tensors), metadata);
}

// A loss scale so high that fp16 gradients overflow is halved until they do not; those steps change nothing.
// A checkpoint in between, loss scale included, goes on to the bytes of the unbroken run.
TEST_F(CudaTraining, OverflowsAreSkippedAndCheckpointsContinueToTheByte) {
  constexpr double kTooHigh = 16777216;
  UNetRun r(Device::cuda(0), lora_on_unet());
  TrainState state(r.c, *r.task, {}, 0.5);
  ASSERT_FALSE(state.update(r.c, *r.task, kRate, 1.0).skipped);
  state.save(folder / "good");
  set_loss_scale(folder / "good", folder / "high", kTooHigh);
  state.load(r.c, folder / "high");
  const auto tensors = [&] {
    std::vector<std::vector<float>> all{floats_of(state.arena().value()), floats_of(state.arena().working()),
                                        floats_of(state.ema()->average())};
    for (const NamedTensor& t : state.optimizer().state()) all.push_back(floats_of(t.tensor));
    return all;
  };
  const auto before = tensors();
  double scale = kTooHigh;
  UpdateReport report = state.update(r.c, *r.task, kRate, 1.0);
  EXPECT_TRUE(report.skipped);
  while (report.skipped && scale > 4096) {
    EXPECT_FALSE(std::isfinite(report.grad_norm));
    EXPECT_TRUE(std::isfinite(report.loss)) << "the loss is fp32";
    EXPECT_EQ(state.loss_scale().value(), scale /= 2);
    EXPECT_EQ(tensors(), before);
    EXPECT_EQ(state.counters().updates, 1);
    EXPECT_EQ(state.counters().bad_streak, 0);
    state.save(folder / "halved");
    report = state.update(r.c, *r.task, kRate, 1.0);
  }
  EXPECT_FALSE(report.skipped) << "at a loss scale of " << scale;
  EXPECT_NE(tensors(), before);
  EXPECT_EQ(state.counters().updates, 2);
  EXPECT_EQ(state.loss_scale().clean_steps(), 1);
  state.save(folder / "unbroken");

  UNetRun again(Device::cuda(0), lora_on_unet());
  TrainState resumed(again.c, *again.task, {}, 0.5);
  resumed.load(again.c, folder / "halved");
  EXPECT_EQ(resumed.loss_scale().value(), scale);
  EXPECT_FALSE(resumed.update(again.c, *again.task, kRate, 1.0).skipped);
  resumed.save(folder / "resumed");
  EXPECT_EQ(bytes_of(folder / "resumed"), bytes_of(folder / "unbroken"));
}

// Everything around a step runs there too: pictures become latents, validation, previews, the adapter's file.
TEST_F(CudaTraining, PicturesLatentsPreviewsAndFilesAgreeWithTheCpu) {
  struct Outcome {
    double loss = 0, validation = 0;
    Image preview;
    std::string result;
  };
  const config::RunConfig k = lora_on_unet(
      {"enable_bucket=false", "batch_size=2", "cache_latents=false", "validation_split=0.05", "sample_cfg=1",
       "sample_steps=1", "sample_count_steps=2", "sample_prompts=[a b]", "train_text_encoder=true"});
  const auto run = [&](Device device) {
    Runtime r(device, std::size_t{1} << 30, 2, device.is_cuda() ? DType::f16 : DType::f32);
    Context c(r);
    c.seed = 3;
    DiffusionTask task(k, load_model(c, k, {}, {}), std::make_unique<ImageData>(k, 64, 8));
    TrainState state(c, task, {}, 0);
    Outcome out;
    out.loss = state.update(c, task, kRate, 1.0).loss;
    out.validation = task.validate(c).value();
    out.preview = decode_image(task.preview(c, 2, folder).at(0));
    task.save_result(c, folder / "adapter.safetensors", {});
    out.result = bytes_of(folder / "adapter.safetensors");
    return out;
  };
  const Outcome cpu = run(Device::cpu()), cuda = run(Device::cuda(0));
  EXPECT_NEAR(cuda.loss, cpu.loss, kAgreement * cpu.loss);
  EXPECT_NEAR(cuda.validation, cpu.validation, kAgreement * cpu.validation);
  EXPECT_EQ(cuda.result.size(), cpu.result.size());
  ASSERT_EQ(cuda.preview.rgb.size(), cpu.preview.rgb.size());
  int furthest = 0;
  for (std::size_t i = 0; i < cpu.preview.rgb.size(); ++i)
    furthest = std::max(furthest, std::abs(cpu.preview.rgb[i] - cuda.preview.rgb[i]));
  EXPECT_LE(furthest, 4) << "of 255";
}

// Answers and scores of a decoder.
TEST_F(CudaTraining, AnswersAndScoresAgreeWithTheCpu) {
  write_decoder();
  const config::RunConfig k = lora_on_decoder("validation_data: " + (folder / "rows.jsonl").string() + "\n");
  const auto run = [&](Device device) {
    Runtime r(device, std::size_t{1} << 30, 2, device.is_cuda() ? DType::f16 : DType::f32);
    Context c(r);
    c.seed = 3;
    const auto task = text_task(c, k);
    TrainState state(c, *task, {}, 0);
    state.update(c, *task, kRate, 1.0);
    const double loss = task->validate(c).value();
    Conversation row;
    row.messages.push_back({Role::user, "Count to 3, please.", "", false});
    AnswerOptions options = answer_options(k);
    options.max_new_tokens = 4;
    return std::pair(loss, answer(c, task->model(), task->data().chat(), row, options));
  };
  const auto cpu = run(Device::cpu()), cuda = run(Device::cuda(0));
  EXPECT_NEAR(cuda.first, cpu.first, kAgreement * cpu.first);
  EXPECT_EQ(cuda.second, cpu.second) << "greedy";
}

}  // namespace
}  // namespace rankine
