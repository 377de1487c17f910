// Work beside the program, in order.
//
// A Stream is a queue of one device: work runs one piece after the other, in the order it was given, while
// the caller goes on. An Event is a point of that order, which callers and other streams can wait for.
//
// The work between two events is a section. When work throws, the rest of its section is not run and the
// event that ends it carries the exception to all that wait for it: a caller gets it thrown, a stream fails
// its own section with it. The sections after it run as usual.
//
// On the CPU a stream is one worker thread. On a plan device nothing is run and every event is reached. On a
// CUDA device run() is to call `work` at once, and what it launches is queued on the device.
//
// Work makes and frees no Tensor: Memory belongs to the thread of the program. Tensors that it uses are made
// before it and kept until its event is reached. What work captured is gone by then.
#pragma once

#include <functional>
#include <memory>

#include "engine/core/device.h"

namespace rankine {

class Event {
 public:
  Event() = default;  // reached

  bool reached() const;
  // Blocks until reached; rethrows the error of its section, every time it is called.
  void synchronize() const;

 private:
  friend class Stream;
  struct State;
  std::shared_ptr<State> state_;
};

class Stream {
 public:
  // Throws Error for a CUDA device that is not a plan.
  explicit Stream(Device device);
  // Finishes what is queued; an error that nobody waited for is dropped.
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void run(std::function<void()> work);
  // Ends a section: the event is reached when all work given so far is done or skipped.
  Event record();
  // Work given from now on starts after `event`, of any stream, is reached.
  void wait(const Event& event);
  // record().synchronize(). Throws std::logic_error when called by work of this stream, which would wait for
  // itself.
  void synchronize();

 private:
  struct Worker;
  std::unique_ptr<Worker> worker_;  // null on a plan device
};

}  // namespace rankine
