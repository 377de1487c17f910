#include "bench/step_session.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <utility>

#include "bench/ceilings.h"
#include "bench/kernels_bench.h"
#include "bench/roofline.h"
#include "bench/step_dump.h"
#include "engine/core/finite.h"
#include "engine/core/transfer.h"
#include "engine/tape/page_store.h"
#include "engine/train/loss_scale.h"
#include "engine/train/memory_solver.h"
#include "engine/train/resources.h"
#include "kernels/elementwise/elementwise.h"

namespace rankine::bench {
namespace {

using Clock = std::chrono::steady_clock;

DType activations_of(const StepBenchOptions& o, Device device) {
  if (!device.is_cuda()) return DType::f32;
  require<ConfigError>(o.type == "fp16" || o.type == "bf16", "--type: expected fp16 or bf16, got ", o.type);
  return o.type == "fp16" ? DType::f16 : DType::bf16;
}

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// What the device computes at best. Of a card, measured in a corner of the memory that the run has left.
double matmul_rate(const Context& c) {
  if (!c.device().is_cuda()) return measure_sgemm_rate(c.pool()).best();
  CeilingSizes sizes;
  if constexpr (build::emulated) sizes = {64, std::size_t{1} << 16, 1, 0};
  return measure_ceilings(c, sizes).flops;
}

}  // namespace

StepSession::StepSession(const StepBenchOptions& o, Device device)
    : runtime_(device, o.memory_budget == 0 || device.plan ? Memory::kUnlimited : o.memory_budget, o.threads,
               activations_of(o, device)),
      context_(runtime_) {
  context_.seed = 1;
  context_.training = true;
}

void StepSession::train(std::vector<Param*> params, const std::function<void()>& init) {
  arena_ = std::make_unique<ParamArena>(context_, std::move(params));
  adamw_ = std::make_unique<AdamW>(context_, *arena_, AdamWOptions{});
  init();
  arena_->refresh(context_);
  state_ = make_step_state(context_, {.lr = 1e-4F, .max_norm = 1});
  loss_ = Tensor(context_.memory(), {1}, DType::f32, Account::optimizer, "loss");
}

void StepSession::forward_backward(std::uint32_t number) {
  context_.step = number;
  arena_->zero_grad(context_);
  fill(context_, loss_, 0);
  micro_batch(loss_);
}

void StepSession::first_step() {
  randomise_up(context_, arena_->params());
  arena_->refresh(context_);
  LossScale loss_scale(context_.activations());
  do {
    context_.loss_scale = static_cast<float>(loss_scale.value());
    forward_backward(0);
  } while (loss_scale.update(all_finite(floats_of(arena_->grad()))));
  const float back = 1 / std::exchange(context_.loss_scale, 1.0F);
  scale(context_, arena_->grad(), arena_->grad(), back);
  scale(context_, loss_, loss_, back);
}

void StepSession::step(std::uint32_t number) {
  forward_backward(number);
  context_.phase("update");
  adamw_->step(context_, *arena_, state_, loss_, nullptr);
  context_.phase("");
  read_step_state(context_, state_);
}

namespace {

// Rates to choose a policy by, measured as the bench measures its ceilings.
Card measured_card(const StepBenchOptions& o, Device device) {
  constexpr double kDisk = 1e9;  // an assumption: what a page file gets through the system's cache and beyond
  constexpr CeilingSizes kSmall{2048, std::size_t{256} << 20, 2000, 0.1};
  Runtime runtime(device, Memory::kUnlimited, o.threads, activations_of(o, device));
  const Ceilings ceilings = measure_ceilings(Context(runtime), kSmall);
  Card card;
  card.name = "this device";
  card.kind = device.kind;
  card.flops_per_second = ceilings.flops;
  card.bytes_per_second = ceilings.bytes;
  card.link_bytes_per_second = std::max(kDisk, ceilings.value_of("copy to pinned memory"));
  card.file_bytes_per_second = kDisk;
  return card;
}

// Steps on a plan device, under one policy after the other.
class StepPlanner {
 public:
  StepPlanner(const StepBenchOptions& o, Device device, const MakeSession& make)
      : options_(o), device_(device), make_(make) {
    streaming_.units = o.streamed;
    streaming_.limits = {o.host_pages > 0 ? o.host_pages : PageStore::kUnlimited, PageStore::kUnlimited,
                         std::filesystem::temp_directory_path()};
  }

  MemoryTrial attempt(const MemoryPolicy& policy) {
    if (!session_ || policy.streamed_units != streaming_.units) start(policy.streamed_units);
    session_->memory().policy = policy;
    Runtime& runtime = session_->runtime();
    runtime.memory().reset_peak();
    runtime.cost().clear();
    session_->memory().pages->reset_counters();
    const double before = runtime.clock() ? runtime.clock()->now() : 0;
    session_->step(0);
    return {std::max(load_peak_, runtime.memory().high_water()),
            runtime.clock() ? runtime.clock()->now() - before : 0, session_->memory().units};
  }
  // As it lies, or what fits memory_budget.
  StepPlan plan() {
    StepPlan plan;
    plan.policy.others.recompute = options_.recompute;
    plan.policy.streamed_units = options_.streamed;
    MemoryTrial trial = attempt(plan.policy);
    if (options_.memory_budget > 0 && trial.peak > options_.memory_budget) {
      card_ = measured_card(options_, device_);
      session_.reset();
      start(0);
      MemoryRules rules;
      if (options_.page_only)
        rules.recompute = Use::never;
      else
        rules.streamable = session_->streamable_units();
      const MemorySolution solution =
          solve_memory(options_.memory_budget, rules, [&](const MemoryPolicy& p) { return attempt(p); });
      require<ConfigError>(solution.fits, "--memory-budget: the least is ",
                           human_bytes(static_cast<double>(solution.minimum)));
      plan.policy = solution.policy;
      trial = attempt(plan.policy);
    }
    plan.peak = trial.peak;
    plan.seconds = trial.seconds;
    plan.flops = session_->runtime().cost().flops();
    plan.mapped = session_->runtime().memory().held(Account::mapped);
    plan.pages = session_->memory().pages->needed();
    plan.streaming = streaming_;
    if (const auto& weights = session_->memory().weights) plan.streaming.limits = weights->needed();
    return plan;
  }

 private:
  void start(int streamed) {
    session_.reset();  // there is room for one
    streaming_.units = streamed;
    session_ = make_(device_.planned(), streaming_);
    load_peak_ = session_->runtime().memory().high_water();
    if (card_) session_->runtime().time_on(*card_);
    session_->memory().pages = std::make_shared<PageStore>(session_->runtime(), streaming_.limits);
  }

  const StepBenchOptions& options_;
  Device device_;
  const MakeSession& make_;
  std::optional<Card> card_;
  std::size_t load_peak_ = 0;  // bytes, up to the first step
  WeightStreaming streaming_;
  std::unique_ptr<StepSession> session_;
};

}  // namespace

StepBenchResult measure_steps(const StepBenchOptions& o, const MakeSession& make) {
  const Device device = bench_device(o.device);
  StepBenchResult r;
  const StepPlan plan = StepPlanner(o, device, make).plan();
  r.flops = plan.flops;
  r.planned_bytes = plan.peak + plan.mapped;
  r.planned_tracked = plan.peak;
  r.policy = plan.policy;
  r.streamed_bytes =
      plan.streaming.units > 0 ? plan.streaming.limits.host_bytes + plan.streaming.limits.file_bytes : 0;
  reset_host_peak();  // what was measured to plan by is gone
  const Clock::time_point start = Clock::now();
  const std::unique_ptr<StepSession> run = make(device, plan.streaming);
  run->memory().policy = plan.policy;
  if (plan.pages.host_bytes + plan.pages.file_bytes > 0)
    run->memory().pages = std::make_shared<PageStore>(run->runtime(), plan.pages);
  r.load_seconds = seconds_since(start);
  std::uint32_t number = 0;
  run->step(number++);
  r.first_step_seconds = seconds_since(start);
  if (device.is_cuda()) run->step(number++);

  Runtime& runtime = run->runtime();
  runtime.cost().clear();
  runtime.phases().set(Phases::Detail::graphs);
  std::vector<double> seconds, busy;
  for (int i = 0; i < o.steps; ++i) {
    runtime.traffic() = {};
    const Clock::time_point begin = Clock::now();
    run->step(number++);
    seconds.push_back(seconds_since(begin));
    r.traffic = runtime.traffic();
    double on_device = 0;
    for (const Phases::Line& line : runtime.phases().take(device, runtime.cuda_stream()))
      on_device += line.seconds;
    busy.push_back(on_device / seconds.back());
  }
  r.seconds = median(seconds);
  if (device.is_cuda()) r.busy = median(busy);
  r.tracked_peak = runtime.memory().high_water();
  r.units = run->memory().units;
  r.peak_bytes = device.is_cuda() ? runtime.memory().high_water() : host_memory().peak;
  if (o.profile) std::fputs(runtime.cost().report().c_str(), stderr);
  runtime.phases().set(Phases::Detail::inside);
  run->step(number++);
  r.phases = runtime.phases().take(device, runtime.cuda_stream());
  r.matmul_gflops = matmul_rate(Context(runtime)) * 1e-9;
  r.matmul_share = r.flops / r.seconds / (r.matmul_gflops * 1e9);
  return r;
}

}  // namespace rankine::bench
