#include "apps/rankine/run_plan.h"

#include <fmt/core.h>

#include <algorithm>

#include "apps/rankine/machine.h"
#include "engine/train/train_state.h"

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

void plan_training(const Context& context, Task& task, const RunConfig& config, RunPlan& plan,
                   const PlannedParts& parts) {
  Context c = context;
  Ledger ledger(c.runtime(), plan);
  const TrainOptions options = train_options(config, std::max<std::int64_t>(1, plan.max_steps));
  ledger.begin();
  TrainState state(c, task, options.adamw, options.ema_decay);
  plan.parameters = state.arena().numel();
  ledger.end("parameters and optimizer");
  if (parts.previews) {
    ledger.begin();
    parts.previews(c);
    ledger.end("previews");
  }
  plan.step = parts.steps(c, state.loss(), ledger);
  ledger.begin();
  state.apply(c);
  add(plan.step, ledger.cost(), 1);
  plan.seconds += ledger.seconds();
  ledger.end("update");
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

}  // namespace rankine::app
