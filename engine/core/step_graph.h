// Work of a training step that is the same every time but for the contents of the tensors it reads: recorded
// once as a CUDA graph and then launched with one call, so a step of a thousand kernels costs the program
// microseconds and leaves the device no gaps.
//
// Work is given as a function that launches on the device and nothing else: no tensor that it makes outlives
// it, no number comes from or goes to the host, and which kernels it launches, with which sizes, follows from
// its inputs' shapes. What differs from step to step (the data, the learning rate, step and sample that
// random numbers are made of) lies in tensors that the program fills before.
//
// The first run is an ordinary one. The second is recorded and launched, later ones are launched. All run in
// a Memory::Frame, so tensors lie where the recording has them; when the base of the frame had to move, the
// work is recorded again. A recording has the bits of an ordinary run. On a CPU every run is an ordinary one
// and opens no frame, on a plan device of CUDA an ordinary one in a frame. A launched graph adds nothing to
// the CostMeter.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <string>
#include <utility>

#include "engine/core/context.h"

struct CUgraphExec_st;

namespace rankine {

class StepGraph {
 public:
  // Throws what `work` throws, Error when it cannot be recorded, and std::logic_error when it keeps a tensor.
  void run(const Context& c, const std::function<void()>& work);

  std::int64_t recorded() const { return recorded_; }  // times that work was recorded
  std::int64_t launched() const { return launched_; }  // times that a graph was launched

 private:
  std::shared_ptr<CUgraphExec_st> graph_;
  std::size_t base_ = 0;  // of the frame that it was recorded in
  bool seen_ = false;
  std::int64_t recorded_ = 0, launched_ = 0;
};

// Graphs with the inputs that they read, by key; the one unused for longest goes when there are too many.
// The key names all that decides what is launched: shapes, and switches that are not in them.
template <class Inputs>
class StepGraphs {
 public:
  static constexpr std::size_t kMost = 32;

  struct Entry {
    Inputs inputs;
    StepGraph graph;
  };

  // The entry of `key`; make() gives the inputs of a new one.
  template <class Make>
  Entry& at(const std::string& key, const Make& make) {
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->first != key) continue;
      entries_.splice(entries_.begin(), entries_, it);
      return *entries_.front().second;
    }
    if (entries_.size() == kMost) entries_.pop_back();
    entries_.emplace_front(key, std::unique_ptr<Entry>(new Entry{make(), {}}));
    return *entries_.front().second;
  }
  // fill(inputs), then work(inputs), which is recorded and launched as StepGraph does it. On a CPU inputs are
  // made for the call, by make().
  template <class Make, class Fill, class Work>
  void run(const Context& c, const std::string& key, const Make& make, const Fill& fill, const Work& work) {
    if (!c.device().is_cuda()) {
      Inputs inputs = make();
      fill(inputs);
      return work(inputs);
    }
    Entry& entry = at(key, make);
    fill(entry.inputs);
    entry.graph.run(c, [&] { work(entry.inputs); });
  }
  std::size_t size() const { return entries_.size(); }

 private:
  std::list<std::pair<std::string, std::unique_ptr<Entry>>> entries_;
};

}  // namespace rankine
