// rankine-bench: measures kernels and steps against what the machine can do.
#include <CLI/CLI.hpp>

#include "bench/kernels_bench.h"

int main(int argc, char** argv) {
  using namespace rankine::bench;
  CLI::App app{"Measures Rankine's kernels and training steps against what this machine can do."};
  app.require_subcommand(1);

  KernelsOptions kernels;
  CLI::App* k = app.add_subcommand("kernels", "Each product of a Stable Diffusion 1.5 LoRA step, fp16-stored weights");
  k->add_option("--filter", kernels.filter, "Only cases whose name contains this");
  k->add_flag("--json", kernels.json, "Print one JSON document");
  k->add_option("--threads", kernels.threads, "Threads; 0 is one per core")->check(CLI::NonNegativeNumber);
  k->add_option("--pixels", kernels.pixels, "Edge of the picture")->check(CLI::Range(64, 2048))->capture_default_str();
  k->add_option("--batch", kernels.batch, "Pictures")->check(CLI::PositiveNumber)->capture_default_str();
  k->add_option("--rank", kernels.rank, "Rank of the adapters")->check(CLI::PositiveNumber)->capture_default_str();
  k->add_option("--seconds", kernels.seconds, "Seconds per case")->check(CLI::PositiveNumber)->capture_default_str();

  CLI11_PARSE(app, argc, argv);
  if (k->parsed()) return run_kernels(kernels);
  return 0;
}
