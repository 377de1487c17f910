// Work of a training step that is the same every time but for the contents of the tensors it reads: recorded
// once as a CUDA graph and then launched with one call, so a step of a thousand kernels costs the program
// microseconds and leaves the device no gaps.
//
// Work is given as a function that launches on the device and nothing else: no tensor that it makes outlives
// it, no number comes from or goes to the host, and which kernels it launches, with which sizes, follows from
// its inputs' shapes. What it reads and writes besides (weights, gradients, the loss) are the same tensors in
// every run: a recording holds their addresses. What differs from step to step (the data, the learning rate,
// step and sample that random numbers are made of) lies in tensors that the program fills before: in tensors
// kept elsewhere, or in ones made anew at the start of the frame, which have the same addresses every time.
//
// The first run is an ordinary one. The second is recorded and launched, later ones are launched. All run in
// a Memory::Frame, so tensors lie where the recording has them; when the base of the frame had to move, the
// work is recorded again. A recording has the bits of an ordinary run. On a CPU every run is an ordinary one
// and opens no frame, on a plan device of CUDA an ordinary one in a frame. A launched graph adds nothing to
// the CostMeter, and to the runtime's Traffic what its recording moved.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <utility>
#include <vector>

#include "engine/core/context.h"

struct CUgraphExec_st;

namespace rankine {

class StepGraph {
 public:
  // Throws what `work` throws, Error when it cannot be recorded, and std::logic_error when it keeps a tensor.
  void run(const Context& c, const std::function<void()>& work);
  // In a frame of the memory of `c` that the caller opened, and closes. What was made in it before has the
  // same sizes in every run. On CUDA only.
  void run(const Context& c, Memory::Frame& frame, const std::function<void()>& work);

  std::int64_t recorded() const { return recorded_; }  // times that work was recorded
  std::int64_t launched() const { return launched_; }  // times that a graph was launched

 private:
  std::shared_ptr<CUgraphExec_st> graph_;
  std::size_t base_ = 0;  // of the frame that it was recorded in
  Traffic traffic_;       // of one launch
  bool seen_ = false;
  std::int64_t recorded_ = 0, launched_ = 0;
};

// For StepGraphs: puts copies made now in the place of the tensors; step and first sample as a tensor.
void copy_in_place(const Context& c, const std::vector<Tensor*>& tensors);
Tensor make_live_step(const Context& c);

// One StepGraph per shape of the inputs; the graph unused for longest goes when there are too many. Every run
// copies its inputs to the start of the frame, so no tensor outlives a run: however many shapes there are,
// they need the memory of the largest. `Inputs` has tensors(), which lists its Tensors as
// std::vector<Tensor*>, undefined ones included.
template <class Inputs>
class StepGraphs {
 public:
  // What the driver keeps of a graph grows with its kernels and is in no plan. Rows of text of very different
  // lengths, one at a time, come in a hundred shapes (models/tasks/text_shapes.h), anything else in fewer.
  static constexpr std::size_t kMost = 128;

  // work(c, inputs) launches what depends on nothing but the shapes of inputs and the settings of `c`; step
  // and first_sample of the context that it gets are read on the device. With `recordable` false, and on a
  // CPU, it is called with what was given.
  template <class Work>
  void run(const Context& c, Inputs inputs, bool recordable, const Work& work) {
    if (!c.device().is_cuda() || !recordable) return work(c, std::as_const(inputs));
    StepGraph& graph = at(inputs);
    Memory::Frame frame(c.memory());
    {
      Inputs mine = std::move(inputs);
      copy_in_place(c, mine.tensors());
      const Tensor live = make_live_step(c);
      graph.run(c, frame, [&] { work(c.with_live_step(live), std::as_const(mine)); });
    }
    frame.close();
  }

  // What happened so far, graphs that are gone included.
  std::int64_t recorded() const {
    return sum([](const StepGraph& g) { return g.recorded(); }) + gone_.recorded;
  }
  std::int64_t launched() const {
    return sum([](const StepGraph& g) { return g.launched(); }) + gone_.launched;
  }

 private:
  struct Entry {
    std::vector<Shape> shapes;
    StepGraph graph;
  };
  struct Counts {
    std::int64_t recorded = 0, launched = 0;
  };

  static std::vector<Shape> shapes_of(Inputs& inputs) {
    std::vector<Shape> shapes;
    for (const Tensor* t : inputs.tensors()) shapes.push_back(t->defined() ? t->shape() : Shape{0});
    return shapes;
  }
  // The graph of these shapes, whose entry comes to the front.
  StepGraph& at(Inputs& inputs) {
    std::vector<Shape> shapes = shapes_of(inputs);
    for (auto it = entries_.begin(); it != entries_.end(); ++it) {
      if (it->shapes != shapes) continue;
      entries_.splice(entries_.begin(), entries_, it);
      return entries_.front().graph;
    }
    if (entries_.size() == kMost) {
      gone_.recorded += entries_.back().graph.recorded();
      gone_.launched += entries_.back().graph.launched();
      entries_.pop_back();
    }
    entries_.push_front({std::move(shapes), {}});
    return entries_.front().graph;
  }
  template <class Count>
  std::int64_t sum(const Count& count) const {
    std::int64_t all = 0;
    for (const Entry& e : entries_) all += count(e.graph);
    return all;
  }

  std::list<Entry> entries_;
  Counts gone_;
};

}  // namespace rankine
