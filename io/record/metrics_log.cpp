#include "io/record/metrics_log.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "engine/core/error.h"
#include "io/files/atomic_write.h"

namespace rankine {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFixedKeys[] = {"v",
                                      "step",
                                      "epoch",
                                      "loss",
                                      "lr",
                                      "grad_norm",
                                      "seconds",
                                      "samples_per_second",
                                      "memory_bytes",
                                      "peak_memory_bytes",
                                      "budget_bytes",
                                      "tape_peak_bytes",
                                      "paged_bytes",
                                      "moved_bytes",
                                      "waited_seconds",
                                      "streamed_bytes",
                                      "streamed_waited_seconds",
                                      "growths"};

Json number(double value) { return std::isfinite(value) ? Json(value) : Json(); }

double real(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>()
                                                     : std::numeric_limits<double>::quiet_NaN();
}

std::uint64_t bytes(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::optional<double> measured(const Json& object, const char* key) {
  const double value = real(object, key);
  return std::isfinite(value) ? std::optional(value) : std::nullopt;
}

Json or_null(const std::optional<double>& value) { return value ? number(*value) : Json(); }

bool is_fixed(const std::string& key) {
  for (const char* fixed : kFixedKeys)
    if (key == fixed) return true;
  return false;
}

// Nothing when the line is no object with a version that we know and a step.
std::optional<StepMetrics> parse_line(std::string_view line) {
  const Json object = Json::parse(line, nullptr, false);
  if (!object.is_object() || object.value("v", Json()) != kMetricsVersion) return std::nullopt;
  const auto step = object.find("step");
  if (step == object.end() || !step->is_number_integer()) return std::nullopt;
  StepMetrics m;
  m.step = step->get<std::int64_t>();
  m.epoch = real(object, "epoch");
  m.loss = real(object, "loss");
  m.learning_rate = real(object, "lr");
  m.grad_norm = real(object, "grad_norm");
  m.seconds = real(object, "seconds");
  m.samples_per_second = real(object, "samples_per_second");
  m.memory_bytes = bytes(object, "memory_bytes");
  m.peak_memory_bytes = bytes(object, "peak_memory_bytes");
  m.budget_bytes = bytes(object, "budget_bytes");
  m.tape_peak_bytes = bytes(object, "tape_peak_bytes");
  m.paged_bytes = bytes(object, "paged_bytes");
  m.moved_bytes = bytes(object, "moved_bytes");
  m.waited_seconds = measured(object, "waited_seconds");
  m.streamed_bytes = bytes(object, "streamed_bytes");
  m.streamed_waited_seconds = measured(object, "streamed_waited_seconds");
  m.growths = bytes(object, "growths");
  for (const auto& [key, value] : object.items())
    if (!is_fixed(key)) m.extra.emplace_back(key, real(object, key.c_str()));
  return m;
}

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  require<IoError>(in.good(), path.string(), ": cannot open");
  std::ostringstream text;
  text << in.rdbuf();
  require<IoError>(!in.bad(), path.string(), ": cannot read");
  return std::move(text).str();
}

// Calls use(line, complete) for every line; the last one may lack its line break.
template <class F>
void for_each_line(std::string_view text, const F& use) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    use(text.substr(0, end), end != std::string_view::npos);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

// Leaves only the good lines up to `resume_step` in the file, and returns the last step in it.
std::int64_t repair(const std::filesystem::path& path, std::int64_t resume_step) {
  std::int64_t last_step = 0;
  if (!std::filesystem::exists(path)) return last_step;
  const std::string text = read_text(path);
  std::string kept;
  for_each_line(text, [&](std::string_view line, bool complete) {
    const auto metrics = complete ? parse_line(line) : std::nullopt;
    if (!metrics || metrics->step <= last_step || metrics->step > resume_step) return;
    last_step = metrics->step;
    kept.append(line).push_back('\n');
  });
  if (kept != text) write_file_atomically(path, kept);
  return last_step;
}

}  // namespace

std::string to_json_line(const StepMetrics& m) {
  Json object{{"v", kMetricsVersion},
              {"step", m.step},
              {"epoch", number(m.epoch)},
              {"loss", number(m.loss)},
              {"lr", number(m.learning_rate)},
              {"grad_norm", number(m.grad_norm)},
              {"seconds", number(m.seconds)},
              {"samples_per_second", number(m.samples_per_second)},
              {"memory_bytes", m.memory_bytes},
              {"peak_memory_bytes", m.peak_memory_bytes},
              {"budget_bytes", m.budget_bytes > 0 ? Json(m.budget_bytes) : Json()},
              {"tape_peak_bytes", m.tape_peak_bytes},
              {"paged_bytes", m.paged_bytes},
              {"moved_bytes", m.moved_bytes},
              {"waited_seconds", or_null(m.waited_seconds)},
              {"streamed_bytes", m.streamed_bytes},
              {"streamed_waited_seconds", or_null(m.streamed_waited_seconds)},
              {"growths", m.growths}};
  for (const auto& [key, value] : m.extra) {
    require<std::logic_error>(!is_fixed(key), "metrics: ", key, " is a fixed key, not an extra one");
    object[key] = number(value);
  }
  return object.dump(-1, ' ', false, Json::error_handler_t::replace);
}

MetricsLog::MetricsLog(const std::filesystem::path& path, std::int64_t resume_step)
    : last_step_(repair(path, resume_step)), file_(path, AppendFile::Mode::create_or_append) {}

void MetricsLog::append(const StepMetrics& metrics) {
  require<std::logic_error>(metrics.step > last_step_, "MetricsLog::append: step ", metrics.step,
                            " after step ", last_step_);
  file_.append(to_json_line(metrics) + "\n");
  last_step_ = metrics.step;
}

std::vector<StepMetrics> read_metrics(const std::filesystem::path& path) {
  std::vector<StepMetrics> all;
  std::size_t number = 0;
  for_each_line(read_text(path), [&](std::string_view line, bool complete) {
    ++number;
    if (!complete) return;
    auto metrics = parse_line(line);
    require<DataError>(metrics.has_value(), path.string(), ":", number,
                       ": expected one JSON object with \"v\":", kMetricsVersion, " and a whole \"step\"");
    all.push_back(std::move(*metrics));
  });
  return all;
}

}  // namespace rankine
