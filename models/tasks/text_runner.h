// A decoder on token sequences: one micro-batch forward, loss and backward; scores of sequences.
#pragma once

#include <optional>
#include <span>

#include "engine/core/step_graph.h"
#include "engine/core/stop_flag.h"
#include "engine/tape/step_memory.h"
#include "io/dataset/text_batch.h"
#include "io/dataset/text_schedule.h"
#include "kernels/decode_ahead/decode_ahead.h"
#include "models/decoder/decoder.h"
#include "models/tasks/text_shapes.h"

namespace rankine {

// What sequences came to.
struct TextScore {
  double loss = 0;  // mean over the scored tokens, in nats; perplexity is its exponential
  std::int64_t tokens = 0, correct = 0;
};

class TextRunner {
 public:
  // Tapes go by `memory`; both must outlive the runner. Without it every unit is kept.
  TextRunner(Decoder& model, std::int32_t pad_id, StepMemory* memory = nullptr)
      : model_(model), pad_id_(pad_id), memory_(memory) {}

  // One micro-batch on the device.
  struct Batch {
    DecoderInput input;
    LmTargets targets;  // weights · scale · loss scale
    std::vector<Tensor*> tensors();
  };
  // All that a micro-batch takes from the host: scale · c.loss_scale goes into the weights. What `shapes`
  // adds is padding and targets of weight 0.
  Batch prepare(const Context& c, const TextRows& rows, std::span<const TokenSequence> sequences, float scale,
                const TextShapes& shapes = {}) const;
  // So many made-up tokens, all of them trained: what a plan and a benchmark run.
  Batch made_up(const Context& c, std::int64_t tokens) const;
  // Forward and backward: gradients and `loss` (1) fp32 are added to. From a recording (step_graph.h) where
  // there is one and the work may be `recordable`: no adapter is dropped whole, which the host decides.
  void train(const Context& c, Batch batch, Tensor& loss, bool recordable = true);
  const StepGraphs<Batch>& graphs() const { return graphs_; }
  // What decodes its weights ahead; null where nothing is to be decoded, and before the first micro-batch.
  const DecodeAhead* ahead() const { return ahead_ ? &*ahead_ : nullptr; }
  // Sequences one by one, no dropout; waits for the device.
  TextScore score(const Context& c, std::span<const TokenSequence> sequences, StopFlag stop = {});

 private:
  void decode_ahead(const Context& c);
  // Work of the device alone.
  void compute(const Context& c, const Batch& batch, Tensor& loss);
  Batch upload(const Context& c, const TextBatch& batch, float scale, const TextShapes& shapes) const;
  TextBatch concatenated(const TextRows& rows, std::span<const TokenSequence> sequences,
                         const TextShapes& shapes) const;

  Decoder& model_;
  std::int32_t pad_id_;
  StepMemory* memory_;
  StepGraphs<Batch> graphs_;
  std::optional<DecodeAhead> ahead_;  // on CUDA, of a model that keeps matrices in blocks
};

}  // namespace rankine
