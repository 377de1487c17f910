#include "kernels/emulator/shadow.h"

#include <algorithm>

#include "engine/core/error.h"
#include "kernels/emulator/address_space.h"
#include "kernels/emulator/executor.h"
#include "kernels/emulator/shadow_page.h"
#include "kernels/emulator/symbols.h"

namespace rankine::emulator::shadow {
namespace {

PageTable& pages() {
  static PageTable table;  // launches run one at a time
  return table;
}

Access now(Executor& e, Kind kind, const void* pc) {
  const Thread& self = e.self();
  Access a{};
  a.site = reinterpret_cast<std::uintptr_t>(pc) & ((std::uint64_t{1} << 48) - 1);
  a.thread = self.linear & 1023U;
  a.atomic = kind == Kind::atomic;
  a.pending = kind == Kind::pending_write;
  a.block = e.block_number() & 0xFFFFFFU;
  a.barrier = std::min(e.barriers(), 0xFFFFFU);
  a.tick = std::min(e.clock(self.warp()).tick, 0xFFFFFU);
  return a;
}

// Whether everybody agrees that `before` was before `a`, which happens now.
bool ordered(const Executor& e, const Access& before, const Access& a) {
  if (before.block != a.block) return false;
  if (before.thread == a.thread || before.barrier < a.barrier) return true;
  if (before.thread / 32 != a.thread / 32) return false;
  const WarpClock& clock = e.clock(a.thread / 32);
  return before.tick < std::max(clock.all_seen, clock.seen[a.thread % 32][before.thread % 32]);
}

bool clash(const Executor& e, const Access& before, const Access& a) {
  return before.site && (before.mask & a.mask) && !(before.atomic && a.atomic) && !ordered(e, before, a);
}

// Messages. Nothing on the stack of a failing thread is destroyed, so each is one value made by a function.
std::string spell(Executor& e, const Access& a, bool write) {
  return join(a.atomic ? "atomic"
              : write  ? "write"
                       : "read",
              " at ", symbols::line_of(reinterpret_cast<const void*>(std::uintptr_t{a.site})), " by ",
              e.describe(a.block, a.thread));
}
std::string race(Executor& e, std::uintptr_t address, const Access& before, const Access& after,
                 bool writes[2]) {
  return join("race: ", spell(e, after, writes[1]), "\n  against the ", spell(e, before, writes[0]),
              "\n  of ", address_space::describe(e, address),
              before.block != after.block ? "; blocks are not ordered" : "; no barrier orders them");
}
std::string outside(Executor& e, std::uintptr_t address, std::size_t bytes, Kind kind, const void* pc) {
  return join("out of bounds: ", kind == Kind::read ? "read" : "write", " of ", bytes, " bytes at ",
              symbols::line_of(pc), "\n  of ", address_space::describe(e, address));
}
std::string host_memory(Executor& e, std::uintptr_t address, const void* pc) {
  return join("host memory: write at ", symbols::line_of(pc), "\n  of ", address_space::describe(e, address),
              ", which is not the device's");
}
std::string uninitialised(Executor& e, std::uintptr_t address, const Access& a, const Cell& cell) {
  for (const Access& w : cell.writes) {
    if (w.pending && (w.mask & a.mask)) {
      return join("stale ", spell(e, a, false), "\n  of ", address_space::describe(e, address),
                  "; the cp.async into it has not been waited for: ", spell(e, w, true));
    }
  }
  return join("uninitialised ", spell(e, a, false), "\n  of ", address_space::describe(e, address),
              "; nothing in this block has written it");
}

// Keeps the two reads that say most: of different blocks, else of different warps, else of different threads.
void note_read(Cell& cell, const Access& a) {
  Access &first = cell.reads[0], &second = cell.reads[1];
  for (Access* r : {&first, &second}) {
    if (!r->site || r->thread != a.thread || r->block != a.block) continue;
    const unsigned mask = r->barrier == a.barrier && r->tick == a.tick ? r->mask | a.mask : a.mask;
    *r = a;
    r->mask = mask & 15U;
    return;
  }
  for (Access* r : {&first, &second}) {
    if (r->site && (r->block != a.block || r->barrier >= a.barrier)) continue;
    *r = a;
    return;
  }
  const auto likeness = [&](const Access& r) {
    return r.block != a.block ? 0 : r.thread / 32 != a.thread / 32 ? 1 : 2;
  };
  const bool alike = first.block == second.block && first.thread / 32 == second.thread / 32;
  if (alike || likeness(second) > likeness(first)) {
    second = a;
  } else if (likeness(first) > likeness(second)) {
    first = a;
  }
}

// A write stands for the earlier accesses of its bytes: whatever is ordered after it is ordered after them.
void note_write(Cell& cell, const Access& a) {
  for (Access& r : cell.reads) {
    if ((r.mask & ~a.mask & 15U) == 0) r = {};
  }
  Access &first = cell.writes[0], &second = cell.writes[1];
  if ((second.mask & ~a.mask & 15U) == 0) second = {};
  if ((first.mask & ~a.mask & 15U) == 0) {
    first = a;
    return;
  }
  if (second.site) first = second;
  second = a;
}

void check_word(Executor& e, Page& page, std::uintptr_t address, Kind kind, const Access& a) {
  const std::size_t word = (address >> 2) % kWords;
  Cell& cell = page.cells[word];
  const bool writes = kind != Kind::read;
  for (const Access& w : cell.writes) {
    bool both[] = {true, writes};
    if (clash(e, w, a)) e.fail(race(e, address, w, a, both));
  }
  std::uint8_t& initialised = page.initialised[word];
  if (page.memory == Memory::shared && (kind == Kind::read || kind == Kind::atomic) &&
      (initialised & a.mask) != a.mask)
    e.fail(uninitialised(e, address, a, cell));
  if (!writes) {
    note_read(cell, a);
    return;
  }
  for (const Access& r : cell.reads) {
    bool both[] = {false, true};
    if (clash(e, r, a)) e.fail(race(e, address, r, a, both));
  }
  const unsigned mask = a.mask;
  initialised =
      static_cast<std::uint8_t>(kind == Kind::pending_write ? initialised & ~mask : initialised | mask);
  note_write(cell, a);
}

Memory memory_of(address_space::Kind kind) {
  switch (kind) {
    case address_space::Kind::dynamic_shared:
    case address_space::Kind::static_shared:
      return Memory::shared;
    case address_space::Kind::host_stack:
    case address_space::Kind::program:
      return Memory::constant;
    case address_space::Kind::device:
    case address_space::Kind::none:
      break;
  }
  return Memory::device;
}

// A page can lie across regions; it then describes the one touched last, and the cells serve all.
Page& page_of(Executor& e, std::uintptr_t address, std::size_t bytes, Kind kind, const void* pc) {
  const std::uintptr_t number = address >> kPageBits;
  Page* page = pages().find(number);
  if (!page || address - page->begin >= page->end - page->begin) {
    const address_space::Region region = address_space::region_of(e, address);
    if (region.kind == address_space::Kind::none) e.fail(outside(e, address, bytes, kind, pc));
    if (!page) page = &pages().add(number);
    page->begin = std::max(region.begin, number << kPageBits);
    page->end = std::min(region.end, (number + 1) << kPageBits);
    page->memory = memory_of(region.kind);
  }
  if (page->memory == Memory::shared && page->block != e.block_number() + 1) {
    page->block = e.block_number() + 1;
    std::fill(std::begin(page->initialised), std::end(page->initialised), std::uint8_t{0});
    std::fill(std::begin(page->cells), std::end(page->cells), Cell{});
  }
  return *page;
}

}  // namespace

void begin_launch() { pages().clear(); }

void access(Executor& e, std::uintptr_t address, std::size_t bytes, Kind kind, const void* pc) {
  if (!instrumented()) return;  // half of the accesses would tell nothing
  if (e.on_fiber_stack(address)) return;
  Access a = now(e, kind, pc);
  std::uintptr_t at = address;
  const std::uintptr_t end = address + bytes;
  Page* page = nullptr;
  while (at < end) {
    if (!page || at - page->begin >= page->end - page->begin) {
      page = &page_of(e, at, bytes, kind, pc);
      if (page->memory == Memory::constant) {
        if (kind != Kind::read) e.fail(host_memory(e, address, pc));
        return;
      }
      if (address_space::poisoned(address, bytes)) e.fail(outside(e, address, bytes, kind, pc));
    }
    const std::uintptr_t word_end = std::min((at & ~std::uintptr_t{3}) + 4, end);
    a.mask = ((1U << (word_end - at)) - 1) << (at & 3U) & 15U;
    check_word(e, *page, at, kind, a);
    at = word_end;
  }
}

namespace {
std::string not_shared(const void* p, const char* what, const void* pc) {
  return join("not shared memory: ", what, " at ", symbols::line_of(pc), " of ", p);
}
}  // namespace

void require_shared(Executor& e, const void* p, std::size_t bytes, const char* what, const void* pc) {
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  const address_space::Region region = address_space::region_of(e, address);
#if defined(__clang__)
  const bool may_be = false;
#else  // g++ before 14 forgets the section of a variable in a template
  const bool may_be = region.kind == address_space::Kind::program;
#endif
  if (memory_of(region.kind) != Memory::shared && !may_be) e.fail(not_shared(p, what, pc));
  if (address < region.begin || bytes > region.end - address || address >= region.end)
    e.fail(outside(e, address, bytes, Kind::read, pc));
}

}  // namespace rankine::emulator::shadow
