#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/rankine/commands.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/workload.h"
#include "io/dataset/text_show.h"
#include "models/tasks/text_task.h"

namespace rankine::app {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kShownRows = 3;

Json to_json(const RunConfig& config, TextData& data, const DecoderCheckpoint& checkpoint) {
  const TextReport r = data.report();
  Json problems = Json::array(), findings = Json::array(), samples = Json::array();
  for (const Problem& p : data.problems()) {
    problems.push_back({{"severity", p.severity == Severity::error ? "error" : "warning"},
                        {"file", p.file},
                        {"line", p.line},
                        {"text", p.text}});
  }
  for (const TextFinding& f : r.findings)
    findings.push_back({{"what", f.what}, {"count", f.count}, {"examples", f.examples}});
  for (std::size_t i = 0; i < std::min(kShownRows, data.sequences().size()); ++i) {
    const TokenSequence& s = data.sequences()[i];
    samples.push_back({{"ids", s.ids}, {"trained", s.trained}, {"shown", show_tokens(s, data.tokenizer())}});
  }
  return {{"ok", true},
          {"model", checkpoint.path.string()},
          {"format", checkpoint.format},
          {"family", name_of(checkpoint.config.family)},
          {"assumed", checkpoint.assumed},
          {"template", data.chat().name()},
          {"rows", r.rows},
          {"sequences", r.sequences},
          {"tokens", r.tokens},
          {"trained_tokens", r.trained_tokens},
          {"held_out_rows", data.eval_rows().size()},
          {"cut", data.encoded().cut},
          {"dropped", data.encoded().dropped_long + data.encoded().dropped_untrained},
          {"steps_per_epoch", data.steps_per_epoch()},
          {"steps",
           steps_of_run(config, data.steps_per_epoch(), [&](std::int64_t s) { return data.epoch_of(s); })},
          {"findings", findings},
          {"problems", problems},
          {"samples", samples}};
}

void print_text(const RunConfig& config, TextData& data, const DecoderCheckpoint& checkpoint, bool colours) {
  fmt::print("model     {} ({}, {})\n", checkpoint.path.string(), name_of(checkpoint.config.family),
             checkpoint.format);
  for (const std::string& assumed : checkpoint.assumed) fmt::print("          {}\n", assumed);
  fmt::print("template  {}\n", data.chat().name());
  fmt::print("steps     {} an epoch, {} in all; {} rows held out\n\n", data.steps_per_epoch(),
             steps_of_run(config, data.steps_per_epoch(), [&](std::int64_t s) { return data.epoch_of(s); }),
             data.eval_rows().size());
  fmt::print("{}\n", data.report().to_string());
  fmt::print("The first rows as the model sees them; what is trained is marked:\n");
  for (std::size_t i = 0; i < std::min(kShownRows, data.sequences().size()); ++i) {
    fmt::print(
        "\n{}\n{}\n", data.rows()[data.sequences()[i].row].where,
        show_tokens(data.sequences()[i], data.tokenizer(), colours ? TokenMarks::ansi : TokenMarks::plain));
  }
  fmt::print("\n");
  for (const Problem& p : data.problems())
    fmt::print("{}: {}\n", p.severity == Severity::error ? "error" : "warning", p.to_string());
  fmt::print("All good.\n");
}

}  // namespace

int validate_text(const RunConfig& config, const ValidateCommand& command, Console& console) {
  const DecoderCheckpoint checkpoint = checkpoint_of(config);
  // Every tensor is looked up and its shape compared; nothing is read.
  Runtime runtime(Device::cpu().planned(), Memory::kUnlimited, 1);
  const LoadedDecoder model = load_decoder(Context(runtime), config);
  TextData data(config, name_of(checkpoint.config.family), model.tokenizer);
  if (command.json) {
    fmt::print("{}\n", to_json(config, data, checkpoint).dump(2, ' ', false, Json::error_handler_t::replace));
  } else {
    print_text(config, data, checkpoint, ::isatty(STDOUT_FILENO) == 1);
  }
  return kFinished;
}

}  // namespace rankine::app
