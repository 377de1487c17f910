#include "models/tasks/diffusion_task.h"

#include <algorithm>
#include <array>

#include "engine/core/finite.h"
#include "engine/core/transfer.h"
#include "engine/tape/weight_stream.h"
#include "io/files/sha256.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/loss/loss.h"
#include "kernels/random/random.h"
#include "kernels/reduce/reduce.h"
#include "models/tasks/adapter_metadata.h"

namespace rankine {
namespace {

// Timesteps of the validation loss, spread over the schedule.
constexpr std::array<int, 4> kValidationTimesteps{125, 375, 625, 875};

LoraPlan lora_plan(const config::RunConfig& k) {
  const config::AdapterSection& a = k.adapter;
  LoraSpec spec;
  spec.rank = static_cast<int>(a.lora_rank);
  spec.alpha = static_cast<float>(a.alpha());
  spec.rank_stabilised = a.use_rslora;
  spec.dropout = {static_cast<float>(a.lora_dropout), static_cast<float>(a.lora_rank_dropout),
                  static_cast<float>(a.lora_module_dropout)};
  spec.up_group.lr_scale = a.lora_plus_ratio;
  LoraPlan plan{spec, std::nullopt, std::nullopt, a.target_modules};
  if (a.lora_conv_rank > 0) {
    plan.conv = spec;
    plan.conv->rank = static_cast<int>(a.lora_conv_rank);
    plan.conv->alpha = static_cast<float>(a.conv_alpha());
  }
  if (a.train_text_encoder) {
    const double ratio = a.text_encoder_lr.value_or(k.optim.learning_rate) / k.optim.learning_rate;
    plan.text_encoder = spec;
    plan.text_encoder->down_group.lr_scale *= ratio;
    plan.text_encoder->up_group.lr_scale *= ratio;
  }
  return plan;
}

// Modules of an existing LoRA keep their ranks; learning rates come from this run.
LoraChooser continue_from(const AdapterFile& file, const LoraPlan& plan) {
  return [from_file = chooser_from_file(file), plan](const LoraTarget& t) -> std::optional<LoraSpec> {
    auto spec = from_file(t);
    if (!spec) return std::nullopt;
    const LoraSpec& rates = t.text_encoder && plan.text_encoder ? *plan.text_encoder : plan.unet;
    spec->dropout = rates.dropout;
    spec->down_group = rates.down_group;
    spec->up_group = rates.up_group;
    return spec;
  };
}

class FullTraining final : public ModelVisitor {
 public:
  FullTraining(std::vector<Weight*>& out, double lr_scale, std::string prefix)
      : out_(out), lr_scale_(lr_scale), prefix_(std::move(prefix)) {}
  void weight(Weight& w) override {
    w.train({lr_scale_, w.kind() == WeightKind::matrix}).name = prefix_ + w.path();
    out_.push_back(&w);
  }

 private:
  std::vector<Weight*>& out_;
  double lr_scale_;
  std::string prefix_;
};

LossWeighting weighting(const config::ObjectiveSection& o) {
  return {o.min_snr_gamma > 0 ? LossWeight::min_snr : LossWeight::none, o.min_snr_gamma};
}

std::optional<std::filesystem::path> cache_folder(const config::RunConfig& k) {
  if (!k.data.cache_latents) return std::nullopt;
  return std::filesystem::path(k.data.cache_dir.value_or(k.output.output_dir + "/cache"));
}

}  // namespace

DiffusionTask::DiffusionTask(const config::RunConfig& config, LoadedModel model,
                             std::unique_ptr<ImageData> data)
    : config_(config),
      model_(std::move(model)),
      data_(std::move(data)),
      schedule_(noise_schedule_for(config, *model_.sd)),
      latents_(*model_.sd, model_.vae_sha256, cache_folder(config)) {
  if (model_.stream) step_memory().weights = model_.stream->pages();
  StableDiffusion& sd = *model_.sd;
  const double text_ratio =
      config.adapter.text_encoder_lr.value_or(config.optim.learning_rate) / config.optim.learning_rate;
  const int encoders = static_cast<int>(sd.text.encoders.size());
  if (full()) {
    FullTraining unet(trained_weights_, 1.0, "unet.");
    sd.unet.visit(unet);
    for (int i = 0; i < encoders && text_trains(); ++i) {
      FullTraining text(trained_weights_, text_ratio, "text_encoder" + std::to_string(i + 1) + ".");
      sd.text.encoders[i].model->visit(text);
    }
    return;
  }
  const LoraPlan plan = lora_plan(config);
  LoraChooser choose = [plan](const LoraTarget& t) { return plan.choose(t); };
  if (config.adapter.init_lora) {
    initial_adapter_ = read_adapter(std::filesystem::path(*config.adapter.init_lora));
    choose = continue_from(*initial_adapter_, plan);
  }
  network_.attach(sd.unet, choose);
  for (int i = 0; i < encoders && text_trains(); ++i) {
    network_.attach(*sd.text.encoders[i].model, i, encoders, choose);
  }
  require<ConfigError>(network_.unet_modules() + network_.text_modules() > 0,
                       "target_modules: no module of this model matches");
}

std::vector<Param*> DiffusionTask::params() {
  if (!full()) return network_.params();
  std::vector<Param*> all;
  for (Weight* w : trained_weights_) all.push_back(&w->param());
  return all;
}

void DiffusionTask::init_params(Context& c) {
  if (!full()) {
    network_.init(c, c.seed);
    if (initial_adapter_ && !c.planning()) network_.from_file(*initial_adapter_);
    return;
  }
  for (Weight* w : trained_weights_) {
    Tensor value = w->param().value;
    copy(c, value, w->initial());
    w->drop_initial();
  }
}

void DiffusionTask::fill_latent_cache(const Context& c, const std::function<void(int, int)>& progress) {
  if (!keeps_latents()) return;
  const std::vector<Visit> crops = data_->all_crops();
  for (std::size_t i = 0; i < crops.size(); ++i) {
    if (i + 1 < crops.size())
      latents_.ahead(c, data_->samples()[crops[i + 1].sample], crops[i + 1].crop, true);
    latents_.store(c, data_->samples()[crops[i].sample], crops[i].crop);
    if (progress) progress(static_cast<int>(i) + 1, static_cast<int>(crops.size()));
  }
}

// ---- one micro-batch ----

void DiffusionTask::decode_ahead(const Context& c, const Samples& samples, const MicroBatch& batch) {
  latents_.forget_ahead();
  for (const Visit& v : batch) latents_.ahead(c, samples[v.sample], v.crop, keeps_latents());
}

DiffusionTask::Choices DiffusionTask::choose(const Context& c, const Samples& samples,
                                             const MicroBatch& batch, float share) const {
  const auto low = static_cast<int>(config_.objective.min_timestep),
             high = static_cast<int>(config_.objective.max_timestep);
  Choices out;
  for (std::size_t n = 0; n < batch.size(); ++n) {
    const Visit& v = batch[n];
    const ImageSize original = samples[v.sample].size;
    out.timesteps.push_back(
        draw_timestep(c.random(purpose("timestep"), static_cast<std::uint32_t>(n)), low, high));
    out.captions.push_back(v.caption);
    out.sizes.push_back({static_cast<float>(original.height), static_cast<float>(original.width),
                         static_cast<float>(v.crop.crop_y), static_cast<float>(v.crop.seen_crop_x()),
                         static_cast<float>(v.crop.h), static_cast<float>(v.crop.w)});
    out.weight.push_back(share * v.weight);
  }
  return out;
}

Tensor DiffusionTask::moments_of(const Context& c, const Samples& samples, const MicroBatch& batch) {
  const VaeConfig& vae = model_.sd->vae.config;
  const CropPlan& crop = batch.at(0).crop;
  Tensor moments = c.empty({static_cast<std::int64_t>(batch.size()), crop.h / vae.downscale(),
                            crop.w / vae.downscale(), 2 * vae.latent_channels},
                           "moments");
  if (c.planning() && keeps_latents()) return moments;  // a run reads them; encoding is a part of its own
  for (std::size_t n = 0; n < batch.size(); ++n) {
    const auto i = static_cast<std::int64_t>(n);
    Tensor one = moments.slice(i, i + 1);
    latents_.get(c, samples[batch[n].sample], batch[n].crop, keeps_latents(), one);
  }
  return moments;
}

DiffusionTask::Inputs DiffusionTask::upload(const Context& c, Tensor moments, const Choices& k) const {
  const TrainingFactors f = training_factors(schedule_, weighting(config_.objective), k.timesteps);
  std::vector<float> weight(k.weight);
  for (std::size_t n = 0; n < weight.size(); ++n) weight[n] *= f.weight[n] * c.loss_scale;
  const std::vector<float> timesteps(k.timesteps.begin(), k.timesteps.end());

  const auto n = static_cast<std::int64_t>(weight.size());
  std::vector<float> numbers;
  for (const std::vector<float>* values : std::initializer_list<const std::vector<float>*>{
           &timesteps, &f.signal, &f.noise, &f.target_x0, &f.target_eps, &weight})
    numbers.insert(numbers.end(), values->begin(), values->end());
  Tensor all = c.empty({static_cast<std::int64_t>(numbers.size())}, "timesteps and factors", DType::f32);
  set_floats(all, numbers);
  const auto row = [&](std::int64_t i) { return all.flat(i * n, {n}); };
  return {std::move(moments),
          row(0),
          row(1),
          row(2),
          row(3),
          row(4),
          row(5),
          model_.sd->text.prepare(c, k.captions, static_cast<int>(config_.data.max_token_length), k.sizes)};
}

DiffusionTask::Inputs DiffusionTask::prepare(const Context& c, const Samples& samples,
                                             const MicroBatch& batch, float share) {
  return upload(c, moments_of(c, samples, batch), choose(c, samples, batch, share));
}

namespace {

// Normal numbers, those of each sample from its own stream.
Tensor draw_normal(const Context& c, const Shape& shape, const char* what) {
  Tensor all = c.empty(shape, what);
  for (std::int64_t n = 0; n < shape[0]; ++n) {
    Tensor one = all.slice(n, n + 1);
    fill_normal(c, one, c.random(purpose(what), static_cast<std::uint32_t>(n)));
  }
  return all;
}

}  // namespace

Tensor DiffusionTask::draw_latents(const Context& c, const Tensor& moments) const {
  Tensor x0 = c.empty(moments.shape().with_dim(-1, moments.cols() / 2), "latents");
  sample_posterior(c, x0, moments, draw_normal(c, x0.shape(), "posterior"));
  scale(c, x0, x0, model_.sd->checkpoint().latent_scale);
  return x0;
}

Tensor DiffusionTask::draw_noise(const Context& c, const Shape& shape) const {
  Tensor noise = draw_normal(c, shape, "noise");
  if (config_.objective.noise_offset > 0) {
    Tensor offset = draw_normal(c, {shape[0], shape[3]}, "noise offset");
    scale(c, offset, offset, static_cast<float>(config_.objective.noise_offset));
    add_per_sample(c, noise, offset);
  }
  return noise;
}

DiffusionTask::Predicted DiffusionTask::predict(const Context& c, const Inputs& in) {
  StableDiffusion& sd = *model_.sd;
  const Tensor x0 = draw_latents(c, in.moments);
  const Tensor noise = draw_noise(c, x0.shape());
  Predicted out;
  out.target = c.like(x0, "target");
  Tensor x_t = c.like(x0, "x_t");
  mix_per_sample(c, x_t, in.signal, x0, in.noise, noise);
  mix_per_sample(c, out.target, in.target_x0, x0, in.target_eps, noise);
  out.condition = sd.text.forward(text_trains() ? c : c.without_tape(), in.text);
  out.pred =
      sd.unet.forward(c, {x_t, in.timesteps, out.condition.context, out.condition.vector, text_trains()});
  return out;
}

std::vector<Tensor*> DiffusionTask::Inputs::tensors() {
  std::vector<Tensor*> all{&moments,   &timesteps,  &signal, &noise,
                           &target_x0, &target_eps, &weight, &text.sizes};
  for (ClipInput& one : text.tokens) all.insert(all.end(), {&one.ids, &one.ends});
  return all;
}

void DiffusionTask::run(const Context& c, Inputs in, Tensor& loss) {
  const bool recordable = config_.adapter.lora_module_dropout == 0;  // the host drops whole modules
  graphs_.run(c, std::move(in), recordable,
              [&](const Context& local, const Inputs& inputs) { compute(local, inputs, loss); });
}

void DiffusionTask::compute(const Context& c, const Inputs& in, Tensor& loss) {
  const WeightPass pass(c);
  Tape tape(&step_memory());
  const Context recording = c.with_tape(tape);
  c.phase("forward");
  const Predicted p = predict(recording, in);
  c.phase("backward");
  Tensor losses = c.like(in.weight, "losses"), dpred = c.like(p.pred, "d prediction");
  regression_loss(c, losses, dpred, p.pred, p.target, in.weight, regression_of(config_.objective));
  add_sum(c, loss, losses);
  backward(recording, p, dpred);
  c.phase("");
}

void DiffusionTask::backward(const Context& c, const Predicted& p, const Tensor& dpred) {
  StableDiffusion& sd = *model_.sd;
  Conditioning d;
  UNetInputGrads grads;
  if (text_trains()) {
    d.context = c.like(p.condition.context, "d context");
    fill(c, d.context, 0);
    grads.dcontext = &d.context;
    if (p.condition.vector.defined()) {
      d.vector = c.like(p.condition.vector, "d vector");
      fill(c, d.vector, 0);
      grads.dvector = &d.vector;
    }
  }
  sd.unet.backward(c, dpred, grads);
  if (text_trains()) sd.text.backward(c, d);
}

StepStats DiffusionTask::train_step(Context& c, std::int64_t step, Tensor& loss) {
  const std::vector<MicroBatch> micro = data_->step(step);
  StepStats stats;
  float total = 0;
  for (const MicroBatch& batch : micro) {
    stats.samples += static_cast<std::int64_t>(batch.size());
    for (const Visit& v : batch) total += v.weight;
  }
  Context local = c;
  local.training = true;
  std::uint32_t first = 0;
  for (std::size_t i = 0; i < micro.size(); ++i) {
    local.first_sample = first;
    Inputs in = prepare(local, data_->samples(), micro[i], 1.0F / total);
    decode_ahead(c, data_->samples(), i + 1 < micro.size() ? micro[i + 1] : data_->step(step + 1).front());
    run(local, std::move(in), loss);
    first += static_cast<std::uint32_t>(micro[i].size());
  }
  stats.epoch = static_cast<double>(step + 1) / static_cast<double>(steps_per_epoch());
  return stats;
}

std::string DiffusionTask::why_not_finite(Context& c, std::int64_t step) {
  if (keeps_latents()) return "";  // they were looked at when they were made
  try {
    for (const MicroBatch& batch : data_->step(step)) {
      for (const Visit& v : batch)
        latents_.require_finite(c.without_tape(), data_->samples()[v.sample], v.crop);
    }
  } catch (const DataError& e) {
    return e.what();
  }
  return "";
}

std::optional<double> DiffusionTask::validate(Context& c) {
  const MicroBatch& fixed = data_->validation();
  if (fixed.empty()) return std::nullopt;
  Context local = c.without_tape();
  local.training = false;
  local.step = 0;  // the same noise whenever it is asked for
  local.seed = static_cast<std::uint64_t>(config_.optim.seed);
  const WeightPass pass(c);
  double total = 0;
  std::uint32_t first = 0;
  for (const Visit& v : fixed) {
    for (const int timestep : kValidationTimesteps) {
      stop().throw_if_set();
      local.first_sample = first++;
      Choices choices = choose(local, data_->samples(), {v}, 1.0F);
      choices.timesteps = {timestep};
      choices.weight = {1.0F};
      const Inputs in = upload(local, moments_of(local, data_->samples(), {v}), choices);
      const Predicted p = predict(local, in);
      Tensor losses = c.like(in.weight, "losses"), none;
      regression_loss(c, losses, none, p.pred, p.target, in.weight, regression_of(config_.objective));
      total += sum(c, losses);
    }
  }
  return total / static_cast<double>(fixed.size() * kValidationTimesteps.size());
}

DiffusionTask::Inputs DiffusionTask::prepare_planned(const Context& c, const PlannedBatch& batch) {
  const auto n = static_cast<std::size_t>(batch.samples);
  const float share = 1.0F / static_cast<float>(n);
  if (c.planning() && encodes_in_step()) {
    Samples picture(1);
    picture[0].size = batch.picture;
    Visit v;
    v.crop = {batch.picture.width, batch.picture.height, 0, 0, batch.picture.width, batch.picture.height};
    const MicroBatch visits(n, v);
    decode_ahead(c, picture, visits);
    Inputs in = prepare(c, picture, visits, share);
    decode_ahead(c, picture, visits);
    return in;
  }
  Choices choices;
  choices.timesteps.assign(n, 500);
  choices.captions.assign(n, "");
  choices.sizes.assign(n, {});
  choices.weight.assign(n, share);
  const VaeConfig& vae = model_.sd->vae.config;
  Tensor moments = c.empty({batch.samples, batch.picture.height / vae.downscale(),
                            batch.picture.width / vae.downscale(), 2 * vae.latent_channels},
                           "moments");
  fill_normal(c, moments, c.random(purpose("planned moments"), 0));
  return upload(c, std::move(moments), choices);
}

void DiffusionTask::plan_step(Context& c, const PlannedBatch& batch, Tensor& loss) {
  Context local = c;
  local.training = true;
  run(local, prepare_planned(local, batch), loss);
}

// ---- previews and results ----

std::vector<std::filesystem::path> DiffusionTask::preview(Context& c, std::int64_t step,
                                                          const std::filesystem::path& folder) {
  latents_.forget_ahead();  // decoded again for the next step; the peak may be here
  std::vector<std::filesystem::path> files;
  const ImageSize side = data_->resolution();
  const config::OutputSection& out = config_.output;
  for (std::size_t i = 0; i < out.sample_prompts.size(); ++i) {
    const config::SamplePrompt& p = out.sample_prompts[i];
    PictureRequest r;
    r.prompt = p.prompt;
    r.negative = p.negative;
    r.width = static_cast<int>(p.width.value_or(side.width));
    r.height = static_cast<int>(p.height.value_or(side.height));
    r.steps = static_cast<int>(p.steps.value_or(out.sample_count_steps));
    r.cfg = p.cfg.value_or(out.sample_cfg);
    r.seed = static_cast<std::uint64_t>(p.seed.value_or(config_.optim.seed));
    r.sampler = sampler_name_of(p.sampler.value_or(out.sample_sampler));
    r.max_tokens = static_cast<int>(config_.data.max_token_length);
    r.stop = stop();
    r.warn = [this](const std::string& message) { warn(message); };
    const Image picture = generate_picture(c, *model_.sd, schedule_, r);
    std::string number = std::to_string(step);
    number.insert(0, number.size() < 6 ? 6 - number.size() : 0, '0');
    const std::filesystem::path file = folder / join("step-", number, "-", i + 1, ".png");
    const std::array<PngText, 1> text{parameters_text(r, model_.name)};
    if (!c.planning()) write_png(file, picture, text);
    files.push_back(file);
  }
  return files;
}

namespace {

FileDType save_dtype(config::SaveDtype t) {
  switch (t) {
    case config::SaveDtype::fp16:
      return FileDType::f16;
    case config::SaveDtype::bf16:
      return FileDType::bf16;
    case config::SaveDtype::fp32:
      return FileDType::f32;
  }
  return FileDType::f16;
}

// What was written is read back as a stranger would: the same modules, shapes and finite numbers, none a
// no-op that was not one in memory.
void check_adapter(const std::filesystem::path& path, const std::vector<AdapterModule>& expected) {
  const AdapterFile back = read_adapter(path);
  std::map<std::string, const AdapterModule*> by_name;
  for (const AdapterModule& m : back.modules) by_name[m.name] = &m;
  require<DataError>(by_name.size() == expected.size(), path.string(), ": self-check: ", by_name.size(),
                     " modules, expected ", expected.size());
  const auto zero = [](const std::vector<float>& v) {
    return std::all_of(v.begin(), v.end(), [](float x) { return x == 0; });
  };
  for (const AdapterModule& m : expected) {
    const auto it = by_name.find(m.name);
    require<DataError>(it != by_name.end(), path.string(), ": self-check: module ", m.name, " is missing");
    require<DataError>(it->second->down_shape == m.down_shape && it->second->up_shape == m.up_shape,
                       path.string(), ": self-check: ", m.name, " has other shapes");
    require<DataError>(all_finite(it->second->down) && all_finite(it->second->up), path.string(),
                       ": self-check: ", m.name, " holds numbers that are not finite in this save_dtype");
    require<DataError>(!zero(it->second->up) || zero(m.up), path.string(), ": self-check: ", m.name,
                       " became zero in this save_dtype");
  }
}

}  // namespace

void DiffusionTask::save_result(Context& c, const std::filesystem::path& path,
                                const std::map<std::string, std::string>& facts) {
  if (full()) {
    SdSaveOptions options{config_.output.save_dtype != config::SaveDtype::fp32, 1, facts};
    options.metadata["rankine.base"] = model_.name;
    model_.sd->save(path, options);
    open_sd_checkpoint(path);  // must be recognised as what it is
    return;
  }
  AdapterFile file;
  file.modules = network_.to_file();
  file.metadata = adapter_metadata(*this, facts);
  write_adapter(path, file, save_dtype(config_.output.save_dtype));
  check_adapter(path, file.modules);
}

std::string DiffusionTask::fingerprint() const {
  return join("model ", model_.sha256, "\ndata ", data_->fingerprint(), "\nsettings ",
              settings_fingerprint(config_), "\n");
}

}  // namespace rankine
