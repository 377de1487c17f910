// Weights that are not kept on the device. Who is about to read some says so, and finds them there; what
// comes next in the same direction is on its way meanwhile. Units do it by themselves (unit.h).
#pragma once

#include <cstdint>

#include "engine/core/context.h"

namespace rankine {

enum class Direction : std::uint8_t { forward, backward };

// Serves a Runtime (Runtime::stream_weights). models/nn/weight_stream.h is one.
class WeightStream {
 public:
  virtual ~WeightStream() = default;
  // From now on the weights of `reader`, a unit or one of the weights itself, may be read on the runtime's
  // stream, until another unit needs its own; those of a reader that it does not know always may. Throws
  // std::logic_error outside a WeightPass, IoError when they cannot be read.
  virtual void need(const void* reader, Direction direction) = 0;

 private:
  friend class WeightPass;
  virtual void begin_pass() = 0;
  virtual void end_pass() noexcept = 0;
};

// Work that reads weights: when it ends, or fails, those that came for it are gone. So it stands within work
// that is recorded (step_graph.h). One within another changes nothing.
class WeightPass {
 public:
  explicit WeightPass(const Context& c) : stream_(c.runtime().weight_stream()) {
    if (stream_) stream_->begin_pass();
  }
  ~WeightPass() {
    if (stream_) stream_->end_pass();
  }
  WeightPass(const WeightPass&) = delete;
  WeightPass& operator=(const WeightPass&) = delete;

 private:
  WeightStream* stream_;
};

inline void need_weights(const Context& c, const void* reader, Direction direction) {
  if (WeightStream* stream = c.runtime().weight_stream()) stream->need(reader, direction);
}

}  // namespace rankine
