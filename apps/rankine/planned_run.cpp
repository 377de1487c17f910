#include "apps/rankine/planned_run.h"

#include <algorithm>

#include "engine/tape/page_store.h"

namespace rankine::app {
namespace {

Use use_of(config::MemoryUse use) {
  switch (use) {
    case config::MemoryUse::automatic:
      return Use::automatic;
    case config::MemoryUse::always:
      return Use::always;
    case config::MemoryUse::never:
      return Use::never;
  }
  return Use::automatic;
}

double work_of(const BucketPlan& b) {
  return static_cast<double>(b.batch) *
         (b.tokens > 0 ? static_cast<double>(b.tokens)
                       : static_cast<double>(b.size.width) * static_cast<double>(b.size.height));
}

}  // namespace

PlannedRun::PlannedRun(const RunConfig& config, const PlanTarget& target)
    : config_(config),
      runtime_(make_plan_runtime(config.machine, target)),
      context_(*runtime_),
      ledger_(*runtime_, plan_),
      streaming_{target.streamed_units, {target.page_memory, PageStore::kUnlimited, {}}} {
  plan_.accumulation = config.optim.gradient_accumulation;
}

void PlannedRun::begin(std::unique_ptr<Task> task, bool has_data) {
  task_ = std::move(task);
  // Streamed weights were there first; the tape's pages get what they left of the host's memory.
  std::size_t host_bytes = streaming_.limits.host_bytes;
  if (stream_ && stream_->pages() && host_bytes != PageStore::kUnlimited)
    host_bytes -= stream_->pages()->needed().host_bytes;
  task_->step_memory().pages =
      std::make_shared<PageStore>(*runtime_, PageStore::Limits{host_bytes, PageStore::kUnlimited, {}});
  const TrainOptions options = train_options(config_, std::max<std::int64_t>(1, plan_.max_steps));
  ledger_.begin();
  state_ = std::make_unique<TrainState>(context_, *task_, options.adamw, options.ema_decay);
  plan_.parameters = state_->arena().numel();
  ledger_.end("parameters and optimizer");
  if (!has_data) return;
  ledger_.begin();
  task_->validate(context_);
  ledger_.end("validation");
  ledger_.begin();
  task_->preview(context_, 0, "");
  ledger_.end("previews");
}

std::size_t PlannedRun::largest_bucket() const {
  const auto& b = plan_.buckets;
  const auto largest = std::max_element(
      b.begin(), b.end(), [](const BucketPlan& x, const BucketPlan& y) { return work_of(x) < work_of(y); });
  return static_cast<std::size_t>(largest - b.begin());
}

MemoryTrial PlannedRun::attempt(const MemoryPolicy& policy, std::size_t bucket) {
  task_->step_memory().policy = policy;
  ledger_.begin();
  micro_step(context_, plan_.buckets.at(bucket), state_->loss());
  return {std::max(plan_.peak, ledger_.peak()), ledger_.seconds(), task_->step_memory().units};
}

void PlannedRun::run_bucket(BucketPlan& bucket) {
  const auto each_store = [&](const auto& visit) {
    for (PageStore* store : {task_->step_memory().pages.get(), task_->step_memory().weights.get()})
      if (store) visit(*store);
  };
  each_store([](PageStore& store) { store.reset_counters(); });
  ledger_.begin();
  MemoryTrace trace = trace_of(*runtime_, [&] { micro_step(context_, bucket, state_->loss()); });
  if (plan_.trace.empty() || trace.peak() > plan_.trace.peak()) plan_.trace = std::move(trace);
  bucket.micro_step = ledger_.cost();
  bucket.seconds = ledger_.seconds();
  each_store([&](const PageStore& store) {
    bucket.waited += store.counters().seconds_waited;
    bucket.moved += store.counters().bytes_out + store.counters().bytes_in;
  });
  bucket.peak = ledger_.peak();
  ledger_.end(describe(bucket));
}

RunPlan PlannedRun::finish(const MemoryPolicy& policy) {
  task_->step_memory().policy = policy;
  task_->step_memory().tape = {};
  const BucketPlan* dearest = nullptr;
  for (BucketPlan& bucket : plan_.buckets) {
    run_bucket(bucket);
    if (dearest && bucket.micro_step.flops <= dearest->micro_step.flops) continue;
    dearest = &bucket;
    plan_.units = task_->step_memory().units;
  }
  if (dearest) {
    const auto times = static_cast<double>(micro_steps());
    add(plan_.step, dearest->micro_step, times);
    plan_.seconds = times * dearest->seconds;
  }
  ledger_.begin();
  state_->apply(context_);
  add(plan_.step, ledger_.cost(), 1);
  plan_.seconds += ledger_.seconds();
  ledger_.end("update");
  plan_.policy = policy;
  plan_.tape = task_->step_memory().tape;
  const PageStore::Limits pages = task_->step_memory().pages->needed();
  plan_.pages_in_host = pages.host_bytes;
  plan_.pages_in_file = pages.file_bytes;
  if (stream_ && stream_->pages()) {
    const PageStore::Limits weights = stream_->pages()->needed();
    plan_.weights_in_host = weights.host_bytes;
    plan_.weights_in_file = weights.file_bytes;
  }
  return plan_;
}

namespace {

// Of a run that gives up all that the rules allow.
template <class At>
std::size_t least_peak(const MemoryRules& rules, const At& at, std::size_t bucket) {
  MemoryPolicy frugal;
  frugal.others = {rules.recompute != Use::never, rules.page != Use::never};
  frugal.streamed_units = rules.stream == Use::never ? 0 : rules.streamable;
  return at(frugal.streamed_units).attempt(frugal, bucket).peak;
}

}  // namespace

RunPlan plan_within(const RunConfig& config, const PlanTarget& wanted, const StartPlan& start) {
  const config::MachineSection& m = config.machine;
  MemoryRules rules{use_of(m.paging), use_of(m.recompute), use_of(m.weight_streaming)};
  PlanTarget target = wanted;
  std::unique_ptr<PlannedRun> run;
  const auto at = [&](int streamed) -> PlannedRun& {
    if (!run || streamed != target.streamed_units) {
      run.reset();  // there is room for one
      target.streamed_units = streamed;
      run = start(target);
    }
    return *run;
  };
  std::size_t binding = at(0).largest_bucket();
  if (config.model.method != config::Method::full) rules.streamable = run->streamable_units();
  const bool free =
      rules.page != Use::always && rules.recompute != Use::always && rules.stream != Use::always;
  if (free && run->attempt({}, binding).peak <= target.budget) {
    RunPlan plan = run->finish({});
    run.reset();
    if (plan.peak <= target.budget) {
      plan.minimum = std::min(plan.peak, least_peak(rules, at, binding));
      return plan;
    }
  }
  if (!target.card && target.rates) target.card = target.rates();
  run.reset();
  for (std::size_t tries = 0;; ++tries) {
    const MemorySolution solution = solve_memory(target.budget, rules, [&](const MemoryPolicy& policy) {
      return at(policy.streamed_units).attempt(policy, binding);
    });
    RunPlan plan = at(solution.policy.streamed_units).finish(solution.policy);
    run.reset();
    plan.minimum = solution.minimum;
    plan.unbound_seconds = solution.unbound_seconds;
    if (!solution.fits || plan.peak <= target.budget || tries == plan.buckets.size()) return plan;
    // Another shape needs more under this policy.
    const auto most = std::max_element(plan.buckets.begin(), plan.buckets.end(),
                                       [](const auto& a, const auto& b) { return a.peak < b.peak; });
    binding = static_cast<std::size_t>(most - plan.buckets.begin());
  }
}

}  // namespace rankine::app
