// Storage of shadow.h: one cell per word of four bytes, in pages made when first touched.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace rankine::emulator::shadow {

// One access, packed: who and from where, and when on the clocks of its block and warp. site == 0 is none.
struct Access {
  std::uint64_t site : 48, thread : 10, mask : 4, atomic : 1, pending : 1;
  std::uint64_t block : 24, barrier : 20, tick : 20;
};
static_assert(sizeof(Access) == 16);

struct Cell {
  Access writes[2], reads[2];
};

enum class Memory : std::uint8_t { shared, device, constant };  // constant: the host's, for reading

constexpr int kPageBits = 10, kWords = (1 << kPageBits) / 4;
struct Page {
  std::uintptr_t begin = 0, end = 0;  // the accessible part of it
  std::uint64_t block = 0;            // of shared memory: the block that the cells are about
  Memory memory = Memory::device;
  std::uint8_t initialised[kWords];  // of shared memory: a bit per byte
  Cell cells[kWords];
};

// Pages by number. Pages of earlier launches are used again.
class PageTable {
 public:
  Page* find(std::uintptr_t number) {
    Recent& r = recent_[number % kRecent];
    if (r.number == number) return r.page;
    const auto found = pages_.find(number);
    if (found == pages_.end()) return nullptr;
    r = {number, found->second};
    return r.page;
  }
  Page& add(std::uintptr_t number);
  void clear();

 private:
  static constexpr std::size_t kRecent = 256;
  struct Recent {
    std::uintptr_t number = 0;
    Page* page = nullptr;
  };
  Recent recent_[kRecent];
  std::unordered_map<std::uintptr_t, Page*> pages_;
  std::vector<std::unique_ptr<Page>> owned_;
  std::vector<Page*> free_;
};

}  // namespace rankine::emulator::shadow
