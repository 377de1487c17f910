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
// CUDA device run() calls `work` at once, on the caller's thread, and what it launches on cuda_stream() is
// queued there; when it throws, run() throws. Errors of the device itself appear where somebody waits.
//
// Work makes and frees no Tensor: Memory belongs to the thread of the program. Tensors that it uses are made
// before it and kept until its event is reached. What work captured is gone by then.
#pragma once

#include <functional>
#include <memory>

#include "engine/core/device.h"

struct CUevent_st;

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
  std::shared_ptr<State> state_;      // of a worker
  std::shared_ptr<CUevent_st> cuda_;  // of a CUDA device
};

class Stream {
 public:
  // Throws Error for a CUDA device in a build without CUDA.
  explicit Stream(Device device);
  // A stream that work is launched on already, as that of a Memory; null on a CPU and on a plan device, where
  // what is done is done when a call returns: every event of it is reached.
  static Stream over(CudaStream stream);
  // Finishes what is queued (CUDA: it goes on by itself); an error that nobody waited for is dropped.
  ~Stream();
  Stream(Stream&&) noexcept;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  void run(std::function<void()> work);
  // Work of the host in the order of the stream. On a CPU the same as run(). On CUDA the device waits while a
  // thread of the driver calls it; it calls nothing of CUDA and throws nothing, may be recorded
  // (step_graph.h) and is then called by every launch: the caller keeps `work` for as long.
  void run_on_host(const std::shared_ptr<const std::function<void()>>& work);
  // Ends a section: the event is reached when all work given so far is done or skipped.
  Event record();
  // Work given from now on starts after `event`, of any stream, is reached.
  void wait(const Event& event);
  // record().synchronize(). Throws std::logic_error when called by work of this stream, which would wait for
  // itself.
  void synchronize();

  // What kernels are launched on; null on a CPU and on a plan device.
  CudaStream cuda_stream() const { return cuda_.get(); }

 private:
  struct Worker;
  explicit Stream(std::shared_ptr<CUstream_st> cuda);

  std::unique_ptr<Worker> worker_;     // of a CPU
  std::shared_ptr<CUstream_st> cuda_;  // of a CUDA device
};

}  // namespace rankine
