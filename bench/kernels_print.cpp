#include "bench/kernels_print.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace rankine::bench {
namespace {

constexpr const char* kEmulated = "emulated: times mean nothing";

bool emulated(const KernelsOptions& o) { return build::emulated && o.device != "cpu"; }

// w: what was written just before may be found in a cache. c: called, not played from a recording.
std::string marks(const KernelLine& l, bool on_cuda) {
  std::string m = l.sets == 1 ? " w" : "";
  return on_cuda && !l.time.recorded ? m + " c" : m;
}

}  // namespace

void print_head(const KernelsOptions& o, const Ceilings& ceilings) {
  std::printf("device: %s\n", ceilings.device.c_str());
  if (emulated(o)) std::printf("%s\n", kEmulated);
  for (const Ceilings::Line& l : ceilings.lines)
    std::printf("ceiling: %-24s %10.1f G%s\n", l.name.c_str(), l.value * 1e-9, l.unit.c_str());
  std::printf(
      "share: the least time by the best ceilings, flops or bytes, the longer, over the time measured\n"
      "spread: of the middle half of the rounds, of the median\n"
      "w: one set of operands, found in a cache where it fits; others are used in turn, beyond the cache:\n"
      "   all of them where bytes bound, the weights where flops do\n");
  if (ceilings.mma_flops > 0) std::printf("c: called one by one, not played from a recording\n");
  std::printf("\n%-12s %-30s %-28s %5s %11s %10s %9s  %-5s  %5s %5s\n", "model", "operation", "shape",
              "count", "us", "GFLOP/s", "GB/s", "bound", "share", "spread");
  std::fflush(stdout);
}

void print_line(const KernelLine& l, bool on_cuda) {
  const std::string model = join(l.what.model, " b", l.what.batch), name(l.what.operation->name);
  std::printf("%-12s %-30s %-28s %5.0f ", model.c_str(), name.c_str(), l.what.shape().c_str(), l.what.count);
  if (l.skipped.empty()) {
    std::printf("%11.1f %10.1f %9.1f  %s  %5.2f %5.2f%s\n", l.time.seconds * 1e6,
                l.cost.flops / l.time.seconds * 1e-9, l.cost.bytes / l.time.seconds * 1e-9,
                l.bound.by_bytes ? "bytes" : "flops", l.share(), l.time.spread, marks(l, on_cuda).c_str());
  } else {
    std::printf("%s: %s\n", l.failed ? "FAILED" : "not run", l.skipped.c_str());
  }
  std::fflush(stdout);
}

void print_end(const KernelsOptions& o, const KernelsResult& r) {
  for (const AdapterCost& a : adapter_costs(r.lines))
    std::printf("\n%s, adapters of rank %d: %.3f of the frozen linears forward, %.3f with backward",
                a.model.c_str(), o.rank, a.forward, a.both);
  std::printf("\n");
}

std::string json_of(const KernelsOptions& o, const KernelsResult& r) {
  nlohmann::json doc{{"device", r.ceilings.device},
                     {"emulated", emulated(o)},
                     {"rank", o.rank},
                     {"ceiling_flops", r.ceilings.flops},
                     {"ceiling_bytes", r.ceilings.bytes},
                     {"mma_flops", r.ceilings.mma_flops},
                     {"quick", o.quick}};
  if (emulated(o)) doc["note"] = kEmulated;
  if (r.ceilings.mma_flops > 0) doc["type"] = o.type;
  for (const Ceilings::Line& l : r.ceilings.lines)
    doc["ceilings"].push_back({{"name", l.name}, {"unit", l.unit}, {"value", l.value}});
  doc["kernels"] = nlohmann::json::array();
  for (const KernelLine& l : r.lines) {
    nlohmann::json line{
        {"model", l.what.model},   {"batch", l.what.batch}, {"kernel", l.what.operation->name},
        {"shape", l.what.shape()}, {"count", l.what.count}, {"flops", l.cost.flops},
        {"bytes", l.cost.bytes}};
    if (!l.skipped.empty()) {
      line["skipped"] = l.skipped;
      line["failed"] = l.failed;
    } else {
      line.update(nlohmann::json{{"seconds", l.time.seconds},
                                 {"spread", l.time.spread},
                                 {"calls", l.time.calls},
                                 {"recorded", l.time.recorded},
                                 {"bound", l.bound.by_bytes ? "bytes" : "flops"},
                                 {"share", l.share()},
                                 {"sets", l.sets},
                                 {"activations_cold", l.sharing == Sharing::nothing && l.sets > 1}});
    }
    doc["kernels"].push_back(std::move(line));
  }
  for (const AdapterCost& a : adapter_costs(r.lines))
    doc["adapters"].push_back({{"model", a.model}, {"forward", a.forward}, {"both", a.both}});
  return doc.dump(2);
}

}  // namespace rankine::bench
