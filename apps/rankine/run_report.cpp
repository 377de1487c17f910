#include "apps/rankine/run_report.h"

#include <fmt/core.h>

#include <map>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "apps/rankine/run_facts.h"
#include "apps/rankine/sample_grid.h"
#include "apps/rankine/session.h"
#include "io/files/atomic_write.h"
#include "io/image/decode.h"
#include "io/record/metrics_log.h"
#include "io/record/progress.h"
#include "io/record/report.h"
#include "models/tasks/adapter_metadata.h"

namespace rankine::app {
namespace fs = std::filesystem;
namespace {

std::string file_bytes(const fs::path& file) {
  const std::vector<std::byte> bytes = read_image_file(file);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

RunOutcome outcome_of(const RunFacts& facts) {
  if (facts.outcome == "finished") return RunOutcome::finished;
  return facts.outcome == "failed" ? RunOutcome::failed : RunOutcome::stopped;
}

std::string outcome_text(const RunFacts& f, std::int64_t steps) {
  if (f.outcome == "finished") return fmt::format("Finished after {} steps.", steps);
  if (f.outcome == "failed") return fmt::format("Failed after {} steps: {}", steps, f.message);
  return fmt::format("Stopped after {} of {} steps; `rankine train --resume auto` continues.", steps,
                     f.max_steps > 0 ? std::to_string(f.max_steps) : "?");
}

std::string sample_details(const RunConfig& config, const config::SamplePrompt& p, ImageSize size) {
  const config::OutputSection& out = config.output;
  std::string text = fmt::format("{}, {} steps, cfg {}, seed {}, {} x {}",
                                 to_string(sampler_name_of(p.sampler.value_or(out.sample_sampler))),
                                 p.steps.value_or(out.sample_count_steps), p.cfg.value_or(out.sample_cfg),
                                 p.seed.value_or(config.optim.seed), size.width, size.height);
  if (!p.negative.empty()) text += ", negative: " + p.negative;
  return text;
}

std::vector<ReportSample> samples_of(const RunConfig& config, const fs::path& folder) {
  std::vector<ReportSample> out;
  for (const BeforeAfter& pair : before_and_after(previews_in(folder))) {
    if (pair.prompt >= config.output.sample_prompts.size()) continue;
    const config::SamplePrompt& prompt = config.output.sample_prompts[pair.prompt];
    ReportSample sample;
    sample.prompt = prompt.prompt;
    sample.details = sample_details(config, prompt, probe_image(pair.after.file));
    sample.before_png = file_bytes(pair.before.file);
    sample.after_png = file_bytes(pair.after.file);
    out.push_back(std::move(sample));
  }
  return out;
}

std::vector<std::pair<double, double>> validation_of(const RunFacts& facts,
                                                     const std::vector<StepMetrics>& metrics) {
  std::vector<std::pair<double, double>> points;
  if (facts.first_validation) points.emplace_back(0, *facts.first_validation);
  for (const StepMetrics& m : metrics) {
    for (const auto& [name, value] : m.extra) {
      if (name == "validation_loss") points.emplace_back(static_cast<double>(m.step), value);
    }
  }
  return points;
}

std::vector<std::pair<std::string, std::string>> summary_of(const RunFacts& f, const ReportData& data) {
  std::vector<std::pair<std::string, std::string>> tiles;
  double step_seconds = 0;
  for (const StepMetrics& m : data.metrics) step_seconds += m.seconds;
  tiles.emplace_back("Wall time", format_duration(f.seconds > 0 ? f.seconds : step_seconds));
  tiles.emplace_back("Steps", std::to_string(data.metrics.empty() ? 0 : data.metrics.back().step));
  if (f.parameters > 0) tiles.emplace_back("Trained numbers", std::to_string(f.parameters));
  if (f.measured_peak > 0) tiles.emplace_back("Peak memory", format_bytes(f.measured_peak));
  if (!data.validation_loss.empty()) {
    tiles.emplace_back("Validation loss", format_compact(data.validation_loss.front().second) + " to " +
                                              format_compact(data.validation_loss.back().second));
  }
  if (f.planned_step_flops > 0 && step_seconds > 0) {
    tiles.emplace_back("Work of a full step",
                       fmt::format("{} GFLOP", format_compact(f.planned_step_flops * 1e-9)));
  }
  return tiles;
}

// The numbers of scores.json, where `rankine score` left one.
std::vector<ReportScore> scores_of(const fs::path& run_dir) {
  std::ifstream in(run_dir / kScoresFile);
  if (!in) return {};
  std::vector<ReportScore> scores;
  try {
    const nlohmann::json json = nlohmann::json::parse(in);
    const auto add = [&](const char* key, const char* name, const char* meaning) {
      ReportScore score{name, meaning, std::nullopt, 100 * json.at(key).get<double>(), true, "%"};
      if (json.contains("before")) score.before = 100 * json["before"].at(key).get<double>();
      scores.push_back(std::move(score));
    };
    add("style_share", "In the new style",
        "Held-out prompts whose picture a fixed classifier takes for the style");
    add("mean_probability", "Mean style probability", "What that classifier says on average");
    add("colour_match", "Colour as asked", "Pictures whose dominant colour is the one of the prompt");
  } catch (const nlohmann::json::exception& e) {
    throw DataError(join((run_dir / kScoresFile).string(), ": not the scores of a run: ", e.what()));
  }
  return scores;
}

// Of `rankine eval`, where it left eval.json.
std::vector<ReportScore> text_scores_of(const fs::path& run_dir) {
  std::ifstream in(run_dir / kEvalFile);
  if (!in) return {};
  std::vector<ReportScore> scores;
  try {
    const nlohmann::json json = nlohmann::json::parse(in);
    const bool adapted = json.contains("adapter");
    const auto add = [&](const char* key, const char* name, const char* meaning, double factor,
                         const char* unit) {
      ReportScore score{name,         meaning,
                        std::nullopt, factor * json.at(adapted ? "adapter" : "base").at(key).get<double>(),
                        factor > 1,   unit};
      if (adapted) score.before = factor * json.at("base").at(key).get<double>();
      scores.push_back(std::move(score));
    };
    add("exact_match", "Exact match", "Held-out questions answered word for word", 100, "%");
    add("token_accuracy", "Token accuracy", "Tokens of the wanted answers that are the likeliest", 100, "%");
    add("perplexity", "Perplexity", "Of the wanted answers; 1 would be certainty", 1, "");
  } catch (const nlohmann::json::exception& e) {
    throw DataError(join((run_dir / kEvalFile).string(), ": not the scores of a run: ", e.what()));
  }
  return scores;
}

// The last answers that previews gave to each prompt.
ReportTable answers_table(const fs::path& samples) {
  ReportTable table{"Answers", "The last previews.", {"Question", "Base model", "With the adapter"}, {}};
  std::map<std::string, fs::path> last;  // by the prompt's number
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(samples, error)) {
    const std::string name = entry.path().stem().string();
    if (entry.path().extension() != ".json" || !name.starts_with("step-")) continue;
    fs::path& known = last[name.substr(name.rfind('-'))];
    if (known.empty() || known.filename() < entry.path().filename()) known = entry.path();
  }
  for (const auto& [number, file] : last) {
    std::ifstream in(file);
    const nlohmann::json json = nlohmann::json::parse(in, nullptr, false);
    if (!json.is_object() || !json.contains("question")) continue;
    table.rows.push_back({json.value("question", ""), json.value("base", ""), json.value("adapter", "")});
  }
  return table;
}

ReportTable operations_table(const std::vector<OperationTime>& operations) {
  ReportTable table;
  table.title = "Slowest operations";
  table.note = "Of the last start, previews and validation included.";
  table.columns = {"Operation", "Calls", "Seconds", "GFLOP/s", "GB/s"};
  for (const OperationTime& o : operations) {
    const double seconds = std::max(o.seconds, 1e-12);
    table.rows.push_back({o.name, std::to_string(o.calls), fmt::format("{:.2f}", o.seconds),
                          fmt::format("{:.1f}", o.flops * 1e-9 / seconds),
                          fmt::format("{:.1f}", o.bytes * 1e-9 / seconds)});
  }
  return table;
}

}  // namespace

fs::path write_run_report(const fs::path& run_dir) {
  const RunConfig config = load_run_config(run_dir / "config.yaml");
  const RunFacts facts = read_run_facts(run_dir).value_or(RunFacts{});
  ReportData data;
  data.title = fs::absolute(run_dir).lexically_normal().filename().string();
  if (data.title.empty()) data.title = run_dir.string();
  data.subtitle = fmt::format("{}{}{}{}{}", facts.model, facts.processor.empty() ? "" : " on ",
                              facts.processor, facts.started.empty() ? "" : ", started ", facts.started);
  if (fs::exists(run_dir / "metrics.jsonl")) data.metrics = read_metrics(run_dir / "metrics.jsonl");
  data.outcome = outcome_of(facts);
  data.outcome_text = outcome_text(facts, data.metrics.empty() ? 0 : data.metrics.back().step);
  data.warnings = facts.warnings;
  data.samples = samples_of(config, run_dir / "samples");
  data.scores = scores_of(run_dir);
  for (ReportScore& score : text_scores_of(run_dir)) data.scores.push_back(std::move(score));
  data.validation_loss = validation_of(facts, data.metrics);
  data.summary = summary_of(facts, data);
  data.timings = facts.timings;
  data.step_memory = facts.step_memory;
  data.budget_bytes = facts.budget;
  if (facts.planned_peak > 0 && facts.measured_peak > 0) {
    data.plan.push_back({"Peak memory", static_cast<double>(facts.planned_peak) / 0x1p20,
                         static_cast<double>(facts.measured_peak) / 0x1p20, "MiB"});
  }
  data.dataset = facts.dataset;
  data.config = config::to_key_values(config);
  if (ReportTable answers = answers_table(run_dir / "samples"); !answers.rows.empty())
    data.tables.push_back(std::move(answers));
  if (!facts.operations.empty()) data.tables.push_back(operations_table(facts.operations));
  data.footer = "Rankine " + facts.version;
  fs::path file = run_dir / "report.html";
  write_file_atomically(file, render_report(data));
  return file;
}

}  // namespace rankine::app
