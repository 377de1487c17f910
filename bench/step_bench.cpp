#include "bench/step_bench.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/decoder_bench.h"
#include "bench/roofline.h"
#include "bench/step_dump.h"
#include "engine/core/transfer.h"
#include "engine/train/adamw.h"
#include "engine/train/param_arena.h"
#include "engine/train/resources.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"
#include "models/nn/load.h"
#include "models/tasks/diffusion_task.h"

namespace rankine::bench {
namespace {

SdFamily family_named(const std::string& name) {
  static const std::map<std::string, SdFamily> names{
      {"sd15", SdFamily::sd_v1}, {"sd21", SdFamily::sd_v2}, {"sdxl", SdFamily::sdxl}};
  const auto it = names.find(name);
  require<ConfigError>(it != names.end(),
                       "--model: expected sd15, sd21, sdxl, llama7b, llama1b or chatglm3, got ", name);
  return it->second;
}

// The run as `rankine train` would set it up, with random fp16 weights in place of a file.
class Session {
 public:
  Session(const StepBenchOptions& o, Device device)
      : runtime_(device, Memory::kUnlimited, o.threads), context_(runtime_) {
    context_.seed = 1;
    config::RunConfig config;
    config.adapter.lora_rank = o.rank;
    config.adapter.lora_conv_rank = o.conv_rank;
    config.adapter.train_text_encoder = o.text_encoder;
    config.machine.recompute = o.recompute;
    task_ = std::make_unique<DiffusionTask>(config, model_for(o, config), nullptr);
    arena_ = std::make_unique<ParamArena>(context_, task_->params());
    adamw_ = std::make_unique<AdamW>(context_, *arena_, AdamWOptions{});
    task_->init_params(context_);
    state_ = make_step_state(context_, {.lr = 1e-4F, .max_norm = 1});
    loss_ = context_.empty({1}, "loss", DType::f32);
    batch_ = {o.batch, {o.resolution, o.resolution}};
  }

  void step(std::uint32_t number) {
    forward_backward(number);
    adamw_->step(context_, *arena_, state_, loss_, nullptr);
    read_step_state(context_, state_);
  }

  Runtime& runtime() { return runtime_; }
  void dump(const std::filesystem::path& folder);

 private:
  void forward_backward(std::uint32_t number) {
    context_.step = number;
    arena_->zero_grad(context_);
    fill(context_, loss_, 0);
    task_->plan_step(context_, batch_, loss_);
  }
  LoadedModel model_for(const StepBenchOptions& o, config::RunConfig& config) {
    if (!o.file.empty()) {
      config.model.base_model = o.file;
      return load_model(context_, config, {}, {});
    }
    LoadedModel model;
    model.name = o.model;
    model.sd = std::make_unique<StableDiffusion>(published_sizes(family_named(o.model)),
                                                 std::make_shared<const ClipTokenizer>(""));
    model.sd->init(context_, 1, DType::f16);
    // Nothing stays zero: products of zeros are not what training computes, and would hide every gradient.
    init_weights(context_, model.sd->unet, 1, DType::f16, [](const std::string&) { return false; });
    return model;
  }

  Runtime runtime_;
  Context context_;
  std::unique_ptr<DiffusionTask> task_;
  std::unique_ptr<ParamArena> arena_;
  std::unique_ptr<AdamW> adamw_;
  Tensor state_, loss_;
  PlannedBatch batch_;
};

nlohmann::json sizes_of(const StableDiffusion& sd) {
  const UNetConfig& u = sd.unet.config();
  const TextConditioner::Encoder& text = sd.text.encoders.front();
  const ClipTextConfig& t = text.model->config();
  return {{"kind", "unet"},
          {"model_channels", u.model_channels},
          {"channel_mult", u.channel_mult},
          {"res_blocks", u.res_blocks},
          {"transformer_depth", u.transformer_depth},
          {"context_dim", u.context_dim},
          {"heads", u.num_heads},
          {"norm_groups", u.norm_groups},
          {"text_layers", t.layers},
          {"text_width", t.width},
          {"text_heads", t.heads},
          {"text_mlp", t.mlp},
          {"text_vocab", t.vocab}};
}

// The inputs are drawn again as DiffusionTask::plan_step draws them; the loss would show a difference.
void Session::dump(const std::filesystem::path& folder) {
  StableDiffusion& sd = task_->model();
  require<ConfigError>(sd.family() == SdFamily::sd_v1, "--dump: expected a model of the SD 1.x layout, got ",
                       name_of(sd.family()));
  randomise_up(context_, task_->params());
  forward_backward(0);
  constexpr int kTimestep = 500;
  const std::vector<int> timesteps(static_cast<std::size_t>(batch_.samples), kTimestep);
  const TrainingFactors f = training_factors(task_->schedule(), {}, timesteps);
  const auto factor = [&](const std::vector<float>& values) {
    Tensor t = context_.empty({batch_.samples}, "factors", DType::f32);
    set_floats(t, values);
    return t;
  };
  const std::int64_t side = batch_.picture.width / sd.vae.config.downscale();
  Tensor x0 = context_.empty({batch_.samples, side, side, 4}, "latents");
  Tensor noise = context_.like(x0, "noise"), x_t = context_.like(x0, "x_t");
  fill_normal(context_, x0, context_.random(purpose("planned latents"), 0));
  for (std::int64_t n = 0; n < batch_.samples; ++n) {
    Tensor one = noise.slice(n, n + 1);
    fill_normal(context_, one, context_.random(purpose("noise"), static_cast<std::uint32_t>(n)));
  }
  mix_per_sample(context_, x_t, factor(f.signal), x0, factor(f.noise), noise);

  StepDump dump;
  dump.model(sd.unet, "model.diffusion_model.");
  dump.model(*sd.text.encoders.front().model, "cond_stage_model.transformer.");
  const std::vector<std::string> captions(timesteps.size());
  const TextInputs text = sd.text.prepare(context_, captions, 75, {});
  dump.tensor("in/ids", text.tokens.front().ids);
  dump.tensor("in/context", sd.text.forward(context_, text).context);
  dump.tensor("in/x_t", x_t);
  dump.tensor("in/target", noise);
  dump.number("in/timestep", kTimestep);
  dump.tensor("out/loss", loss_);
  dump.write(folder, sizes_of(sd));
}

}  // namespace

StepBenchResult run_step_bench(const StepBenchOptions& o) {
  if (is_decoder(o.model)) return run_decoder_bench(o);
  StepBenchResult r;
  if (!o.dump.empty()) {
    Session(o, Device::cpu()).dump(o.dump);
    return r;
  }
  {
    Session plan(o, Device::cpu().planned());
    plan.runtime().cost().clear();
    plan.step(0);
    r.flops = plan.runtime().cost().flops();
    r.planned_bytes = plan.runtime().memory().high_water();
  }
  Session run(o, Device::cpu());
  run.step(0);
  run.runtime().cost().clear();
  std::vector<double> seconds;
  for (int i = 0; i < o.steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run.step(static_cast<std::uint32_t>(i + 1));
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(seconds.begin(), seconds.end());
  r.seconds = seconds[seconds.size() / 2];
  r.peak_rss_bytes = host_memory().peak;
  if (o.profile) std::fputs(run.runtime().cost().report().c_str(), stderr);
  r.matmul_gflops = measure_sgemm_rate(run.runtime().pool()).best() * 1e-9;
  r.matmul_share = r.flops / r.seconds / (r.matmul_gflops * 1e9);
  return r;
}

void print(const StepBenchOptions& o, const StepBenchResult& r) {
  if (o.json) {
    nlohmann::json json{{"model", o.model},
                        {"resolution", o.resolution},
                        {"batch", o.batch},
                        {"rank", o.rank},
                        {"seconds", r.seconds},
                        {"flops", r.flops},
                        {"peak_rss_bytes", r.peak_rss_bytes},
                        {"planned_bytes", r.planned_bytes},
                        {"matmul_gflops", r.matmul_gflops},
                        {"matmul_share", r.matmul_share}};
    if (is_decoder(o.model)) {
      json.erase("resolution");
      json.update({{"tokens", o.tokens},
                   {"base", o.base},
                   {"tokens_per_second", r.tokens_per_second},
                   {"load_seconds", r.load_seconds},
                   {"first_step_seconds", r.first_step_seconds}});
    }
    std::puts(json.dump().c_str());
    return;
  }
  if (is_decoder(o.model)) {
    std::printf(
        "%s %s  %lld tokens  rank %d: %.2f s a step, %.1f tokens/s, %.1f GFLOP, %.2f of matmul (%.1f "
        "GFLOP/s)\n",
        o.model.c_str(), o.base.c_str(), static_cast<long long>(o.tokens), o.rank, r.seconds,
        r.tokens_per_second, r.flops * 1e-9, r.matmul_share, r.matmul_gflops);
    std::printf(
        "  loaded in %.2f s, first step done after %.2f s; peak resident %.2f GiB, planned %.2f GiB\n",
        r.load_seconds, r.first_step_seconds, double(r.peak_rss_bytes) / (1U << 30),
        double(r.planned_bytes) / (1U << 30));
    return;
  }
  std::printf(
      "%s  %d px  batch %d  rank %d: %.2f s a step, %.1f GFLOP, %.1f GFLOP/s = %.2f of matmul (%.1f "
      "GFLOP/s)\n",
      o.model.c_str(), o.resolution, o.batch, o.rank, r.seconds, r.flops * 1e-9, r.flops / r.seconds * 1e-9,
      r.matmul_share, r.matmul_gflops);
  std::printf("  peak resident %.2f GiB, planned %.2f GiB (%.3f)\n", double(r.peak_rss_bytes) / (1U << 30),
              double(r.planned_bytes) / (1U << 30), double(r.peak_rss_bytes) / double(r.planned_bytes));
}

}  // namespace rankine::bench
