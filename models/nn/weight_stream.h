// Frozen matrices of some units of a model, kept in pages below the device's memory (page_store.h) instead of
// on the device: written once while the model is loaded, read in every pass before their unit runs.
//
// On the device are the matrices of the unit that runs, and of the next streamed one in its direction, which
// are on their way. Gains, biases and what lies outside of units stay. Between passes a streamed weight has
// no storage: its value() has shape and type, and access to its numbers throws. No bit of a result depends on
// what is streamed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/tape/page_store.h"
#include "engine/tape/weight_stream.h"
#include "models/nn/weight.h"

namespace rankine {

struct WeightStreaming {
  int units = 0;             // so many of the model's units, spread evenly (step_memory.h)
  PageStore::Limits limits;  // of a run: what a plan with PageStore::kUnlimited came to need
  FileCalls* calls = &FileCalls::of_system();
};

class PagedWeightStream final : public WeightStream {
 public:
  // Of the units that `visit` shows, before their weights are loaded. Serves `runtime` from now on if any is
  // streamed. Throws ConfigError when the model has fewer units, std::logic_error when the runtime is served
  // already, and what PageStore throws.
  PagedWeightStream(Runtime& runtime, const std::function<void(ModelVisitor&)>& visit,
                    const WeightStreaming& streaming);
  ~PagedWeightStream() override;
  PagedWeightStream(const PagedWeightStream&) = delete;
  PagedWeightStream& operator=(const PagedWeightStream&) = delete;

  // Loaders say so of every weight that has got its value: a streamed one leaves the device. Those that are
  // mapped from a file take none of its memory and stay.
  void loaded(Weight& w);

  // Units that can be streamed, known once the model is loaded: all, or none when their matrices are mapped.
  int units() const { return any_streamable_ ? static_cast<int>(units_.size()) : 0; }
  // Null when no unit is streamed. needed() are the limits of the real run, counters() what came in.
  const std::shared_ptr<PageStore>& pages() const { return pages_; }

  void need(const void* reader, Direction direction) override;

 private:
  struct Page {
    Weight* weight;
    PageStore::PagePtr page;
    std::shared_ptr<Block> arriving;
  };
  struct Unit {
    std::string path;
    bool streamed = false;
    std::vector<Page> pages;
  };
  class Lister;

  void begin_pass() override { ++passes_; }
  void end_pass() noexcept override;
  int neighbour(int unit, Direction direction) const;  // that has pages; -1: none
  void start(int unit);
  void arrive(int unit);
  void drop(int unit) noexcept;

  Runtime& runtime_;
  std::shared_ptr<PageStore> pages_;  // outlives the pages
  std::vector<Unit> units_;           // in the order of a forward pass
  std::map<const void*, int> unit_of_;
  std::vector<int> here_;  // units that are on the device or on their way
  int passes_ = 0;
  bool any_streamable_ = false;
};

}  // namespace rankine
