// The ways in which a tape can keep a step's memory, for tests that compare their bits.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <vector>

#include "engine/tape/page_store.h"
#include "engine/tape/step_memory.h"

namespace rankine::testing_support {

// The first keeps everything.
inline std::vector<MemoryPolicy> memory_policies() {
  constexpr UnitPolicy kKeep{}, kRecompute{true, false}, kPage{false, true}, kBoth{true, true};
  return {
      {{}, kKeep}, {{}, kRecompute}, {{}, kPage},
      {{}, kBoth}, {{kPage}, kKeep}, {{kPage, kRecompute, kKeep, kBoth}, kPage},
  };
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

 private:
  std::filesystem::path path_;
};

}  // namespace rankine::testing_support
