#include "engine/train/train_state.h"

#include <charconv>
#include <cmath>

#include "engine/train/facts.h"
#include "io/files/sha256.h"
#include "io/formats/safetensors.h"

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
  read_as_float(info, to.tensor.span<float>());
}

}  // namespace

TrainState::TrainState(Context& c, Task& task, const AdamWOptions& adamw, double ema_decay)
    : arena_(c, task.params()), ema_decay_(ema_decay) {
  task.init_params(c);
  arena_.zero_grad(c);
  optimizer_ = std::make_unique<AdamW>(c, arena_, adamw);
  if (ema_decay_ != 0) ema_.emplace(c, arena_, ema_decay_);
}

UpdateReport TrainState::update(Context& c, Task& task, double learning_rate, double max_grad_norm) {
  UpdateReport report;
  c.step = static_cast<std::uint32_t>(counters_.step);
  c.first_sample = 0;
  c.training = true;
  arena_.zero_grad(c);
  report.stats = task.train_step(c, counters_.step);
  c.training = false;
  report.gradient = check_gradient(c, arena_, max_grad_norm);
  report.skipped = !report.gradient.finite || !std::isfinite(report.stats.loss);
  ++counters_.step;
  counters_.epoch = report.stats.epoch;
  if (report.skipped) {
    ++counters_.skipped;
    ++counters_.bad_streak;
    return report;
  }
  counters_.bad_streak = 0;
  report.learning_rate = learning_rate;
  optimizer_->step(c, arena_, learning_rate, report.gradient.scale);
  if (ema_) ema_->update(c, arena_);
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
    out.push_back(tensor_to_write(t.name, {t.tensor.numel()}, t.tensor.span<float>(), FileDType::f32));
  }
  write_safetensors(file, std::move(out),
                    {{"step", std::to_string(counters_.step)},
                     {"skipped", std::to_string(counters_.skipped)},
                     {"bad_streak", std::to_string(counters_.bad_streak)},
                     {"epoch", exact(counters_.epoch)},
                     {"updates", std::to_string(optimizer_->updates())},
                     {"ema_updates", std::to_string(ema_ ? ema_->updates() : 0)}});
}

void TrainState::load(const std::filesystem::path& path) {
  const SafetensorsFile file(path);
  counters_.step = counter<std::int64_t>(file, "step");
  counters_.skipped = counter<std::int64_t>(file, "skipped");
  counters_.bad_streak = counter<std::int64_t>(file, "bad_streak");
  counters_.epoch = counter<double>(file, "epoch");
  optimizer_->set_updates(counter<std::int64_t>(file, "updates"));
  if (ema_) ema_->set_updates(counter<std::int64_t>(file, "ema_updates"));
  for (NamedTensor& t : tensors()) load_tensor(file, std::move(t));
}

}  // namespace rankine
