// The commands behind the command line. Each returns the exit code, prints data to stdout and messages to the
// console, and throws for what goes wrong (main.cpp turns exceptions into messages and exit codes).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/rankine/console.h"
#include "apps/rankine/session.h"

namespace rankine::app {

struct TrainCommand {
  ConfigArgs config;
  std::string resume = "never";  // never, auto, or a checkpoint folder
  bool overwrite = false;        // start again over an earlier run
  bool json = false;
};
int run_train(const TrainCommand& command, Console& console);

struct PlanCommand {
  ConfigArgs config;
  std::string gpu;    // name of a card, or the file of one; empty: where the run would compute
  std::string shape;  // of the base model, in place of the run file's; empty: as the run file says
  bool json = false;
};
int run_plan(const PlanCommand& command, Console& console);

struct ValidateCommand {
  ConfigArgs config;
  bool json = false;
};
int run_validate(const ValidateCommand& command, Console& console);
int validate_text(const RunConfig& config, const ValidateCommand& command, Console& console);

struct CacheCommand {
  ConfigArgs config;
};
int run_cache(const CacheCommand& command, Console& console);

// What is not set comes from the run file, or else is the default of the run file's key.
struct SampleCommand {
  ConfigArgs config;                 // file empty: `model` is required
  std::optional<std::string> model;  // instead of the run's
  std::optional<std::string> lora;   // an adapter file, or "none"; not set: the run's own result
  double strength = 1;
  std::vector<std::string> prompts;
  std::optional<std::string> prompts_file;  // one a line
  std::string negative;
  std::optional<std::string> size;  // "512x768", "512"
  std::optional<std::string> sampler;
  std::optional<int> steps;
  std::optional<double> cfg;
  std::optional<std::uint64_t> seed;  // picture i is drawn with seed + i
  std::string out = ".";
  std::optional<std::string> grid;
  bool json = false;
};
int run_sample(const SampleCommand& command, Console& console);

// What is not set comes from the run file.
struct GenerateCommand {
  ConfigArgs config;                 // file empty: `model` is required
  std::optional<std::string> model;  // instead of the run's
  std::optional<std::string> lora;   // PEFT folder or GGUF adapter, or "none"; not set: the run's own result
  double strength = 1;
  std::vector<std::string> prompts;
  std::optional<std::string> prompts_file;  // one a line
  std::string system;
  std::optional<std::int64_t> max_new_tokens, top_k;
  std::optional<double> temperature, top_p;
  std::optional<std::uint64_t> seed;
  bool compare = false;  // the base model's answer too
  bool json = false;
};
int run_generate(const GenerateCommand& command, Console& console);

struct EvalCommand {
  ConfigArgs config;
  std::optional<std::string> lora;     // as of GenerateCommand
  std::optional<std::string> data;     // instead of the run's held-out rows
  std::optional<std::string> answers;  // file for every question and its answers
  bool json = false;
};
int run_eval(const EvalCommand& command, Console& console);

// A language model in another container or type.
struct ConvertCommand {
  std::string model, out;  // out: X.gguf, X.bin (ggjt), or a folder
  std::string type = "f16";
};
int run_convert(const ConvertCommand& command, Console& console);

// The run's model with its adapter folded in, and what that costs in loss.
struct MergeCommand {
  ConfigArgs config;
  std::optional<std::string> lora;
  std::string out, type = "f16";
  bool json = false;
};
int run_merge(const MergeCommand& command, Console& console);

struct ScoreCommand {
  std::vector<std::string> pictures;  // a folder, or PNG files
  std::string before;                 // a folder drawn without the adapter, to compare with; may be empty
  std::string run_dir;                // a run folder whose report the scores join; may be empty
  std::string prompts_file;
  bool json = false;
};
int run_score(const ScoreCommand& command, Console& console);

struct InspectCommand {
  std::string path;
  bool json = false;
};
int run_inspect(const InspectCommand& command, Console& console);

struct DoctorCommand {
  bool json = false;
};
int run_doctor(const DoctorCommand& command, Console& console);

int run_report(const std::string& run_dir, Console& console);
int run_schema(bool markdown);  // or the reference that docs/configuration.md holds

}  // namespace rankine::app
