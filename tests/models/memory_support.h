// The ways in which a step's memory can be kept, for tests that compare their bits.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

#include "engine/tape/page_store.h"
#include "engine/tape/step_memory.h"
#include "models/nn/weight_stream.h"

namespace rankine::testing_support {

// The first keeps everything.
inline std::vector<MemoryPolicy> memory_policies() {
  constexpr UnitPolicy kKeep{}, kRecompute{true, false}, kPage{false, true}, kBoth{true, true};
  return {
      {{}, kKeep}, {{}, kRecompute}, {{}, kPage},
      {{}, kBoth}, {{kPage}, kKeep}, {{kPage, kRecompute, kKeep, kBoth}, kPage},
  };
}

// Of so many units: none, some, all.
inline std::vector<int> streamed_counts(int units) { return {0, units / 2, units}; }

// How many units a model has.
template <class Model>
int units_of(Model& model) {
  class Counter final : public ModelVisitor {
   public:
    void begin_unit(const void*, const std::string&) override { ++count; }
    int count = 0;
  } counter;
  model.visit(counter);
  return counter.count;
}

inline bool pages(const MemoryPolicy& policy) {
  bool any = policy.others.page;
  for (const UnitPolicy& unit : policy.units) any |= unit.page;
  return any;
}

// A folder of its own for page files, removed with the object.
class PageFolder {
 public:
  PageFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "rankine-pages-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~PageFolder() { std::filesystem::remove_all(path_); }
  PageFolder(const PageFolder&) = delete;
  PageFolder& operator=(const PageFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // Pages of up to `bytes` in host memory (CUDA) and as many in a file.
  StepMemory memory(Runtime& runtime, const MemoryPolicy& policy, std::size_t host_bytes = 0,
                    std::size_t file_bytes = std::size_t{16} << 20) const {
    StepMemory memory;
    memory.policy = policy;
    memory.pages = std::make_shared<PageStore>(runtime, PageStore::Limits{host_bytes, file_bytes, path_});
    return memory;
  }

  WeightStreaming streaming(int units, std::size_t host_bytes = 0,
                            std::size_t file_bytes = std::size_t{64} << 20) const {
    return {units, {host_bytes, file_bytes, path_}};
  }

 private:
  std::filesystem::path path_;
};

// The weights of `units` units of a model that is not loaded yet, streamed from a file of `folder`.
template <class Model>
std::unique_ptr<PagedWeightStream> stream_of(Runtime& runtime, Model& model, const PageFolder& folder,
                                             int units) {
  return std::make_unique<PagedWeightStream>(
      runtime, [&](ModelVisitor& v) { model.visit(v); }, folder.streaming(units));
}

}  // namespace rankine::testing_support
