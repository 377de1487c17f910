#include <fmt/core.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/prompts_file.h"
#include "apps/rankine/stop_signals.h"
#include "apps/rankine/text_session.h"

namespace rankine::app {
namespace {

RunConfig config_for(const GenerateCommand& command) {
  if (!command.config.file.empty()) return load_config(command.config);
  require<ConfigError>(command.model.has_value(), "generate: give a run file, or --model");
  std::vector<std::string> overrides = command.config.overrides;
  RunConfig config = config::parse_run_config(
      "task_type: text-generation\ntrain_data_dir: none\noutput_dir: none\nbase_model: " +
          nlohmann::json(*command.model).dump() + "\n",
      "command line", overrides);
  return config;
}

AnswerOptions options_for(const GenerateCommand& command, const RunConfig& config) {
  AnswerOptions o = answer_options(config);
  if (command.max_new_tokens) o.max_new_tokens = *command.max_new_tokens;
  if (command.temperature) o.sampling.temperature = *command.temperature;
  if (command.top_p) o.sampling.top_p = *command.top_p;
  if (command.top_k) o.sampling.top_k = *command.top_k;
  if (command.seed) o.sampling.seed = *command.seed;
  return o;
}

// On a terminal the answer appears as it is written.
std::string stream(TextSession& session, const Conversation& row, const AnswerOptions& options) {
  std::string text = session.answer(row, options, [](std::string_view piece) {
    fmt::print("{}", piece);
    std::fflush(stdout);
    return !StopSignals::requested().load();
  });
  fmt::print("\n");
  return text;
}

}  // namespace

int run_generate(const GenerateCommand& command, Console& console) {
  RunConfig config = config_for(command);
  if (command.model) config.model.base_model = *command.model;
  std::vector<std::string> prompts = command.prompts;
  if (command.prompts_file) {
    const std::vector<std::string> more = read_prompts(*command.prompts_file);
    prompts.insert(prompts.end(), more.begin(), more.end());
  }
  require<ConfigError>(!prompts.empty(), "generate: give --prompt or --prompts");
  const StopSignals signals;
  TextSession session(config, command.lora);
  session.set_strength(static_cast<float>(command.strength));
  const bool compare = command.compare && session.has_adapter();
  if (command.compare && !compare) console.warn("there is no adapter to compare with");
  const AnswerOptions options = options_for(command, config);
  for (const std::string& prompt : prompts) {
    StopSignals::throw_if_requested();
    const Conversation row = question(prompt, command.system);
    nlohmann::ordered_json json{{"prompt", prompt}};
    if (compare) {
      session.set_strength(0);
      if (!command.json) fmt::print("base model: ");
      json["base"] = command.json ? session.answer(row, options) : stream(session, row, options);
      session.set_strength(static_cast<float>(command.strength));
      if (!command.json) fmt::print("adapter:    ");
    }
    json["answer"] = command.json ? session.answer(row, options) : stream(session, row, options);
    if (command.json)
      fmt::print("{}\n", json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  }
  return kFinished;
}

}  // namespace rankine::app
