// A whole training step on random weights in the exact shapes of a published model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/phases.h"
#include "engine/core/traffic.h"
#include "engine/tape/step_memory.h"

namespace rankine::bench {

struct StepBenchOptions {
  std::string model = "sd15";  // sd15, sd21, sdxl; llama7b, llama1b, chatglm3
  std::string device = "cpu";  // cpu, cuda, cuda:N
  std::string type = "fp16";   // of activations on CUDA: fp16, bf16
  // Bytes of the device's memory; 0: what there is. Where the step needs more, the policy that costs least.
  std::uint64_t memory_budget = 0;
  std::int64_t tokens = 256;  // of a step, language models
  std::string base = "fp16";  // type of their weights: fp16, q4_0, q8_0, nf4
  // Language models: their weights, used when it is there, else written and kept; empty: temporary.
  // Pictures: a model to load instead of random weights.
  std::string file;
  std::string dump;         // folder for the first step as bench/step_dump.h has it; nothing is timed then
  int conv_rank = 0;        // of adapters on 3x3 convolutions, pictures; 0: none
  bool all_linear = false;  // adapters on every linear, not on q and v alone
  int resolution = 256;     // pixels, square
  int batch = 1;
  int rank = 8;
  int steps = 3;  // timed ones, after one to warm up; the median counts
  int threads = 0;
  int streamed = 0;              // units of the model whose weights are not kept on the device
  std::uint64_t host_pages = 0;  // CUDA: bytes of them in page-locked memory, the rest in a file; 0: all
  bool text_encoder = false;     // adapters there too
  bool recompute = false;
  bool page_only = false;  // memory_budget is met by paging alone
  bool json = false;
  bool profile = false;  // print the cost of every operation
};

struct StepBenchResult {
  double seconds = 0;                // median step: forward, backward, clip, optimizer
  double flops = 0;                  // per step, convolutions counted as direct ones
  std::uint64_t peak_bytes = 0;      // CPU: resident, of this process; CUDA: of the device's arena
  std::uint64_t planned_bytes = 0;   // what the plan device forecast
  std::uint64_t streamed_bytes = 0;  // weights that come in once a forward and once a backward pass
  double matmul_gflops = 0;          // measured in this run on the same threads
  double matmul_share = 0;           // flops / seconds over the rate above
  double busy = 0;                   // CUDA: share of the step that the device worked
  // Of the device's memory alone, without what is mapped from files.
  std::size_t planned_tracked = 0, tracked_peak = 0;
  MemoryPolicy policy;            // what kept the step within memory_budget
  std::vector<UnitReport> units;  // of a step
  Traffic traffic;                // of the last timed step
  int paged_units() const { return count(&UnitPolicy::page); }
  int recomputed_units() const { return count(&UnitPolicy::recompute); }
  int count(bool UnitPolicy::*what) const {
    int n = 0;
    for (int i = 0; i < static_cast<int>(units.size()); ++i) n += policy.at(i).*what ? 1 : 0;
    return n;
  }
  std::vector<Phases::Line> phases;  // of one more step, not recorded
  double load_seconds = 0,
         first_step_seconds = 0;  // from nothing to a loaded model, and to its first step's end
};

StepBenchResult run_step_bench(const StepBenchOptions& options);
void print(const StepBenchOptions& options, const StepBenchResult& result);

}  // namespace rankine::bench
