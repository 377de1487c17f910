#include "engine/train/run_recorder.h"

#include "engine/train/durable.h"
#include "io/files/mapped_file.h"

namespace rankine {

namespace fs = std::filesystem;

namespace {

// "step-000100_00_fox.png" -> "samples/00_fox": the same picture of every step gets one slider.
std::string tag_of(const fs::path& file) {
  const std::string name = file.stem().string();
  const std::size_t end =
      name.rfind("step-", 0) == 0 ? name.find_first_not_of("0123456789", 5) : std::string::npos;
  const bool prefixed = end != std::string::npos && name[end] == '_' && end + 1 < name.size();
  return "samples/" + (prefixed ? name.substr(end + 1) : name);
}

// What is about pages and streamed weights comes only where a step has any.
std::vector<std::pair<std::string_view, double>> scalars_of(const StepRecord& r) {
  std::vector<std::pair<std::string_view, double>> all{
      {"train/loss", r.loss},
      {"train/learning_rate", r.learning_rate},
      {"train/grad_norm", r.grad_norm},
      {"train/epoch", r.epoch},
      {"machine/seconds_per_step", r.seconds},
      {"machine/device_bytes", static_cast<double>(r.device_bytes)},
      {"machine/device_peak_bytes", static_cast<double>(r.device_peak)},
      {"machine/tape_peak_bytes", static_cast<double>(r.tape_peak)},
      {"machine/host_peak_bytes", static_cast<double>(r.host_peak)}};
  if (r.moved > 0) {
    all.emplace_back("machine/paged_bytes", static_cast<double>(r.paged_peak));
    all.emplace_back("machine/moved_bytes", static_cast<double>(r.moved));
    if (r.waited_for_pages) all.emplace_back("machine/waited_seconds", *r.waited_for_pages);
  }
  if (r.streamed > 0) {
    all.emplace_back("machine/streamed_bytes", static_cast<double>(r.streamed));
    if (r.waited_for_weights) all.emplace_back("machine/streamed_waited_seconds", *r.waited_for_weights);
  }
  return all;
}

}  // namespace

StepMetrics to_metrics(const StepRecord& r) {
  StepMetrics m;
  m.step = r.step;
  m.epoch = r.epoch;
  m.loss = r.loss;
  m.learning_rate = r.learning_rate;
  m.grad_norm = r.grad_norm;
  m.seconds = r.seconds;
  m.samples_per_second = r.seconds > 0 ? static_cast<double>(r.samples) / r.seconds : 0;
  m.memory_bytes = r.device_bytes;
  m.peak_memory_bytes = r.device_peak;
  m.budget_bytes = r.device_budget;
  m.tape_peak_bytes = r.tape_peak;
  m.paged_bytes = r.paged_peak;
  m.moved_bytes = r.moved;
  m.waited_seconds = r.waited_for_pages;
  m.streamed_bytes = r.streamed;
  m.streamed_waited_seconds = r.waited_for_weights;
  m.growths = r.growths;
  m.extra = {{"host_bytes", static_cast<double>(r.host_rss)},
             {"host_peak_bytes", static_cast<double>(r.host_peak)}};
  if (r.validation_loss) m.extra.emplace_back("validation_loss", *r.validation_loss);
  if (r.skipped) m.extra.emplace_back("skipped", 1);
  return m;
}

RunRecorder::RunRecorder(fs::path metrics_file, fs::path events)
    : metrics_file_(std::move(metrics_file)), events_folder_(std::move(events)) {}

void RunRecorder::on_start(const RunStart& start) {
  metrics_.emplace(metrics_file_, start.first_step);
  if (events_folder_.empty()) return;
  make_folder(events_folder_);
  events_.emplace(events_folder_, start.first_step);
}

void RunRecorder::on_step(const StepRecord& r) {
  metrics_->append(to_metrics(r));
  if (!events_) return;
  events_->add_scalars(r.step, scalars_of(r));
}

void RunRecorder::on_validation(std::int64_t step, double loss) {
  if (events_) events_->add_scalars(step, {{"validation/loss", loss}});
}

void RunRecorder::on_preview(std::int64_t step, const std::vector<fs::path>& files) {
  if (!events_) return;
  for (const fs::path& file : files) {
    if (file.extension() != ".png") continue;
    const MappedFile png(file);
    events_->add_image(step, tag_of(file),
                       {reinterpret_cast<const char*>(png.bytes().data()), png.bytes().size()});
  }
}

void RunRecorder::on_before_save(std::int64_t) { sync(); }
void RunRecorder::on_finish(const TrainResult&) { sync(); }

void RunRecorder::sync() {
  metrics_->sync();
  if (events_) events_->sync();
}

}  // namespace rankine
