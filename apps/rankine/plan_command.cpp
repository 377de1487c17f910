#include <fmt/core.h>

#include "apps/rankine/card_choice.h"
#include "apps/rankine/commands.h"
#include "apps/rankine/cuda_report.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/plan_output.h"
#include "apps/rankine/plan_run.h"
#include "models/tasks/base_shape.h"

namespace rankine::app {
namespace {

// The run file with --shape in place of its base model; without a file, a run of the shape alone.
RunConfig load_planned(const PlanCommand& command, const Settings& settings) {
  ConfigArgs args = command.config;
  if (!command.shape.empty()) {
    const std::string base = std::string(kShapePrefix) + command.shape;
    Settings first{"base_model=" + base};
    if (is_decoder_shape(base)) first.emplace_back("task_type=text-generation");
    args.overrides.insert(args.overrides.begin(), first.begin(), first.end());
  }
  args = with_settings(std::move(args), settings);
  if (!args.file.empty()) return load_run_config(args.file, args.overrides);
  require<ConfigError>(!command.shape.empty(), "plan: expected a run file, or --shape");
  return parse_run_config("train_data_dir: none\noutput_dir: none\n", "--shape", args.overrides);
}

Forecast make_forecast(const PlanCommand& command, const RunConfig& config, Console& console) {
  Forecast f;
  if (command.gpu.empty()) {
    if (const std::string note = idle_card_note(config.machine); !note.empty()) console.info(note);
    f.card = card_of_run(config);
    f.target = plan_target(config.machine);
    if (f.card) f.target.card = f.card->card;
  } else {
    f.card = command.gpu == "cpu" ? measure_cpu(static_cast<int>(config.machine.threads), page_dir_of(config))
                                  : card_for(command.gpu);
    f.target = plan_target(config.machine, *f.card);
  }
  f.plan = plan_run(config, f.target, console);
  if (f.fits()) return f;
  console.info("Does not fit; looking for settings that do");
  const auto with = [&](const Settings& settings) { return load_planned(command, settings); };
  f.suggestions = settings_that_fit(config, with, f.target);
  return f;
}

}  // namespace

int run_plan(const PlanCommand& command, Console& console) {
  const RunConfig config = load_planned(command, {});
  const Forecast f = make_forecast(command, config, console);
  if (command.json)
    fmt::print("{}", plan_json(f));
  else
    print_plan(f, config);
  return f.fits() ? kFinished : kWrongConfig;
}

}  // namespace rankine::app
