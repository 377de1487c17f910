#include <fmt/core.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/run_facts.h"
#include "apps/rankine/run_report.h"
#include "apps/rankine/stop_signals.h"
#include "apps/rankine/text_session.h"
#include "io/files/atomic_write.h"
#include "models/tasks/text_data.h"
#include "models/tasks/text_runner.h"

namespace rankine::app {
namespace {

using Json = nlohmann::ordered_json;

// What one model came to on the held-out rows.
struct Evaluation {
  TextScore score;
  std::size_t exact = 0, asked = 0;
  std::vector<std::string> answers;  // one a row; empty for completions

  double exact_match() const { return asked == 0 ? 0 : double(exact) / double(asked); }
  double token_accuracy() const {
    return score.tokens == 0 ? 0 : double(score.correct) / double(score.tokens);
  }
  double perplexity() const { return std::exp(score.loss); }
};

bool has_answer(const Conversation& row) {
  return row.messages.size() >= 2 && row.messages.back().role == Role::assistant;
}

std::vector<Conversation> rows_for(const RunConfig& config, const EvalCommand& command) {
  const std::string path = command.data.value_or(config.text.validation_data.value_or(""));
  if (!path.empty()) {
    TextDataset set = load_text_dataset(text_dataset_options(config, path));
    require_usable(set, OnBadData::fail);
    return std::move(set.rows);
  }
  require<ConfigError>(config.data.validation_split > 0,
                       "eval: nothing is held out; set validation_data or validation_split, or give --data");
  TextDataset set = load_text_dataset(text_dataset_options(config, config.data.train_data_dir));
  return split_eval(std::move(set.rows), config.data.validation_split,
                    static_cast<std::uint64_t>(config.optim.seed))
      .eval;
}

Evaluation evaluate(TextSession& session, const RunConfig& config, const std::vector<Conversation>& rows,
                    Console& console, const std::string& name) {
  Evaluation e;
  const EncodedText encoded = encode_text(rows, session.chat(), encode_options(config));
  TextRunner runner(session.model(), session.tokenizer().specials().pad.value_or(0));
  e.score = runner.score(session.context(), encoded.sequences);
  const AnswerOptions options = answer_options(config);
  for (const Conversation& row : rows) {
    StopSignals::throw_if_requested();
    e.answers.emplace_back();
    if (!has_answer(row)) continue;
    e.answers.back() = session.answer(row, options);
    ++e.asked;
    e.exact += same_answer(e.answers.back(), row.messages.back().text) ? 1 : 0;
    console.progress(
        fmt::format("{}: {}/{} answers, {} exact", name, e.answers.size(), rows.size(), e.exact));
  }
  console.clear_progress();
  return e;
}

Json to_json(const Evaluation& e) {
  return {{"exact_match", e.exact_match()},
          {"token_accuracy", e.token_accuracy()},
          {"perplexity", e.perplexity()},
          {"loss", e.score.loss},
          {"answers", e.asked},
          {"tokens", e.score.tokens}};
}

void print_line(const char* name, const Evaluation& e) {
  fmt::print("{:<12}{:>11.1f} %{:>15.1f} %{:>13.3f}\n", name, 100 * e.exact_match(), 100 * e.token_accuracy(),
             e.perplexity());
}

void write_answers(const std::string& path, const std::vector<Conversation>& rows, const Evaluation& base,
                   const std::optional<Evaluation>& adapted) {
  std::ofstream out(path);
  require<IoError>(out.good(), path, ": cannot write the answers");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!has_answer(rows[i])) continue;
    Json line{{"where", rows[i].where},
              {"question", rows[i].messages[rows[i].messages.size() - 2].text},
              {"wanted", rows[i].messages.back().text},
              {"base", base.answers[i]}};
    if (adapted) line["adapter"] = adapted->answers[i];
    out << line.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  }
  require<IoError>(out.good(), path, ": cannot write the answers");
}

}  // namespace

int run_eval(const EvalCommand& command, Console& console) {
  const RunConfig config = load_config(command.config);
  const StopSignals signals;
  TextSession session(config, command.lora);
  const std::vector<Conversation> rows = rows_for(config, command);
  session.set_strength(0);
  const Evaluation base = evaluate(session, config, rows, console, "base model");
  std::optional<Evaluation> adapted;
  if (session.has_adapter()) {
    session.set_strength(1);
    adapted = evaluate(session, config, rows, console, "adapter");
  } else {
    console.info("there is no adapter yet: the base model alone");
  }
  Json json{{"rows", rows.size()}, {"base", to_json(base)}};
  if (adapted) {
    json["adapter"] = to_json(*adapted);
    json["adapter_path"] = session.adapter_path();
  }
  const std::string text = json.dump(2, ' ', false, Json::error_handler_t::replace);
  // Scores of the run's own rows and adapter join its report.
  const std::filesystem::path run = config.output.output_dir;
  if (!command.lora && !command.data && std::filesystem::exists(run / kRunFactsFile)) {
    write_file_atomically(run / kEvalFile, text + "\n");
    write_run_report(run);
  }
  if (command.answers) write_answers(*command.answers, rows, base, adapted);
  if (command.json) {
    fmt::print("{}\n", text);
    return kFinished;
  }
  fmt::print("{} rows\n{:<12}{:>13}{:>17}{:>13}\n", rows.size(), "", "exact match", "token accuracy",
             "perplexity");
  print_line("base model", base);
  if (adapted) print_line("adapter", *adapted);
  return kFinished;
}

}  // namespace rankine::app
