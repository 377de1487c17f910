#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "engine/core/error.h"
#include "engine/core/memory.h"

namespace rankine {
namespace {

// Reserves address space only; a page costs memory when it is first written, so resident memory follows the
// high-water mark of the offsets.
class MappedBacking final : public Backing {
 public:
  explicit MappedBacking(std::size_t capacity) : capacity_(capacity) {
    void* p =
        mmap(nullptr, capacity_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
      throw OutOfMemory(join("cannot reserve ", human_bytes(double(capacity_)),
                             " of address space: ", std::strerror(errno)));
    }
    base_ = static_cast<std::byte*>(p);
    madvise(base_, capacity_, MADV_HUGEPAGE);  // advice: a failure changes speed only
  }
  ~MappedBacking() override { munmap(base_, capacity_); }
  std::byte* base() const override { return base_; }
  std::size_t capacity() const override { return capacity_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t capacity_;
};

}  // namespace

std::unique_ptr<Backing> make_cpu_backing(std::size_t capacity) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t physical = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * page;
  const std::size_t wanted = std::min(capacity, 2 * physical);
  return std::make_unique<MappedBacking>((wanted + page - 1) / page * page);
}

}  // namespace rankine
