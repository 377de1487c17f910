// A run as `rankine train` sets it up, with made-up data, and the time of its optimizer steps.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "bench/step_bench.h"
#include "engine/tape/step_memory.h"
#include "engine/train/adamw.h"
#include "models/nn/weight_stream.h"

namespace rankine::bench {

class StepSession {
 public:
  // The device's memory, within options.memory_budget.
  StepSession(const StepBenchOptions& options, Device device);
  virtual ~StepSession() = default;
  StepSession(const StepSession&) = delete;
  StepSession& operator=(const StepSession&) = delete;

  // Forward, backward and update; waits for the device once, at its end.
  void step(std::uint32_t number);
  // The first step, with adapters that are not zero, as bench/step_dump.h has it.
  virtual void dump(const std::filesystem::path& folder) = 0;
  Runtime& runtime() { return runtime_; }
  virtual StepMemory& memory() = 0;
  virtual int streamable_units() const = 0;

 protected:
  // After the model is there: lays out what trains. init() gives the parameters their starting values.
  void train(std::vector<Param*> params, const std::function<void()>& init);
  // One micro-batch; gradients and `loss` are added to.
  virtual void micro_batch(Tensor& loss) = 0;
  // One forward and backward pass from up matrices that are not zero, the loss scaled as training begins to
  // and all scaled back: what a dump holds.
  void first_step();
  Context& context() { return context_; }
  const Tensor& loss() const { return loss_; }

 private:
  void forward_backward(std::uint32_t number);

  Runtime runtime_;
  Context context_;
  std::unique_ptr<ParamArena> arena_;
  std::unique_ptr<AdamW> adamw_;
  Tensor state_, loss_;
};

// What a step is made with, found on a plan device.
struct StepPlan {
  MemoryPolicy policy;
  WeightStreaming streaming;
  PageStore::Limits pages;
  std::size_t peak = 0, mapped = 0;  // bytes
  double seconds = 0, flops = 0;
};

using MakeSession = std::function<std::unique_ptr<StepSession>(Device, const WeightStreaming&)>;
// A plan, then the run: one step to warm up, two on CUDA, where the second is recorded.
StepBenchResult measure_steps(const StepBenchOptions& options, const MakeSession& make);

}  // namespace rankine::bench
