// What every layer and kernel gets as its first argument: services, never model or run state.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "engine/core/card.h"
#include "engine/core/memory.h"
#include "engine/core/parallel.h"
#include "engine/core/phases.h"
#include "engine/core/philox.h"
#include "engine/core/stream.h"
#include "engine/core/tensor.h"
#include "engine/core/traffic.h"

namespace rankine {

class DecodeAhead;
class Tape;
class WeightStream;

// Adds up costs (and, on a real device, wall seconds) per operation name.
class CostMeter {
 public:
  struct Line {
    std::uint64_t calls = 0;
    Cost cost;
    double seconds = 0;
  };
  void add(std::string_view op, const Cost& cost, double seconds);
  void clear() { lines_.clear(); }
  double flops() const;
  double bytes() const;
  const std::map<std::string, Line, std::less<>>& lines() const { return lines_; }
  std::string report() const;  // a table sorted by seconds, then FLOPs

 private:
  std::map<std::string, Line, std::less<>> lines_;
};

// A device with its memory and threads. Lives longer than every Tensor made from it.
class Runtime {
 public:
  // `activations` is the type of what flows through a model: f32 on a CPU, f16 or bf16 on CUDA. Throws Error
  // for another one.
  explicit Runtime(Device device, std::size_t budget = Memory::kUnlimited, int threads = 0,
                   DType activations = DType::f32);

  Device device() const { return memory_.device(); }
  Memory& memory() { return memory_; }
  ThreadPool& pool() { return pool_; }
  CostMeter& cost() { return cost_; }
  Phases& phases() { return phases_; }
  // Of all work since it was last emptied.
  Traffic& traffic() { return traffic_; }
  CudaStream cuda_stream() const { return memory_.cuda_stream(); }
  DType activations() const { return activations_; }
  // On a plan device: from now on operations take the time that they would on `card`. Null without one.
  void time_on(Card card) { clock_.emplace(std::move(card)); }
  PlanClock* clock() { return clock_ ? &*clock_ : nullptr; }
  // Brings weights that are not kept on the device when a layer needs them (models/nn/weight_stream.h); null:
  // all are.
  void stream_weights(WeightStream* stream) { weight_stream_ = stream; }
  WeightStream* weight_stream() const { return weight_stream_; }
  // Another number where a recorded piece of work (step_graph.h) begins and where it ends: what the program
  // knew of the contents of the device's memory before may hold no longer.
  std::uint64_t work() const { return work_; }
  void begin_other_work() { ++work_; }

 private:
  std::uint64_t work_ = 1;
  Memory memory_;
  ThreadPool pool_;
  CostMeter cost_;
  Phases phases_;
  Traffic traffic_;
  DType activations_;
  std::optional<PlanClock> clock_;
  WeightStream* weight_stream_ = nullptr;
};

class Context {
 public:
  explicit Context(Runtime& runtime) : runtime_(&runtime) {}

  Device device() const { return runtime_->device(); }
  bool planning() const { return device().plan; }
  Memory& memory() const { return runtime_->memory(); }
  ThreadPool& pool() const { return runtime_->pool(); }
  CostMeter& cost() const { return runtime_->cost(); }
  PlanClock* clock() const { return runtime_->clock(); }
  // A part of a step begins: "forward", "backward"; see phases.h.
  void phase(std::string_view name) const { runtime_->phases().begin(device(), cuda_stream(), name); }
  // The stream that kernels of a CUDA device are launched on: that of its memory, or another that on() named.
  CudaStream cuda_stream() const { return stream_ ? stream_->cuda_stream() : runtime_->cuda_stream(); }
  // The caller sees to the order of the two streams, with events. `stream` must outlive the context.
  Context on(const Stream& stream) const;
  Runtime& runtime() const { return *runtime_; }

  DType activations() const { return runtime_->activations(); }
  // Fresh tensors; contents are not initialised. Without a type: of the type of activations.
  Tensor empty(Shape shape, std::string name) const { return empty(shape, std::move(name), activations()); }
  Tensor empty(Shape shape, std::string name, DType dtype) const {
    return {memory(), shape, dtype, Account::activations, std::move(name)};
  }
  Tensor like(const Tensor& t, std::string name) const {
    return empty(t.shape(), std::move(name), t.dtype());
  }
  // Scratch of one operation: asked for at the door, before a device is chosen, so that a plan sees it.
  Tensor workspace(Shape shape, std::string name, DType dtype = DType::f32) const {
    return {memory(), shape, dtype, Account::workspace, std::move(name)};
  }

  // The tape that forward records on; null means inference: nothing is kept.
  Tape* tape() const { return tape_; }
  Context with_tape(Tape& tape) const { return with(&tape); }
  Context without_tape() const { return with(nullptr); }

  // Random numbers of this step: dropout masks and the like name a purpose and a sample.
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::uint32_t first_sample =
      0;                  // ordinal, within the optimizer step, of the first sample of this micro-batch
  bool training = false;  // dropouts are active
  // What a loss's gradient is multiplied by, so that small gradients survive in fp16; the optimizer takes it
  // out again. A power of two.
  float loss_scale = 1;
  // Decodes stored weights one product ahead (kernels/decode_ahead/decode_ahead.h); null: products do it
  // themselves.
  DecodeAhead* decode_ahead = nullptr;

  RandomStream random(std::uint32_t purpose, std::uint32_t sample) const {
    if (live_) return {seed, purpose, 0, sample, live_};
    return {seed, purpose, step, first_sample + sample};
  }
  // In work that may be recorded (step_graph.h): step and first_sample are read on the device. `live` is an
  // i32 tensor of two numbers there.
  Context with_live_step(const Tensor& live) const;

 private:
  Context with(Tape* tape) const {
    Context c = *this;
    c.tape_ = tape;
    return c;
  }
  Runtime* runtime_;
  Tape* tape_ = nullptr;
  const LiveStep* live_ = nullptr;
  const Stream* stream_ = nullptr;
};

// Opened by a kernel's door after its checks: accounts the cost, times the call, and says whether to run at
// all.
//   Op op(c, "silu", {4.0 * n, 8.0 * n});
//   if (op.planned()) return;
class Op {
 public:
  Op(const Context& c, std::string_view name, Cost cost);
  ~Op();
  Op(const Op&) = delete;
  Op& operator=(const Op&) = delete;
  bool planned() const { return planned_; }

 private:
  CostMeter& meter_;
  PlanClock* clock_;
  std::string_view name_;
  Cost cost_;
  bool planned_;
  std::chrono::steady_clock::time_point start_;
};

}  // namespace rankine
