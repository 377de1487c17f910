// rankine-bench kernels: every operation at the shapes of published models, against what the device can do.
#pragma once

#include <string>
#include <vector>

#include "bench/ceilings.h"
#include "bench/kernel_cases.h"
#include "bench/operands.h"
#include "bench/stopwatch.h"

namespace rankine::bench {

struct KernelsOptions {
  std::string device = "cpu";         // cpu, cuda, cuda:N
  std::vector<std::string> models{};  // empty: all on CUDA, sd15 on a CPU
  int batch = 0;                      // 0: all of the table on CUDA, 1 on a CPU
  std::string filter{};               // only cases whose name contains it
  std::string type = "fp16";          // of activations on CUDA: fp16, bf16
  bool quick = false;                 // tiny sizes, one call each
  bool json = false;                  // one JSON document instead of a table
  int threads = 0;                    // 0: one per core
  int rank = 16;                      // of the adapters
  double seconds = 0.1;               // per case
  double limit = 0;                   // seconds after which no further case is begun; 0: none
  std::string save{};                 // also write the JSON document to this file
};

struct KernelLine {
  KernelCase what;
  Cost cost;  // as the operation's own door counts it
  Timing time;
  Bound bound;
  int sets;               // of operands
  Sharing sharing;        // among them
  std::string skipped{};  // why it was not run: no memory or no time for it
  bool failed = false;    // it threw; `skipped` says what
  double share() const { return time.seconds > 0 ? bound.seconds / time.seconds : 0; }
};

struct KernelsResult {
  Ceilings ceilings;
  std::vector<KernelLine> lines;
};

// Throws ConfigError for a device, type or model that does not exist.
Device bench_device(const std::string& name);
// `seen` is called when the ceilings are measured, and after every line.
using Seen = std::function<void(const KernelsResult& so_far)>;
KernelsResult measure_kernels(const KernelsOptions& options, const Seen& seen = {});
int run_kernels(const KernelsOptions& options);  // and prints; 1 when a case failed

// What adapters of one model cost beside its frozen linears: sums over the step's linears, times their
// counts, of the adapted products and their small products over the frozen products.
struct AdapterCost {
  std::string model;  // "sd15 b4"
  double forward = 0, both = 0;
};
std::vector<AdapterCost> adapter_costs(const std::vector<KernelLine>& lines);

}  // namespace rankine::bench
