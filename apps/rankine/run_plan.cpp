#include "apps/rankine/run_plan.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>

#include "apps/rankine/machine.h"

namespace rankine::app {

void Ledger::begin() {
  memory_.reset_peak();
  cost_.clear();
  begun_ = clock_ ? clock_->now() : 0;
}

void Ledger::end(const std::string& name) {
  plan_.phases.push_back({name, peak()});
  if (peak() <= plan_.peak) return;
  plan_.peak = peak();
  plan_.accounts.clear();
  std::size_t held = 0;
  for (int i = 0; i < kAccounts; ++i) {
    const auto account = static_cast<Account>(i);
    plan_.accounts.emplace_back(name_of(account), memory_.at_peak(account));
    if (account != Account::mapped) held += memory_.at_peak(account);
  }
  plan_.mapped = memory_.at_peak(Account::mapped);
  plan_.accounts.emplace_back("gaps", plan_.peak - held);
}

void add(Cost& sum, const Cost& cost, double times) {
  sum.flops += times * cost.flops;
  sum.bytes += times * cost.bytes;
}

void require_fits(const RunPlan& plan, const RunConfig& config, std::size_t budget,
                  const std::function<std::string()>& what_helps) {
  if (plan.peak <= budget) return;
  const bool automatic = config.machine.memory_budget.bytes == 0;
  const std::string message =
      fmt::format("this run needs {} of memory, but the budget is {} ({}).\n{}\n{}",
                  human_bytes(static_cast<double>(plan.peak)), human_bytes(static_cast<double>(budget)),
                  automatic ? "90 % of what is free now" : "memory_budget", plan_table(plan), what_helps());
  if (automatic && plan.peak <= total_memory()) throw OutOfMemory(message);
  throw ConfigError(message);
}

std::string plan_table(const RunPlan& plan) {
  std::string out = fmt::format("  {:<28}{:>12}\n", "at the peak", "memory");
  for (const auto& [name, bytes] : plan.accounts) {
    if (bytes > 0) out += fmt::format("  {:<28}{:>12}\n", name, human_bytes(static_cast<double>(bytes)));
  }
  out += fmt::format("  {:<28}{:>12}\n\n  {:<28}{:>12}\n", "in all",
                     human_bytes(static_cast<double>(plan.peak)), "most memory while", "");
  for (const PlanPhase& phase : plan.phases) {
    out += fmt::format("  {:<28}{:>12}\n", phase.name, human_bytes(static_cast<double>(phase.peak)));
  }
  out.pop_back();
  return out;
}

std::string_view action_of(const UnitPolicy& policy) {
  if (policy.recompute) return policy.page ? "recompute, page its inputs" : "recompute";
  return policy.page ? "page" : "keep";
}

std::vector<PolicyRun> policy_runs(const RunPlan& plan) {
  std::vector<PolicyRun> runs;
  for (std::size_t i = 0; i < plan.units.size(); ++i) {
    const UnitReport& unit = plan.units[i];
    const UnitPolicy policy = plan.policy.at(static_cast<int>(i));
    if (runs.empty() || runs.back().policy != policy) runs.push_back({unit.name, unit.name, 0, policy, 0});
    PolicyRun& run = runs.back();
    run.last = unit.name;
    ++run.units;
    run.saved += unit.saved;
  }
  return runs;
}

std::string policy_summary(const RunPlan& plan) {
  std::map<std::string_view, int> counts;
  for (std::size_t i = 0; i < plan.units.size(); ++i)
    ++counts[action_of(plan.policy.at(static_cast<int>(i)))];
  std::string out;
  for (const auto& [action, count] : counts) {
    if (action != "keep")
      out += fmt::format("{}{} of {} layers: {}", out.empty() ? "" : "; ", count, plan.units.size(), action);
  }
  if (plan.policy.streamed_units > 0)
    out +=
        fmt::format("{}weights of {} layers streamed", out.empty() ? "" : "; ", plan.policy.streamed_units);
  const double moved = plan.buckets.empty() ? 0 : static_cast<double>(plan.buckets[0].moved);
  if (moved > 0) out += fmt::format("; {} moved in a micro-step", human_bytes(moved));
  return out.empty() ? out : "To fit: " + out;
}

}  // namespace rankine::app
