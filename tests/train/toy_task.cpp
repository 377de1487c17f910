#include "tests/train/toy_task.h"

#include <cmath>
#include <fstream>
#include <limits>

#include "io/formats/safetensors.h"
#include "kernels/activation/activation.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/loss/loss.h"
#include "kernels/matmul/matmul.h"
#include "kernels/reduce/reduce.h"

namespace rankine::testing_support {

namespace fs = std::filesystem;

ToyTask::ToyTask(ToyOptions options) : options_(std::move(options)) {
  const std::int64_t width = options_.width;
  w1_ = {"w1", {width, kInputs}, {1.0, true}, {}, {}};
  b1_ = {"b1", {width}, {1.0, false}, {}, {}};
  w2_ = {"w2", {1, width}, {2.0, true}, {}, {}};
  b2_ = {"b2", {1}, {1.0, false}, {}, {}};
}

void ToyTask::init_params(Context& c) {
  if (c.planning()) return;
  std::uint32_t which = 0;
  for (Param* p : params()) {
    HostRandom random({c.seed, purpose("toy-init"), 0, which++});
    const float scale = 1.0F / std::sqrt(static_cast<float>(p->shape.cols()));
    for (float& v : p->value.span<float>()) v = scale * (2 * random.uniform() - 1);
  }
}

ToyTask::Batch ToyTask::make_batch(Context& c, std::string_view what, float noise) const {
  Batch batch{c.empty({options_.batch, kInputs}, "x"), c.empty({options_.batch, 1}, "y")};
  if (c.planning()) return batch;
  for (std::int64_t n = 0; n < options_.batch; ++n) {
    HostRandom random(c.random(purpose(what), static_cast<std::uint32_t>(n)));
    double target = 0.25;
    for (std::int64_t i = 0; i < kInputs; ++i) {
      const float x = 2 * random.uniform() - 1;
      target += std::sin(0.5 * static_cast<double>(i + 1)) * x;
      batch.x.data<float>()[n * kInputs + i] = x + noise * (2 * random.uniform() - 1);
    }
    batch.y.data<float>()[n] = static_cast<float>(target);
  }
  return batch;
}

void ToyTask::run(Context& c, const Batch& batch, float weight, Tensor& loss, bool train) {
  const std::int64_t rows = options_.batch;
  Tensor h = c.empty({rows, options_.width}, "h"), a = c.like(h, "a");
  Tensor pred = c.like(batch.y, "pred"), dpred = c.like(batch.y, "dpred");
  Tensor losses = c.empty({rows}, "losses"), weights = c.empty({rows}, "weights");
  linear_forward(c, h, batch.x, w1_.value, b1_.value);
  silu_forward(c, a, h);
  linear_forward(c, pred, a, w2_.value, b2_.value);
  fill(c, weights, weight * c.loss_scale);
  regression_loss(c, losses, dpred, pred, batch.y, weights, {});
  add_sum(c, loss, losses);
  if (train) {
    Tensor da = c.like(a, "da");
    linear_weight_grad(c, w2_.grad, dpred, a);
    add_column_sums(c, b2_.grad, dpred);
    linear_adjoint(c, da, dpred, w2_.value, Write::overwrite);
    silu_backward(c, da, da, h);
    linear_weight_grad(c, w1_.grad, da, batch.x);
    add_column_sums(c, b1_.grad, da);
  }
}

StepStats ToyTask::train_step(Context& c, std::int64_t step, Tensor& loss) {
  StepStats stats;
  stats.samples = options_.batch * options_.accumulation;
  stats.epoch = static_cast<double>(step + 1) / static_cast<double>(steps_per_epoch());
  const float weight = 1.0F / static_cast<float>(stats.samples);
  for (std::int64_t micro = 0; micro < options_.accumulation; ++micro) {
    c.first_sample = static_cast<std::uint32_t>(micro * options_.batch);
    run(c, make_batch(c, "toy-batch", 0.05F), weight, loss, true);
  }
  if (options_.bad_gradient.count(step)) w1_.grad.data<float>()[3] = std::numeric_limits<float>::quiet_NaN();
  if (options_.bad_loss.count(step)) fill(c, loss, std::numeric_limits<float>::infinity());
  return stats;
}

std::optional<double> ToyTask::validate(Context& c) {
  stop().throw_if_set();
  Tensor loss = c.empty({1}, "loss");
  fill(c, loss, 0);
  run(c, make_batch(c, "toy-validation", 0), 1.0F / static_cast<float>(options_.batch), loss, false);
  return static_cast<double>(loss.data<float>()[0]);
}

std::vector<fs::path> ToyTask::preview(Context& c, std::int64_t step, const fs::path& folder) {
  const fs::path file = folder / ("preview-" + std::to_string(step) + ".txt");
  stop().throw_if_set();
  std::ofstream(file) << w1_.value.data<float>()[0] << '\n';
  return {file};
}

void ToyTask::save_result(Context& c, const fs::path& path, const std::map<std::string, std::string>& facts) {
  std::vector<TensorToWrite> out;
  for (const Param* p : params()) {
    const auto dims = p->shape.dims();
    out.push_back(
        tensor_to_write(p->name, {dims.begin(), dims.end()}, p->value.span<float>(), FileDType::f32));
  }
  const MetadataTable metadata(facts.begin(), facts.end());
  if (!options_.result_is_folder) return write_safetensors(path, std::move(out), metadata);
  fs::create_directories(path / "inner");
  write_safetensors(path / "model.safetensors", std::move(out), metadata);
  std::ofstream(path / "inner" / "note.txt") << "a toy\n";
}

std::string ToyTask::fingerprint() const {
  return join("model: toy ", options_.width, "\ndata: sines\nbatch_size: ", options_.batch,
              "\ngradient_accumulation: ", options_.accumulation, "\n", options_.extra_fact);
}

}  // namespace rankine::testing_support
