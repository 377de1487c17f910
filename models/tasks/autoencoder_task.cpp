#include "models/tasks/autoencoder_task.h"

#include <algorithm>
#include <cmath>

#include "engine/core/finite.h"
#include "engine/core/transfer.h"
#include "engine/tape/tape.h"
#include "io/image/encode.h"
#include "io/image/grid.h"
#include "io/image/pixels.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/loss/loss.h"
#include "kernels/random/random.h"
#include "kernels/reduce/reduce.h"
#include "models/tasks/adapter_metadata.h"
#include "models/tasks/picture_loader.h"

namespace rankine {
namespace {

class TrainAll final : public ModelVisitor {
 public:
  explicit TrainAll(std::vector<Weight*>& out) : out_(out) {}
  void weight(Weight& w) override {
    w.train({1.0, w.kind() == WeightKind::matrix}).name = "vae." + w.path();
    out_.push_back(&w);
  }

 private:
  std::vector<Weight*>& out_;
};

// The means alone: (N, h, w, 2Z) -> (N, h, w, Z).
Tensor posterior_mean(const Context& c, const Tensor& moments) {
  Tensor mean = c.empty(moments.shape().with_dim(-1, moments.cols() / 2), "posterior mean");
  Tensor logvar = c.like(mean, "posterior logvar");
  split_channels(c, mean, logvar, moments);
  return mean;
}

}  // namespace

AutoencoderTask::AutoencoderTask(const config::RunConfig& config, LoadedModel model,
                                 std::unique_ptr<ImageData> data)
    : config_(config), model_(std::move(model)), data_(std::move(data)) {
  require<ConfigError>(config.model.method == config::Method::full,
                       "task_type: autoencoder trains all weights of the VAE; set method: full");
  TrainAll all(trained_);
  model_.sd->vae.visit(all);
}

std::vector<Param*> AutoencoderTask::params() {
  std::vector<Param*> all;
  for (Weight* w : trained_) all.push_back(&w->param());
  return all;
}

void AutoencoderTask::init_params(Context& c) {
  for (Weight* w : trained_) {
    Tensor value = w->param().value;
    copy(c, value, w->initial());
    w->drop_initial();
  }
}

Tensor AutoencoderTask::pictures_of(const Context& c, const MicroBatch& batch) {
  const auto n = static_cast<std::int64_t>(batch.size());
  Tensor x = c.empty({n, batch[0].crop.h, batch[0].crop.w, 3}, "pictures");
  for (std::int64_t i = 0; i < n && !c.planning(); ++i) {
    const Visit& v = batch[i];
    const std::string key = join(v.sample, ' ', v.crop.crop_x, ' ', v.crop.crop_y, ' ', v.crop.flip);
    auto it = pictures_.find(key);
    if (it == pictures_.end()) {
      it = pictures_.emplace(key, decode_picture(data_->samples()[v.sample], v.crop)).first;
    }
    Tensor slot = x.slice(i, i + 1);
    set_floats(slot, it->second);
  }
  return x;
}

AutoencoderTask::Inputs AutoencoderTask::prepare(const Context& c, const MicroBatch& batch, float share) {
  const auto n = static_cast<std::int64_t>(batch.size());
  Inputs in{pictures_of(c, batch), c.empty({n}, "weights", DType::f32), c.empty({n}, "weights", DType::f32)};
  const float weight = share * c.loss_scale;
  set_floats(in.weight, std::vector<float>(batch.size(), weight));
  set_floats(in.kl_weight,
             std::vector<float>(batch.size(), weight * static_cast<float>(config_.objective.kl_weight)));
  return in;
}

void AutoencoderTask::compute(const Context& c, const Inputs& in, Tensor& loss) {
  Vae& vae = model_.sd->vae;
  const std::int64_t n = in.pictures.dim(0);
  Tape tape(&step_memory());
  const Context recording = c.with_tape(tape);
  const Tensor moments = vae.encoder.forward(recording, in.pictures);
  const Shape latents = moments.shape().with_dim(-1, moments.cols() / 2);
  Tensor eps = c.empty(latents, "posterior noise"), z = c.empty(latents, "latents");
  for (std::int64_t i = 0; i < n; ++i) {
    Tensor one = eps.slice(i, i + 1);
    fill_normal(c, one, c.random(purpose("posterior"), static_cast<std::uint32_t>(i)));
  }
  sample_posterior(c, z, moments, eps);
  const Tensor y = vae.decoder.forward(recording, z);

  Tensor losses = c.empty({n}, "losses", DType::f32), dy = c.like(y, "d pictures");
  regression_loss(c, losses, dy, y, in.pictures, in.weight, regression_of(config_.objective));
  add_sum(c, loss, losses);
  const Tensor dz = vae.decoder.backward(recording, dy);
  Tensor dmoments = c.like(moments, "d moments");
  sample_posterior_backward(c, dmoments, dz, moments, eps);
  kl_normal_loss(c, losses, dmoments, moments, in.kl_weight);
  add_sum(c, loss, losses);
  vae.encoder.backward(recording, dmoments);
}

StepStats AutoencoderTask::train_step(Context& c, std::int64_t step, Tensor& loss) {
  const std::vector<MicroBatch> micro = data_->step(step);
  StepStats stats;
  for (const MicroBatch& batch : micro) stats.samples += static_cast<std::int64_t>(batch.size());
  Context local = c;
  local.training = true;
  std::uint32_t first = 0;
  for (const MicroBatch& batch : micro) {
    local.first_sample = first;
    graphs_.run(local, prepare(local, batch, 1.0F / static_cast<float>(stats.samples)), true,
                [&](const Context& one, const Inputs& in) { compute(one, in, loss); });
    first += static_cast<std::uint32_t>(batch.size());
  }
  stats.epoch = static_cast<double>(step + 1) / static_cast<double>(steps_per_epoch());
  return stats;
}

std::optional<double> AutoencoderTask::validate(Context& c) {
  Vae& vae = model_.sd->vae;
  double total = 0;
  for (const Visit& v : data_->validation()) {
    stop().throw_if_set();
    const Tensor x = pictures_of(c, {v});
    const Tensor y = vae.decoder.forward(c, posterior_mean(c, vae.encoder.forward(c, x)));
    Tensor loss = c.empty({1}, "reconstruction loss", DType::f32), one = c.like(loss, "weight"), none;
    fill(c, one, 1);
    regression_loss(c, loss, none, y, x, one, {});
    total += sum(c, loss);
  }
  return data_->validation().empty() ? std::nullopt
                                     : std::optional(total / static_cast<double>(data_->validation().size()));
}

std::vector<std::filesystem::path> AutoencoderTask::preview(Context& c, std::int64_t step,
                                                            const std::filesystem::path& folder) {
  Vae& vae = model_.sd->vae;
  std::vector<Image> pictures;
  for (const Visit& v : data_->validation()) {
    stop().throw_if_set();
    const Tensor x = pictures_of(c, {v});
    const Tensor y = vae.decoder.forward(c, posterior_mean(c, vae.encoder.forward(c, x)));
    if (c.planning()) continue;
    pictures.push_back(from_float_hwc(floats_of(x), v.crop.w, v.crop.h));
    const std::vector<float> made = floats_of(y);
    if (!all_finite(made))
      warn(join(data_->samples()[v.sample].image.string(), ": its reconstruction is black in part or whole: ",
                "the VAE makes numbers that are not finite, computing in ", name_of(y.dtype()),
                "; a lower learning_rate may help"));
    pictures.push_back(from_float_hwc(made, v.crop.w, v.crop.h));
  }
  if (pictures.empty()) return {};
  std::string number = std::to_string(step);
  number.insert(0, number.size() < 6 ? 6 - number.size() : 0, '0');
  const std::filesystem::path file = folder / ("step-" + number + "-reconstructions.png");
  GridOptions grid;
  grid.columns = 4;
  write_png(file, make_grid(pictures, {}, grid));
  return {file};
}

float AutoencoderTask::latent_gain(const Context& c) {
  double sum_squares = 0, total = 0;
  std::int64_t count = 0;
  for (const Visit& v : data_->validation()) {
    const Tensor mean = posterior_mean(c, model_.sd->vae.encoder.forward(c, pictures_of(c, {v})));
    sum_squares += sum_of_squares(c, mean);
    total += sum(c, mean);
    count += mean.numel();
  }
  const double average = total / static_cast<double>(count);
  const double deviation = std::sqrt(sum_squares / static_cast<double>(count) - average * average);
  return static_cast<float>(1.0 / (deviation * static_cast<double>(model_.sd->checkpoint().latent_scale)));
}

void AutoencoderTask::save_result(Context& c, const std::filesystem::path& path,
                                  const std::map<std::string, std::string>& facts) {
  SdSaveOptions options{config_.output.save_dtype != config::SaveDtype::fp32, latent_gain(c), facts};
  options.metadata["rankine.base"] = model_.name;
  model_.sd->save(path, options);
  open_sd_checkpoint(path);  // must be recognised as what it is
}

std::string AutoencoderTask::fingerprint() const {
  return join("model ", model_.sha256, "\ndata ", data_->fingerprint(), "\nsettings ",
              settings_fingerprint(config_), "\n");
}

}  // namespace rankine
