#include "engine/train/train_state.h"

#include <charconv>
#include <cmath>

#include "engine/core/transfer.h"
#include "engine/tape/page_store.h"
#include "engine/train/facts.h"
#include "io/files/sha256.h"
#include "io/formats/safetensors.h"
#include "kernels/elementwise/elementwise.h"

namespace rankine {

namespace {

// Reads the metadata entry `name` as a whole number or a double.
template <class T>
T counter(const SafetensorsFile& file, std::string_view name) {
  const auto found = file.metadata().find(name);
  require<DataError>(found != file.metadata().end(), file.describe(), ": metadata has no \"", name, "\"");
  const std::string& text = found->second;
  const char* end = text.data() + text.size();
  T value = 0;
  const auto [at, error] = std::from_chars(text.data(), end, value);
  require<DataError>(error == std::errc() && at == end && value >= 0, file.describe(), ": metadata \"", name,
                     "\" must be a number from 0 on, it is \"", text, "\"");
  return value;
}

void load_tensor(const SafetensorsFile& file, NamedTensor to) {
  const TensorInfo& info = file.at(to.name);
  require<DataError>(info.dtype == FileDType::f32 && info.numel() == to.tensor.numel(), file.describe(),
                     ": tensor ", to.name, " must hold ", to.tensor.numel(), " F32 numbers, it holds ",
                     info.numel(), " of ", name_of(info.dtype));
  std::vector<float> values(static_cast<std::size_t>(info.numel()));
  read_as_float(info, values);
  set_floats(to.tensor, values);
}

}  // namespace

TrainState::TrainState(Context& c, Task& task, const AdamWOptions& adamw, double ema_decay)
    : arena_(c, task.params()),
      loss_scale_(c.activations()),
      step_(make_step_state(c, {})),
      loss_(c.memory(), {1}, DType::f32, Account::optimizer, "loss"),
      ema_decay_(ema_decay) {
  task.init_params(c);
  arena_.refresh(c);
  arena_.zero_grad(c);
  optimizer_ = std::make_unique<AdamW>(c, arena_, adamw);
  if (ema_decay_ != 0) ema_.emplace(c, arena_, ema_decay_);
}

UpdateReport TrainState::update(Context& c, Task& task, double learning_rate, double max_grad_norm) {
  begin(c, learning_rate, max_grad_norm);
  const StepStats stats = task.train_step(c, counters_.step, loss_);
  apply(c);
  const UpdateReport report = finish(c, stats);
  // A page that could not be read on CUDA is NaN by now, and the step was skipped.
  for (const auto& store : {task.step_memory().pages, task.step_memory().weights}) {
    if (store) store->throw_if_failed();
  }
  return report;
}

void TrainState::begin(Context& c, double learning_rate, double max_grad_norm) {
  c.step = static_cast<std::uint32_t>(counters_.step);
  c.first_sample = 0;
  c.training = true;
  c.loss_scale = static_cast<float>(loss_scale_.value());
  learning_rate_ = learning_rate;
  set_step_inputs(c, step_, static_cast<float>(learning_rate), 1 / c.loss_scale,
                  static_cast<float>(max_grad_norm));
  fill(c, loss_, 0.0F);
  arena_.zero_grad(c);
}

void TrainState::apply(Context& c) {
  c.training = false;
  c.loss_scale = 1;
  c.phase("update");
  optimizer_->step(c, arena_, step_, loss_, ema());
  c.phase("");
}

// What the device decided (found_inf), counted here as well.
UpdateReport TrainState::finish(Context& c, const StepStats& stats) {
  const StepState did = read_step_state(c, step_);
  UpdateReport report;
  report.stats = stats;
  report.loss = static_cast<double>(did.loss) / loss_scale_.value();
  report.grad_norm = static_cast<double>(did.norm);
  report.skipped = did.found_inf != 0;
  ++counters_.step;
  counters_.epoch = stats.epoch;
  // A scale that was too high is no sign of divergence: it has been lowered, and the next steps will show.
  const bool scale_lowered = loss_scale_.update(std::isfinite(report.grad_norm));
  if (report.skipped) {
    ++counters_.skipped;
    if (!scale_lowered) ++counters_.bad_streak;
    return report;
  }
  ++counters_.updates;
  counters_.bad_streak = 0;
  report.learning_rate = learning_rate_;
  return report;
}

std::string TrainState::facts() const {
  return join("optimizer: ", optimizer_->describe(), "\nema_decay: ", exact(ema_decay_),
              "\nparameters: ", arena_.params().size(), " tensors, ", arena_.numel(),
              " numbers, names and shapes ", sha256_hex(arena_.layout()).substr(0, 16), "\n");
}

std::vector<NamedTensor> TrainState::tensors() {
  std::vector<NamedTensor> all{{"parameters", arena_.value()}};
  for (NamedTensor& t : optimizer_->state()) all.push_back(std::move(t));
  if (ema_) all.push_back({"ema", ema_->average()});
  return all;
}

void TrainState::save(const std::filesystem::path& file) {
  std::vector<TensorToWrite> out;
  for (const NamedTensor& t : tensors()) {
    out.push_back(tensor_to_write(t.name, {t.tensor.numel()}, floats_of(t.tensor), FileDType::f32));
  }
  write_safetensors(file, std::move(out),
                    {{"step", std::to_string(counters_.step)},
                     {"skipped", std::to_string(counters_.skipped)},
                     {"bad_streak", std::to_string(counters_.bad_streak)},
                     {"epoch", exact(counters_.epoch)},
                     {"loss_scale", exact(loss_scale_.value())},
                     {"clean_steps", std::to_string(loss_scale_.clean_steps())},
                     {"updates", std::to_string(counters_.updates)}});
}

void TrainState::load(const Context& c, const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  counters_.step = counter<std::int64_t>(file, "step");
  counters_.skipped = counter<std::int64_t>(file, "skipped");
  counters_.bad_streak = counter<std::int64_t>(file, "bad_streak");
  counters_.epoch = counter<double>(file, "epoch");
  loss_scale_.restore(counter<double>(file, "loss_scale"), counter<std::int64_t>(file, "clean_steps"));
  counters_.updates = counter<std::int64_t>(file, "updates");
  StepState done;
  done.updates = static_cast<float>(counters_.updates);
  done.skipped = static_cast<float>(counters_.skipped);
  step_ = make_step_state(c, done);
  for (NamedTensor& t : tensors()) load_tensor(file, std::move(t));
  arena_.refresh(c);
}

}  // namespace rankine
