#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "apps/rankine/commands.h"
#include "apps/rankine/device_choice.h"
#include "apps/rankine/exit_code.h"
#include "apps/rankine/machine.h"
#include "apps/rankine/workload.h"
#include "io/record/progress.h"

namespace rankine::app {
namespace {

using Json = nlohmann::ordered_json;

Card card_named(const std::string& name, int threads) {
  if (name == "cpu") return measure_cpu(threads);
  std::string known = "cpu";
  for (const Card& card : cards()) {
    if (card.name == name) return card;
    known += fmt::format(", {}", card.name);
  }
  throw ConfigError(fmt::format("--gpu: no card is called '{}'; known: {}", name, known));
}

// No step can be faster: all of its arithmetic at the card's full rate, or all of its bytes.
double floor_seconds(const Cost& cost, const Card& card) {
  return std::max(cost.flops / card.flops_per_second, cost.bytes / card.bytes_per_second);
}

Json to_json(const RunPlan& plan, const Card& card) {
  Json accounts = Json::object(), phases = Json::object(), buckets = Json::array();
  for (const auto& [name, bytes] : plan.accounts) accounts[name] = bytes;
  for (const PlanPhase& phase : plan.phases) phases[phase.name] = phase.peak;
  for (const BucketPlan& b : plan.buckets) {
    buckets.push_back({{"width", b.size.width},
                       {"height", b.size.height},
                       {"tokens", b.tokens},
                       {"visits_per_epoch", b.visits},
                       {"batch", b.batch},
                       {"flops", b.micro_step.flops},
                       {"peak_bytes", b.peak}});
  }
  return {{"model", plan.model},
          {"peak_bytes", plan.peak},
          {"accounts", accounts},
          {"phases", phases},
          {"buckets", buckets},
          {"trained_numbers", plan.parameters},
          {"max_steps", plan.max_steps},
          {"flops", plan.step.flops},
          {"bytes", plan.step.bytes},
          {"floor_seconds", floor_seconds(plan.step, card)},
          {"gpu", card.name},
          {"gpu_flops_per_second", card.flops_per_second},
          {"gpu_bytes_per_second", card.bytes_per_second}};
}

void print_text(const RunPlan& plan, const Card& card) {
  fmt::print("{}: {} numbers train\n\n{}\n\n", plan.model, plan.parameters, plan_table(plan));
  fmt::print("  {:<14}{:>8}{:>8}{:>14}{:>12}\n", "size", "visits", "batch", "GFLOP", "at least");
  for (const BucketPlan& b : plan.buckets) {
    if (b.micro_step.flops == 0) continue;
    fmt::print("  {:<14}{:>8}{:>8}{:>14.1f}{:>10.3f} s\n",
               b.tokens > 0 ? fmt::format("{} tokens", b.tokens)
                            : fmt::format("{} x {}", b.size.width, b.size.height),
               b.visits > 0 ? std::to_string(b.visits) : "-", b.batch, b.micro_step.flops * 1e-9,
               floor_seconds(b.micro_step, card));
  }
  const double least = floor_seconds(plan.step, card);
  fmt::print("\nOne optimizer step: {:.1f} GFLOP, {} moved at least; on {} not under {:.3f} s\n",
             plan.step.flops * 1e-9, human_bytes(plan.step.bytes), card.name, least);
  fmt::print("  {}: {:.0f} GFLOP/s, {:.1f} GB/s ({})\n", card.name, card.flops_per_second * 1e-9,
             card.bytes_per_second * 1e-9, card.source);
  if (plan.max_steps > 0) {
    const double all = least * static_cast<double>(plan.max_steps);
    fmt::print("The run: {} steps, not under {}\n", plan.max_steps,
               all < 10 ? fmt::format("{:.3f} s", all) : format_duration(all));
  }
  if (card.name != "cpu") {
    fmt::print(
        "Bytes are those of the fp32 CPU backend; with fp16 activations on a GPU they will be fewer.\n");
  }
}

}  // namespace

int run_plan(const PlanCommand& command, Console& console) {
  const RunConfig config = load_config(command.config);
  const std::unique_ptr<Workload> workload = make_workload(config);
  if (std::filesystem::exists(config.data.train_data_dir)) {
    RunFacts unused;
    workload->open_data(console, unused);
  } else {
    console.warn(config.data.train_data_dir + ": not found; planning the largest shape without the data");
  }
  const Card card = card_named(command.gpu, static_cast<int>(config.machine.threads));
  const RunPlan plan = workload->plan();
  if (command.json) {
    fmt::print("{}\n", to_json(plan, card).dump(2));
  } else {
    print_text(plan, card);
  }
  const std::size_t budget = memory_budget(config.machine);
  if (plan.peak > budget) {
    console.warn(
        fmt::format("does not fit this machine's budget of {}", human_bytes(static_cast<double>(budget))));
  }
  return kFinished;
}

}  // namespace rankine::app
