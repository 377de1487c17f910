#include "apps/rankine/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "apps/rankine/commands.h"
#include "apps/rankine/completion.h"
#include "apps/rankine/exit_code.h"
#include "io/config/suggest.h"
#include "models/tasks/base_shape.h"

namespace rankine::app {
namespace {

// Examples, which each command keeps in its footer, come first: most people need only them.
class ExamplesFirst : public CLI::Formatter {
 public:
  std::string make_usage(const CLI::App* app, std::string name) const override {
    const std::string examples = app->get_footer();
    return (examples.empty() ? "" : "Examples:\n" + examples + "\n\n") +
           CLI::Formatter::make_usage(app, name);
  }
  std::string make_footer(const CLI::App*) const override { return {}; }
};

// Owns what the options write to.
class CommandLine {
 public:
  CommandLine();
  ParsedCommand parse(int argc, char** argv);

 private:
  void suggest_command(const std::string& word) const;
  using Run = std::function<int(Console&)>;
  CLI::App* command(const std::string& name, const std::string& what, const std::string& examples, Run run);
  static void add_config(CLI::App* sub, ConfigArgs& args, bool required = true);
  static void add_json(CLI::App* sub, bool& json) { sub->add_flag("--json", json, "Print JSON"); }
  void add_train();
  void add_plan();
  void add_validate();
  void add_sample();
  void add_generate();
  void add_eval();
  void add_exports();
  void add_score();
  void add_inspect();
  void add_small_commands();

  CLI::App app_{"Trains LoRA adapters and small models: one YAML file in, one adapter out."};
  bool quiet_ = false, verbose_ = false, schema_as_markdown_ = false;
  Run run_;
  TrainCommand train_;
  PlanCommand plan_;
  ValidateCommand validate_;
  CacheCommand cache_;
  SampleCommand sample_;
  GenerateCommand generate_;
  EvalCommand eval_;
  ConvertCommand convert_;
  MergeCommand merge_;
  ScoreCommand score_;
  InspectCommand inspect_;
  DoctorCommand doctor_;
  std::string run_dir_, shell_;
};

CommandLine::CommandLine() {
  app_.formatter(std::make_shared<ExamplesFirst>());
  app_.footer(
      "  rankine validate cyberpunk.yaml\n  rankine train cyberpunk.yaml\n"
      "  rankine train cyberpunk.yaml --resume auto");
  app_.name("rankine");
  app_.set_version_flag("--version", "rankine " RANKINE_VERSION);
  app_.add_flag("-q,--quiet", quiet_, "Only warnings and errors");
  app_.add_flag("-v,--verbose", verbose_, "Say more");
  app_.require_subcommand(1);
  app_.fallthrough();
  add_train();
  add_plan();
  add_validate();
  add_sample();
  add_generate();
  add_eval();
  add_exports();
  add_score();
  add_inspect();
  add_small_commands();
}

CLI::App* CommandLine::command(const std::string& name, const std::string& what, const std::string& examples,
                               Run run) {
  CLI::App* sub = app_.add_subcommand(name, what);
  sub->footer(examples);
  sub->callback([this, run = std::move(run)] { run_ = run; });
  return sub;
}

void CommandLine::add_config(CLI::App* sub, ConfigArgs& args, bool required) {
  sub->add_option("config", args.file, "The run file (YAML)")->required(required);
  sub->add_option("--set", args.overrides, "Override a key of the run file: key=value, nested keys with dots")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
}

void CommandLine::add_train() {
  CLI::App* sub = command("train", "Train, and write the adapter or model",
                          "  rankine train cyberpunk.yaml\n"
                          "  rankine train cyberpunk.yaml --set lora_rank=16 --set output_dir=out/r16\n"
                          "  rankine train cyberpunk.yaml --resume auto",
                          [this](Console& console) { return run_train(train_, console); });
  add_config(sub, train_.config);
  sub->add_option("--resume", train_.resume,
                  "auto: from the newest intact checkpoint; or a checkpoint folder")
      ->type_name("auto|PATH");
  sub->add_flag("--overwrite", train_.overwrite, "Replace an earlier run in output_dir");
  add_json(sub, train_.json);
}

void CommandLine::add_plan() {
  CLI::App* sub =
      command("plan", "Say what a run will need, without running it",
              "  rankine plan cyberpunk.yaml\n  rankine plan cyberpunk.yaml --gpu rtx4090 --json\n"
              "  rankine plan --shape llama13b --gpu rtx4090 --set quantise_base=nf4",
              [this](Console& console) { return run_plan(plan_, console); });
  add_config(sub, plan_.config, false);
  sub->add_option("--gpu", plan_.gpu,
                  "Plan for this card, which need not be here: rtx3090, rtx4090, h200, cpu (this machine's, "
                  "measured), or a YAML file that describes one. Its kind wins over device and compute_dtype "
                  "of the run file. Not given: the run's own device")
      ->type_name("NAME|FILE");
  sub->add_option(
         "--shape", plan_.shape,
         fmt::format("Plan with a published model's sizes instead of base_model, without its file: {}",
                     fmt::join(shape_names(), ", ")))
      ->type_name("NAME");
  add_json(sub, plan_.json);
}

void CommandLine::add_validate() {
  CLI::App* sub = command("validate", "Check run file, pictures, captions and model, and list every problem",
                          "  rankine validate cyberpunk.yaml\n  rankine validate cyberpunk.yaml --json",
                          [this](Console& console) { return run_validate(validate_, console); });
  add_config(sub, validate_.config);
  add_json(sub, validate_.json);
}

void CommandLine::add_sample() {
  SampleCommand& o = sample_;
  CLI::App* sub = command(
      "sample", "Draw pictures with a model and an adapter",
      "  rankine sample cyberpunk.yaml --prompt \"a street at night\"\n"
      "  rankine sample cyberpunk.yaml --prompts prompts.txt --lora none --out plain --grid plain.png\n"
      "  rankine sample --model sd15.safetensors --lora neon.safetensors --strength 0.8 --prompt fox",
      [this](Console& console) { return run_sample(sample_, console); });
  add_config(sub, o.config, false);
  sub->add_option("--prompt", o.prompts, "A prompt; may be given again")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  sub->add_option("--prompts", o.prompts_file, "A text file with a prompt a line")->type_name("FILE");
  sub->add_option("--negative", o.negative, "What to keep away from")->type_name("TEXT");
  sub->add_option("--model", o.model, "Model file or folder, instead of the run's")->type_name("PATH");
  sub->add_option("--lora", o.lora, "Adapter file, or none; with a run file: the run's own")
      ->type_name("FILE|none");
  sub->add_option("--strength", o.strength, "Of the adapter")->type_name("NUMBER")->capture_default_str();
  sub->add_option("--seed", o.seed, "Picture i, from 0, is drawn with seed + i")->type_name("N");
  sub->add_option("--sampler", o.sampler,
                  "ddim, euler, euler_a, dpmpp_2m; the last three also with \" karras\"")
      ->type_name("NAME");
  sub->add_option("--steps", o.steps, "Denoising steps")->type_name("N")->check(CLI::PositiveNumber);
  sub->add_option("--cfg", o.cfg, "Guidance scale; 1 switches it off")->type_name("NUMBER");
  sub->add_option("--size", o.size, "In pixels")->type_name("WIDTHxHEIGHT");
  sub->add_option("--out", o.out, "Folder for the pictures")->type_name("DIR")->capture_default_str();
  sub->add_option("--grid", o.grid, "Also write one picture of all, with their prompts")->type_name("FILE");
  add_json(sub, o.json);
}

void CommandLine::add_generate() {
  GenerateCommand& o = generate_;
  CLI::App* sub =
      command("generate", "Write text with a language model and an adapter",
              "  rankine generate medical.yaml --prompt \"What helps against scurvy?\"\n"
              "  rankine generate medical.yaml --compare --prompts questions.txt\n"
              "  rankine generate --model llama-2-7b-chat.ggmlv3.q4_0.bin --lora none --prompt Hello",
              [this](Console& console) { return run_generate(generate_, console); });
  add_config(sub, o.config, false);
  sub->add_option("--prompt", o.prompts, "A question; may be given again")
      ->type_name("TEXT")
      ->allow_extra_args(false);
  sub->add_option("--prompts", o.prompts_file, "A text file with a question a line")->type_name("FILE");
  sub->add_option("--system", o.system, "System text")->type_name("TEXT");
  sub->add_option("--model", o.model, "Model file or folder, instead of the run's")->type_name("PATH");
  sub->add_option("--lora", o.lora, "PEFT folder or GGUF adapter, or none; with a run file: the run's own")
      ->type_name("PATH|none");
  sub->add_option("--strength", o.strength, "Of the adapter")->type_name("NUMBER")->capture_default_str();
  sub->add_flag("--compare", o.compare, "Show the base model's answer too");
  sub->add_option("--max-new-tokens", o.max_new_tokens, "Longest answer")
      ->type_name("N")
      ->check(CLI::PositiveNumber);
  sub->add_option("--temperature", o.temperature, "0 takes the likeliest token")
      ->type_name("NUMBER")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--top-p", o.top_p, "Draw from the likeliest tokens of this probability together")
      ->type_name("NUMBER")
      ->check(CLI::Range(0.0, 1.0));
  sub->add_option("--top-k", o.top_k, "Draw from so many tokens")
      ->type_name("N")
      ->check(CLI::NonNegativeNumber);
  sub->add_option("--seed", o.seed, "Of the draws")->type_name("N");
  add_json(sub, o.json);
}

void CommandLine::add_eval() {
  EvalCommand& o = eval_;
  CLI::App* sub = command("eval", "Score base model and adapter on held-out rows",
                          "  rankine eval medical.yaml\n  rankine eval medical.yaml --data test.jsonl --json",
                          [this](Console& console) { return run_eval(eval_, console); });
  add_config(sub, o.config);
  sub->add_option("--lora", o.lora, "PEFT folder or GGUF adapter, or none; not given: the run's own")
      ->type_name("PATH|none");
  sub->add_option("--data", o.data, "Rows to score, instead of the run's held-out ones")->type_name("PATH");
  sub->add_option("--answers", o.answers, "Write every question and its answers here (JSON Lines)")
      ->type_name("FILE");
  add_json(sub, o.json);
}

void CommandLine::add_exports() {
  CLI::App* convert = command("convert", "Write a language model in another container or type",
                              "  rankine convert models/my-llama my-llama.q4_0.gguf --type q4_0\n"
                              "  rankine convert llama.ggmlv3.q8_0.bin llama-hf --type f16",
                              [this](Console& console) { return run_convert(convert_, console); });
  convert->add_option("model", convert_.model, "A Hugging Face folder, a GGUF file, or a GGML file of 2023")
      ->required();
  convert->add_option("out", convert_.out, "NAME.gguf, NAME.bin (ggjt v3), or a folder")->required();
  convert->add_option("--type", convert_.type, "f32, f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0")
      ->capture_default_str();
  CLI::App* merge = command("merge", "Fold a run's adapter into its model, and say what that costs",
                            "  rankine merge medical.yaml --out medical-merged.gguf --type q8_0",
                            [this](Console& console) { return run_merge(merge_, console); });
  add_config(merge, merge_.config);
  merge->add_option("--lora", merge_.lora, "PEFT folder or GGUF adapter; not given: the run's own")
      ->type_name("PATH");
  merge->add_option("--out", merge_.out, "NAME.gguf, NAME.bin (ggjt v3), or a folder")
      ->type_name("PATH")
      ->required();
  merge->add_option("--type", merge_.type, "As for convert")->capture_default_str();
  add_json(merge, merge_.json);
}

void CommandLine::add_score() {
  CLI::App* sub = command("score", "Score pictures of the style example: style and colours asked for",
                          "  rankine score out/ --prompts examples/sd-style/held_out.txt",
                          [this](Console& console) { return run_score(score_, console); });
  sub->add_option("pictures", score_.pictures, "A folder, or PNG files in the order of the prompts")
      ->required();
  sub->add_option("--prompts", score_.prompts_file, "The prompts they were drawn with, one a line")
      ->type_name("FILE")
      ->required();
  sub->add_option("--before", score_.before, "Pictures of the same prompts without the adapter")
      ->type_name("FOLDER");
  sub->add_option("--into", score_.run_dir, "Run folder whose report the scores join")->type_name("RUN");
  add_json(sub, score_.json);
}

void CommandLine::add_inspect() {
  CLI::App* sub =
      command("inspect", "Say what a model, adapter or checkpoint is and holds",
              "  rankine inspect adapter.safetensors\n  rankine inspect v1-5-pruned.safetensors --json",
              [this](Console& console) { return run_inspect(inspect_, console); });
  sub->add_option("path", inspect_.path, "A model or adapter: file or folder; a checkpoint folder")
      ->required();
  add_json(sub, inspect_.json);
}

void CommandLine::add_small_commands() {
  CLI::App* cache =
      command("cache", "Encode the pictures of a run ahead of training", "  rankine cache cyberpunk.yaml",
              [this](Console& console) { return run_cache(cache_, console); });
  add_config(cache, cache_.config);
  CLI::App* report =
      command("report", "Make report.html of a run folder again", "  rankine report output/cyberpunk_lora",
              [this](Console& console) { return run_report(run_dir_, console); });
  report->add_option("run", run_dir_, "The run's output_dir")->required();
  CLI::App* doctor = command("doctor", "Say what this machine and this build can do", "  rankine doctor",
                             [this](Console& console) { return run_doctor(doctor_, console); });
  add_json(doctor, doctor_.json);
  CLI::App* schema = command("schema", "Print the JSON Schema of the run file, for editors",
                             "  rankine schema > run.schema.json",
                             [this](Console&) { return run_schema(schema_as_markdown_); });
  schema->add_flag("--markdown", schema_as_markdown_,
                   "The reference of all keys (docs/configuration.md) instead");
  CLI::App* completion = command("completion", "Print a completion script",
                                 "  source <(rankine completion bash)", [this](Console&) {
                                   fmt::print("{}", completion_script(app_, shell_));
                                   return static_cast<int>(kFinished);
                                 });
  completion->add_option("shell", shell_, "bash, zsh or fish")->required();
}

void CommandLine::suggest_command(const std::string& word) const {
  std::vector<std::string> names;
  for (const CLI::App* sub : app_.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(sub->get_name());
  if (std::find(names.begin(), names.end(), word) != names.end()) return;
  const auto near = config::nearest(word, names);
  if (near) fmt::print(stderr, "There is no command '{}'. Did you mean '{}'?\n", word, *near);
}

ParsedCommand CommandLine::parse(int argc, char** argv) {
  ParsedCommand parsed;
  try {
    app_.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    if (argc > 1 && argv[1][0] != '-') suggest_command(argv[1]);
    const bool asked = app_.exit(e) == 0;  // help or version
    parsed.exit_code = asked ? kFinished : kWrongConfig;
    return parsed;
  }
  parsed.verbosity = quiet_ ? Verbosity::quiet : verbose_ ? Verbosity::verbose : Verbosity::normal;
  parsed.run = run_;
  return parsed;
}

}  // namespace

ParsedCommand parse_command_line(int argc, char** argv) {
  // The options live as long as the process: the parsed command refers to them.
  static CommandLine line;
  return line.parse(argc, argv);
}

}  // namespace rankine::app
