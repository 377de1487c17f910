#include "apps/rankine/console_observer.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "io/record/progress.h"

namespace rankine::app {
namespace {

constexpr std::chrono::seconds kBetweenLines{10};          // in a log file
constexpr std::chrono::milliseconds kBetweenUpdates{100};  // on a terminal

}  // namespace

void ConsoleObserver::on_start(const RunStart& start) {
  if (!start.resumed_from.empty())
    console_.info(fmt::format("Continuing from {}", start.resumed_from.string()));
  unit_ = start.unit;
  console_.info(fmt::format("Training {} numbers for {} steps", start.parameters, start.max_steps));
}

void ConsoleObserver::on_step(const StepRecord& r) {
  seconds_.add(r.seconds);
  if (r.seconds > 0) rate_.add(static_cast<double>(r.samples) / r.seconds);
  loss_.add(r.loss);
  if (r.waited_for_pages && r.seconds > 0) waited_.add(*r.waited_for_pages / r.seconds);
  const Clock::time_point now = Clock::now();
  const bool last = r.step == r.max_steps;
  const bool due = !last_line_ || (console_.terminal() ? now - *last_line_ >= kBetweenUpdates
                                                       : now - *last_line_ >= kBetweenLines);
  if (!due && !last) return;
  last_line_ = now;
  Progress p;
  p.step = r.step;
  p.total_steps = r.max_steps;
  p.epochs = sizes_.epochs;
  p.epoch = std::min(sizes_.epochs, static_cast<std::int64_t>(std::ceil(r.epoch)));
  p.seconds_per_step = seconds_.median();
  p.samples_per_second = rate_.median();
  p.unit = unit_;
  p.loss = loss_.value();
  p.learning_rate = r.learning_rate;
  p.grad_norm = r.grad_norm;
  p.memory_bytes = r.device_peak;
  p.memory_budget_bytes = sizes_.memory_budget;
  p.paged_bytes = r.paged_peak;
  if (r.waited_for_pages) p.waited_share = waited_.value();
  if (console_.terminal() && !last) return console_.progress(progress_line(p, console_.width() - 1));
  console_.info(progress_line(p));
}

void ConsoleObserver::on_skip(std::int64_t step, const std::string& reason) {
  console_.warn(fmt::format("step {}: {}", step, reason));
}

void ConsoleObserver::on_validation(std::int64_t step, double loss) {
  console_.info(fmt::format("step {}: validation loss {}", step, format_compact(loss)));
}

void ConsoleObserver::on_preview(std::int64_t step, const std::vector<std::filesystem::path>& files) {
  if (!files.empty()) {
    console_.detail(
        fmt::format("step {}: {} previews in {}", step, files.size(), files[0].parent_path().string()));
  }
}

void ConsoleObserver::on_save(std::int64_t step, const std::filesystem::path& checkpoint) {
  console_.detail(fmt::format("step {}: checkpoint {}", step, checkpoint.string()));
}

}  // namespace rankine::app
