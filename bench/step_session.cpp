#include "bench/step_session.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "bench/ceilings.h"
#include "bench/kernels_bench.h"
#include "bench/roofline.h"
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
    : runtime_(device, o.memory_budget == 0 ? Memory::kUnlimited : o.memory_budget, o.threads,
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

void StepSession::step(std::uint32_t number) {
  forward_backward(number);
  context_.phase("update");
  adamw_->step(context_, *arena_, state_, loss_, nullptr);
  context_.phase("");
  read_step_state(context_, state_);
}

StepBenchResult measure_steps(const StepBenchOptions& o, const MakeSession& make) {
  const Device device = bench_device(o.device);
  StepBenchResult r;
  WeightStreaming streaming{o.streamed, {PageStore::kUnlimited, PageStore::kUnlimited, {}}};
  if (o.host_pages > 0) streaming.limits.host_bytes = o.host_pages;
  streaming.limits.folder = std::filesystem::temp_directory_path();
  {
    const std::unique_ptr<StepSession> plan = make(device.planned(), streaming);
    plan->memory().policy.others.recompute = o.recompute;
    plan->runtime().cost().clear();
    plan->step(0);
    r.flops = plan->runtime().cost().flops();
    const Memory& memory = plan->runtime().memory();
    r.planned_bytes = memory.high_water() + memory.held(Account::mapped);
    if (const auto& weights = plan->memory().weights) {
      streaming.limits = weights->needed();
      r.streamed_bytes = streaming.limits.host_bytes + streaming.limits.file_bytes;
    }
  }
  const Clock::time_point start = Clock::now();
  const std::unique_ptr<StepSession> run = make(device, streaming);
  run->memory().policy.others.recompute = o.recompute;
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
    const Clock::time_point begin = Clock::now();
    run->step(number++);
    seconds.push_back(seconds_since(begin));
    double on_device = 0;
    for (const Phases::Line& line : runtime.phases().take(device, runtime.cuda_stream()))
      on_device += line.seconds;
    busy.push_back(on_device / seconds.back());
  }
  r.seconds = median(seconds);
  if (device.is_cuda()) r.busy = median(busy);
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
