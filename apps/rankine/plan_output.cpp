#include "apps/rankine/plan_output.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "io/record/progress.h"

namespace rankine::app {
namespace {

using Json = nlohmann::ordered_json;

// No step can be faster: all of its arithmetic at the card's rated speed, or all of its bytes.
double floor_seconds(const Cost& cost, const CardSpec& card) {
  return std::max(cost.flops / card.peak_flops_per_second, cost.bytes / card.peak_bytes_per_second);
}

Json seconds_json(double seconds) { return seconds > 0 ? Json(seconds) : Json(); }
Json floor_json(const Cost& cost, const Forecast& f) {
  return f.card ? Json(floor_seconds(cost, *f.card)) : Json();
}

Json buckets_json(const Forecast& f) {
  Json buckets = Json::array();
  for (const BucketPlan& b : f.plan.buckets) {
    buckets.push_back({{"width", b.size.width},
                       {"height", b.size.height},
                       {"tokens", b.tokens},
                       {"visits_per_epoch", b.visits},
                       {"batch", b.batch},
                       {"flops", b.micro_step.flops},
                       {"seconds", seconds_json(b.seconds)},
                       {"waited_seconds", b.waited},
                       {"moved_bytes", b.moved},
                       {"floor_seconds", floor_json(b.micro_step, f)},
                       {"peak_bytes", b.peak}});
  }
  return buckets;
}

Json policy_json(const RunPlan& plan) {
  Json units = Json::array();
  for (std::size_t i = 0; i < plan.units.size(); ++i) {
    const UnitReport& unit = plan.units[i];
    units.push_back({{"layer", unit.name},
                     {"action", action_of(plan.policy.at(static_cast<int>(i)))},
                     {"saved_bytes", unit.saved},
                     {"forward_seconds", seconds_json(unit.forward_seconds)}});
  }
  return {{"layers", units},
          {"streamed_layers", plan.policy.streamed_units},
          {"tape_resident_bytes", plan.tape.resident_peak},
          {"tape_paged_bytes", plan.tape.paged_peak},
          {"host_page_bytes", plan.pages_in_host},
          {"file_page_bytes", plan.pages_in_file},
          {"host_weight_bytes", plan.weights_in_host},
          {"file_weight_bytes", plan.weights_in_file},
          {"unbound_micro_step_seconds", seconds_json(plan.unbound_seconds)}};
}

Json suggestions_json(const Forecast& f) {
  Json suggestions = Json::array();
  for (const Suggestion& s : f.suggestions) {
    suggestions.push_back(
        {{"settings", s.settings}, {"peak_bytes", s.plan.peak}, {"seconds", seconds_json(s.plan.seconds)}});
  }
  return suggestions;
}

Json whole_json(const Forecast& f) {
  const RunPlan& plan = f.plan;
  Json accounts = Json::object(), phases = Json::object();
  for (const auto& [name, bytes] : plan.accounts) accounts[name] = bytes;
  for (const PlanPhase& phase : plan.phases) phases[phase.name] = phase.peak;
  Json out = {{"model", plan.model},
              {"device", f.target.compute.device.is_cuda() ? "cuda" : "cpu"},
              {"activations", name_of(f.target.compute.activations)},
              {"fits", f.fits()},
              {"peak_bytes", plan.peak},
              {"minimum_bytes", plan.minimum},
              {"budget_bytes", f.target.budget},
              {"accounts", accounts},
              {"phases", phases},
              {"policy", policy_json(plan)},
              {"buckets", buckets_json(f)},
              {"trained_numbers", plan.parameters},
              {"max_steps", plan.max_steps},
              {"flops", plan.step.flops},
              {"bytes", plan.step.bytes},
              {"seconds", seconds_json(plan.seconds)},
              {"floor_seconds", floor_json(plan.step, f)},
              {"suggestions", suggestions_json(f)},
              {"gpu", f.card ? Json(f.card->card.name) : Json()}};
  if (!f.card) return out;
  const Card& card = f.card->card;
  out.update({{"gpu_flops_per_second", card.flops_per_second},
              {"gpu_bytes_per_second", card.bytes_per_second},
              {"gpu_link_bytes_per_second", card.link_bytes_per_second},
              {"gpu_file_bytes_per_second", card.file_bytes_per_second},
              {"gpu_launch_seconds", card.launch_seconds},
              {"gpu_peak_flops_per_second", f.card->peak_flops_per_second},
              {"gpu_peak_bytes_per_second", f.card->peak_bytes_per_second},
              {"gpu_memory_bytes", card.memory},
              {"gpu_reserved_bytes", f.card->reserved}});
  return out;
}

std::string seconds_text(double seconds) { return seconds > 0 ? fmt::format("{:.4f} s", seconds) : "-"; }

void print_buckets(const Forecast& f) {
  fmt::print("  {:<14}{:>8}{:>8}{:>14}{:>14}{:>14}\n", "size", "visits", "batch", "GFLOP", "predicted",
             "at least");
  for (const BucketPlan& b : f.plan.buckets) {
    if (b.micro_step.flops == 0) continue;
    fmt::print("  {:<14}{:>8}{:>8}{:>14.1f}{:>14}{:>14}\n",
               b.tokens > 0 ? fmt::format("{} tokens", b.tokens)
                            : fmt::format("{} x {}", b.size.width, b.size.height),
               b.visits > 0 ? std::to_string(b.visits) : "-", b.batch, b.micro_step.flops * 1e-9,
               seconds_text(b.seconds), f.card ? seconds_text(floor_seconds(b.micro_step, *f.card)) : "-");
  }
}

void print_policy(const RunPlan& plan) {
  if (policy_summary(plan).empty()) return;
  fmt::print("\n  {:<52}{:>6}{:>12}  {}\n", "layers", "", "saved", "");
  for (const PolicyRun& run : policy_runs(plan)) {
    const std::string names = run.units == 1 ? run.first : run.first + " .. " + run.last;
    fmt::print("  {:<52}{:>6}{:>12}  {}\n", names, run.units, human_bytes(static_cast<double>(run.saved)),
               action_of(run.policy));
  }
  fmt::print("  {}\n", policy_summary(plan));
}

void print_times(const Forecast& f) {
  const RunPlan& plan = f.plan;
  fmt::print("\nOne optimizer step: {:.1f} GFLOP, {} moved at least\n", plan.step.flops * 1e-9,
             human_bytes(plan.step.bytes));
  if (!f.card) {
    fmt::print("  no times: the rates of this card are not known; describe it in a file for --gpu\n");
    return;
  }
  const Card& card = f.card->card;
  fmt::print("  on {}: {} predicted, not under {}\n", card.name, seconds_text(plan.seconds),
             seconds_text(floor_seconds(plan.step, *f.card)));
  fmt::print(
      "  {}: {:.1f} TFLOP/s, {:.1f} GB/s, link {:.1f} GB/s, disk {:.1f} GB/s, {:.1f} us an operation\n"
      "  ({})\n",
      card.name, card.flops_per_second * 1e-12, card.bytes_per_second * 1e-9,
      card.link_bytes_per_second * 1e-9, card.file_bytes_per_second * 1e-9, card.launch_seconds * 1e6,
      card.source);
  if (plan.max_steps > 0) {
    const double all = plan.seconds * static_cast<double>(plan.max_steps);
    fmt::print("The run: {} steps, predicted {}\n", plan.max_steps,
               all < 10 ? fmt::format("{:.3f} s", all) : format_duration(all));
  }
}

}  // namespace

std::string plan_json(const Forecast& f) { return whole_json(f).dump(2) + "\n"; }

void print_plan(const Forecast& f, const RunConfig& config) {
  const RunPlan& plan = f.plan;
  fmt::print("{}: {} numbers train, activations {}\n\n{}\n\n", plan.model, plan.parameters,
             name_of(f.target.compute.activations), plan_table(plan));
  print_buckets(f);
  print_policy(plan);
  print_times(f);
  const std::string budget = human_bytes(static_cast<double>(f.target.budget));
  std::string from = "what is free now less a tenth";
  if (config.machine.memory_budget.bytes != 0)
    from = "memory_budget";
  else if (f.card && f.card->card.kind == DeviceKind::cuda)
    from = fmt::format("{} less {} for others", human_bytes(static_cast<double>(f.card->card.memory)),
                       human_bytes(static_cast<double>(f.card->reserved)));
  fmt::print("{}: needs {} of {} ({})\n", f.fits() ? "Fits" : "Does not fit",
             human_bytes(static_cast<double>(plan.peak)), budget, from);
  if (!f.fits()) fmt::print("{}\n", suggestions_text(f.suggestions));
}

}  // namespace rankine::app
