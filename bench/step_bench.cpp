#include "bench/step_bench.h"

#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "bench/decoder_bench.h"
#include "bench/kernels_bench.h"
#include "bench/step_dump.h"
#include "bench/step_session.h"
#include "engine/core/transfer.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/loss/loss.h"
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

// Random fp16 weights in place of a file.
class PictureSession final : public StepSession {
 public:
  PictureSession(const StepBenchOptions& o, Device device, const WeightStreaming& streaming)
      : StepSession(o, device) {
    config::RunConfig config;
    config.adapter.lora_rank = o.rank;
    config.adapter.lora_conv_rank = o.conv_rank;
    config.adapter.train_text_encoder = o.text_encoder;
    LoadedModel model = model_for(o, config, streaming);
    stream_ = model.stream.get();
    task_ = std::make_unique<DiffusionTask>(config, std::move(model), nullptr);
    train(task_->params(), [&] { task_->init_params(context()); });
    batch_ = {o.batch, {o.resolution, o.resolution}};
  }
  void dump(const std::filesystem::path& folder) override;
  StepMemory& memory() override { return task_->step_memory(); }
  int streamable_units() const override { return stream_ ? stream_->units() : 0; }

 private:
  void micro_batch(Tensor& loss) override { task_->plan_step(context(), batch_, loss); }
  LoadedModel model_for(const StepBenchOptions& o, config::RunConfig& config,
                        const WeightStreaming& streaming) {
    if (!o.file.empty()) {
      config.model.base_model = o.file;
      return load_model(context(), config, {}, {}, streaming);
    }
    LoadedModel model;
    model.name = o.model;
    model.sd = std::make_unique<StableDiffusion>(published_sizes(family_named(o.model)),
                                                 std::make_shared<const ClipTokenizer>(""));
    UNet& unet = model.sd->unet;
    model.stream = std::make_unique<PagedWeightStream>(
        runtime(), [&](ModelVisitor& v) { unet.visit(v); }, streaming);
    model.sd->init(context(), 1, DType::f16, model.stream.get());
    // Nothing stays zero: products of zeros are not what training computes, and would hide every gradient.
    init_weights(
        context(), unet, 1, DType::f16, [](const std::string&) { return false; }, model.stream.get());
    return model;
  }

  std::unique_ptr<DiffusionTask> task_;
  const PagedWeightStream* stream_ = nullptr;  // the task's
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
void PictureSession::dump(const std::filesystem::path& folder) {
  StableDiffusion& sd = task_->model();
  require<ConfigError>(sd.family() == SdFamily::sd_v1, "--dump: expected a model of the SD 1.x layout, got ",
                       name_of(sd.family()));
  first_step();
  constexpr int kTimestep = 500;
  const std::vector<int> timesteps(static_cast<std::size_t>(batch_.samples), kTimestep);
  const TrainingFactors f = training_factors(task_->schedule(), {}, timesteps);
  const auto factor = [&](const std::vector<float>& values) {
    Tensor t = context().empty({batch_.samples}, "factors", DType::f32);
    set_floats(t, values);
    return t;
  };
  const std::int64_t side = batch_.picture.width / sd.vae.config.downscale();
  Tensor x0 = context().empty({batch_.samples, side, side, 4}, "latents");
  Tensor noise = context().like(x0, "noise"), x_t = context().like(x0, "x_t");
  Tensor eps = context().like(x0, "posterior noise"),
         moments = context().empty({batch_.samples, side, side, 8}, "moments");
  fill_normal(context(), moments, context().random(purpose("planned moments"), 0));
  for (std::int64_t n = 0; n < batch_.samples; ++n) {
    Tensor one = noise.slice(n, n + 1), other = eps.slice(n, n + 1);
    fill_normal(context(), one, context().random(purpose("noise"), static_cast<std::uint32_t>(n)));
    fill_normal(context(), other, context().random(purpose("posterior"), static_cast<std::uint32_t>(n)));
  }
  sample_posterior(context(), x0, moments, eps);
  scale(context(), x0, x0, sd.checkpoint().latent_scale);
  mix_per_sample(context(), x_t, factor(f.signal), x0, factor(f.noise), noise);

  StepDump dump;
  dump.model(sd.unet, "model.diffusion_model.");
  dump.model(*sd.text.encoders.front().model, "cond_stage_model.transformer.");
  const std::vector<std::string> captions(timesteps.size());
  const TextInputs text = sd.text.prepare(context(), captions, 75, {});
  dump.tensor("in/ids", text.tokens.front().ids);
  dump.tensor("in/context", sd.text.forward(context(), text).context);
  dump.tensor("in/x_t", x_t);
  dump.tensor("in/target", noise);
  dump.number("in/timestep", kTimestep);
  dump.tensor("out/loss", loss());
  dump.write(folder, sizes_of(sd));
}

}  // namespace

StepBenchResult run_step_bench(const StepBenchOptions& o) {
  if (is_decoder(o.model)) return run_decoder_bench(o);
  const MakeSession make = [&](Device device, const WeightStreaming& streaming) {
    return std::make_unique<PictureSession>(o, device, streaming);
  };
  if (o.dump.empty()) return measure_steps(o, make);
  make(bench_device(o.device), {})->dump(o.dump);
  return {};
}

namespace {

constexpr double kGiB = 1U << 30;

nlohmann::json to_json(const StepBenchOptions& o, const StepBenchResult& r) {
  nlohmann::json json{{"model", o.model},
                      {"device", o.device},
                      {"batch", o.batch},
                      {"rank", o.rank},
                      {"steps", o.steps},
                      {"seconds", r.seconds},
                      {"flops", r.flops},
                      {"peak_bytes", r.peak_bytes},
                      {"planned_bytes", r.planned_bytes},
                      {"planned_tracked_bytes", r.planned_tracked},
                      {"tracked_peak_bytes", r.tracked_peak},
                      {"units", r.units.size()},
                      {"paged_units", r.paged_units()},
                      {"recomputed_units", r.recomputed_units()},
                      {"streamed_units", r.policy.streamed_units},
                      {"tape_peak_bytes", r.traffic.tape_peak},
                      {"moved_bytes", r.traffic.moved()},
                      {"waited_seconds", r.traffic.waited_for_pages + r.traffic.waited_for_weights},
                      {"streamed_bytes", r.streamed_bytes},
                      {"matmul_gflops", r.matmul_gflops},
                      {"matmul_share", r.matmul_share},
                      {"load_seconds", r.load_seconds},
                      {"first_step_seconds", r.first_step_seconds}};
  for (const Phases::Line& line : r.phases) json["phase_milliseconds"][line.name] = 1e3 * line.seconds;
  if (o.device != "cpu") json.update({{"type", o.type}, {"busy", r.busy}});
  if (is_decoder(o.model))
    json.update({{"tokens", o.tokens},
                 {"base", o.base},
                 {"tokens_per_second", static_cast<double>(o.tokens) / r.seconds}});
  else
    json["resolution"] = o.resolution;
  return json;
}

}  // namespace

void print(const StepBenchOptions& o, const StepBenchResult& r) {
  if (o.json) {
    std::puts(to_json(o, r).dump().c_str());
    return;
  }
  if (is_decoder(o.model))
    std::printf("%s %s  %lld tokens  rank %d  %s: %.2f ms a step, %.1f tokens/s", o.model.c_str(),
                o.base.c_str(), static_cast<long long>(o.tokens), o.rank, o.device.c_str(), 1e3 * r.seconds,
                static_cast<double>(o.tokens) / r.seconds);
  else
    std::printf("%s  %d px  batch %d  rank %d  %s: %.2f ms a step", o.model.c_str(), o.resolution, o.batch,
                o.rank, o.device.c_str(), 1e3 * r.seconds);
  std::printf(", %.1f GFLOP, %.1f GFLOP/s = %.2f of matmul (%.1f GFLOP/s)\n ", r.flops * 1e-9,
              r.flops / r.seconds * 1e-9, r.matmul_share, r.matmul_gflops);
  for (const Phases::Line& line : r.phases)
    std::printf(" %s %.2f ms;", line.name.c_str(), 1e3 * line.seconds);
  if (o.device != "cpu") std::printf(" device busy %.3f of the step;", r.busy);
  if (r.streamed_bytes > 0)
    std::printf(" %.3f GiB of weights streamed;", static_cast<double>(r.streamed_bytes) / kGiB);
  std::printf(" loaded in %.2f s, first step done after %.2f s\n  peak %.3f GiB, planned %.3f GiB (%.3f)\n",
              r.load_seconds, r.first_step_seconds, static_cast<double>(r.peak_bytes) / kGiB,
              static_cast<double>(r.planned_bytes) / kGiB,
              static_cast<double>(r.peak_bytes) / static_cast<double>(r.planned_bytes));
}

}  // namespace rankine::bench
