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
  enum class Pass : std::uint8_t { training, evaluation };

  TextRunner(Decoder& model, std::int32_t pad_id) : model_(model), pad_id_(pad_id) {}

  // One micro-batch: loss = scale · sum over trained tokens; under `training` gradients are added to.
  LmLoss run(const Context& c, const TextRows& rows, std::span<const TokenSequence> sequences, float scale,
             Pass pass);
  // Forward and backward of so many made-up tokens, all of them trained: what a plan and a benchmark run.
  void run_made_up(const Context& c, std::int64_t tokens);
  // Sequences one by one, no dropout.
  TextScore score(const Context& c, std::span<const TokenSequence> sequences, StopFlag stop = {});

 private:
  // One micro-batch on the device.
  struct Batch {
    DecoderInput input;
    LmTargets targets;
  };
  Batch upload(const Context& c, const TextBatch& batch, float scale) const;
  TextBatch concatenated(const TextRows& rows, std::span<const TokenSequence> sequences) const;
  LmLoss run(const Context& c, const Batch& batch, Pass pass);

  Decoder& model_;
  std::int32_t pad_id_;
};

}  // namespace rankine
