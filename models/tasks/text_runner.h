// A decoder on token sequences: one micro-batch forward, loss and backward; scores of sequences.
#pragma once

#include <span>

#include "engine/core/stop_flag.h"
#include "io/dataset/text_batch.h"
#include "io/dataset/text_schedule.h"
#include "models/decoder/decoder.h"

namespace rankine {

// What sequences came to.
struct TextScore {
  double loss = 0;  // mean over the scored tokens, in nats; perplexity is its exponential
  std::int64_t tokens = 0, correct = 0;
};

class TextRunner {
 public:
  TextRunner(Decoder& model, std::int32_t pad_id) : model_(model), pad_id_(pad_id) {}

  // One micro-batch on the device.
  struct Batch {
    DecoderInput input;
    LmTargets targets;  // weights · scale · loss scale
  };
  // All that a micro-batch takes from the host: scale · c.loss_scale goes into the weights.
  Batch prepare(const Context& c, const TextRows& rows, std::span<const TokenSequence> sequences,
                float scale) const;
  // So many made-up tokens, all of them trained: what a plan and a benchmark run.
  Batch made_up(const Context& c, std::int64_t tokens) const;
  // Forward and backward, work of the device alone: gradients and `loss` (1) fp32 are added to.
  void train(const Context& c, const Batch& batch, Tensor& loss);
  // Sequences one by one, no dropout; waits for the device.
  TextScore score(const Context& c, std::span<const TokenSequence> sequences, StopFlag stop = {});

 private:
  Batch upload(const Context& c, const TextBatch& batch, float scale) const;
  TextBatch concatenated(const TextRows& rows, std::span<const TokenSequence> sequences) const;

  Decoder& model_;
  std::int32_t pad_id_;
};

}  // namespace rankine
