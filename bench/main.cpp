// rankine-bench: measures kernels and steps against what the machine can do.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <exception>

#include "bench/kernels_bench.h"
#include "bench/step_bench.h"

int main(int argc, char** argv) {
  using namespace rankine::bench;
  CLI::App app{"Measures Rankine's kernels and training steps against what this machine can do."};
  app.require_subcommand(1);

  KernelsOptions kernels;
  CLI::App* k = app.add_subcommand("kernels",
                                   "Every operation at the shapes of published models, as a share of "
                                   "what the device can do, measured in the same run");
  k->add_option("--device", kernels.device, "cpu, cuda or cuda:N")->capture_default_str();
  k->add_option("--model", kernels.models,
                "sd15, sdxl, llama7b, llama1b, chatglm3, short, generate; all on CUDA, sd15 on a CPU")
      ->delimiter(',');
  k->add_option("--batch", kernels.batch, "Pictures: 1 or 4; 0 is both on CUDA, 1 on a CPU")
      ->check(CLI::NonNegativeNumber);
  k->add_option("--filter", kernels.filter, "Only cases whose name contains this");
  k->add_option("--type", kernels.type, "Activations on CUDA: fp16, bf16")->capture_default_str();
  k->add_flag("--quick", kernels.quick, "Tiny sizes, few calls: shows that everything runs");
  k->add_flag("--json", kernels.json, "Print one JSON document");
  k->add_option("--save", kernels.save, "Also write the JSON document to this file");
  k->add_option("--limit", kernels.limit, "Seconds after which no further case is begun")
      ->check(CLI::NonNegativeNumber);
  k->add_option("--threads", kernels.threads, "Threads; 0 is one per core")->check(CLI::NonNegativeNumber);
  k->add_option("--rank", kernels.rank, "Rank of the adapters")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  k->add_option("--seconds", kernels.seconds, "Seconds per case")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();

  StepBenchOptions step;
  CLI::App* s =
      app.add_subcommand("step", "A whole LoRA training step on random fp16 weights in published shapes");
  s->add_option("--model", step.model, "sd15, sd21, sdxl; llama7b, llama1b, chatglm3")->capture_default_str();
  s->add_option("--device", step.device, "cpu, cuda or cuda:N")->capture_default_str();
  s->add_option("--type", step.type, "Activations on CUDA: fp16, bf16")->capture_default_str();
  s->add_option("--memory-budget", step.memory_budget, "Memory of the device that may be used, such as 24GiB")
      ->transform(CLI::AsSizeValue(false));
  s->add_option("--resolution", step.resolution, "Edge of the picture")
      ->check(CLI::Range(64, 2048))
      ->capture_default_str();
  s->add_option("--batch", step.batch, "Pictures")->check(CLI::PositiveNumber)->capture_default_str();
  s->add_option("--rank", step.rank, "Rank of the adapters")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  s->add_option("--tokens", step.tokens, "Tokens of a step (language models)")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  s->add_option("--base", step.base, "Their frozen weights: fp16, q4_0, q8_0, nf4")->capture_default_str();
  s->add_option(
      "--file", step.file,
      "Language models: file of random weights, used, or written and kept; pictures: a model to load");
  s->add_option("--dump", step.dump,
                "Write the first step to this folder, for bench/peers, and time nothing");
  s->add_option("--conv-rank", step.conv_rank, "Rank of adapters on 3x3 convolutions; 0 is none")
      ->check(CLI::NonNegativeNumber);
  s->add_flag("--all-linear", step.all_linear, "Adapters on every linear, not on q and v alone");
  s->add_option("--steps", step.steps, "Timed steps; the median counts")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  s->add_option("--threads", step.threads, "Threads; 0 is one per core")->check(CLI::NonNegativeNumber);
  s->add_option("--streamed", step.streamed, "Units whose weights are streamed (of a CPU: those not mapped)")
      ->check(CLI::NonNegativeNumber);
  s->add_option("--host-pages", step.host_pages,
                "CUDA: page-locked memory for streamed weights, such as 8GiB; the rest is in a file; 0: all")
      ->transform(CLI::AsSizeValue(false));
  s->add_flag("--text-encoder", step.text_encoder, "Train the text encoder too");
  s->add_flag("--recompute", step.recompute, "Keep only block inputs and run forward again");
  s->add_flag("--page-only", step.page_only, "Meet the memory budget by paging alone");
  s->add_flag("--profile", step.profile, "Print the time and cost of every operation");
  s->add_flag("--json", step.json, "Print one JSON document");

  CLI11_PARSE(app, argc, argv);
  try {
    if (k->parsed()) return run_kernels(kernels);
    const StepBenchResult result = run_step_bench(step);
    if (step.dump.empty()) print(step, result);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "rankine-bench: %s\n", e.what());
    return 1;
  }
  return 0;
}
