#include "kernels/emulator/address_space.h"

#include <link.h>
#include <pthread.h>

#include <vector>

#include "engine/core/error.h"
#include "kernels/emulator/executor.h"
#include "kernels/emulator/host_state.h"
#include "kernels/emulator/sanitizer.h"
#include "kernels/emulator/shared_memory.h"

namespace rankine::emulator::address_space {
namespace {

using host_state::Range;

Range stack_of_this_thread() {
  static thread_local const Range stack = [] {
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) return Range{};
    void* low = nullptr;
    std::size_t bytes = 0;
    pthread_attr_getstack(&attributes, &low, &bytes);
    pthread_attr_destroy(&attributes);
    const auto begin = reinterpret_cast<std::uintptr_t>(low);
    return Range{begin, begin + bytes};
  }();
  return stack;
}

struct Search {
  std::uintptr_t address;
  Range found;
};
int look_in_module(dl_phdr_info* module, std::size_t, void* data) {
  auto& search = *static_cast<Search*>(data);
  for (int i = 0; i < module->dlpi_phnum; ++i) {
    const auto& part = module->dlpi_phdr[i];
    const std::uintptr_t begin = module->dlpi_addr + part.p_vaddr;
    if (part.p_type != PT_LOAD || search.address - begin >= part.p_memsz) continue;
    search.found = {begin, begin + part.p_memsz};
    return 1;
  }
  return 0;
}

}  // namespace

Region region_of(const Executor& e, std::uintptr_t address) {
  using shared_memory::Place;
  const shared_memory::Found shared = shared_memory::find(address);
  if (shared.place == Place::variable) return {Kind::static_shared, shared.begin, shared.end};
  if (shared.place == Place::dynamic_part) {
    const auto begin = reinterpret_cast<std::uintptr_t>(e.shared());
    const std::uintptr_t end = begin + e.info().shared_bytes;
    if (address >= begin && address < end) return {Kind::dynamic_shared, begin, end};
    return {};
  }
  if (const Range r = host_state::allocation_of(address); r.end) return {Kind::device, r.begin, r.end};
  if (const Range r = stack_of_this_thread(); address - r.begin < r.end - r.begin)
    return {Kind::host_stack, r.begin, r.end};
  Search search{address, {}};
  dl_iterate_phdr(look_in_module, &search);
  if (search.found.end) return {Kind::program, search.found.begin, search.found.end};
  return {};
}

std::string describe(const Executor& e, std::uintptr_t address) {
  const Region region = region_of(e, address);
  const std::uintptr_t offset = address - region.begin;
  const std::size_t bytes = region.end - region.begin;
  switch (region.kind) {
    case Kind::dynamic_shared:
      return join("byte ", offset, " of dynamic shared memory (", bytes, " bytes)");
    case Kind::static_shared:
      return join("byte ", offset, " of a __shared__ variable (", bytes, " bytes)");
    case Kind::device:
      return join("byte ", offset, " of an allocation of ", bytes, " bytes");
    case Kind::host_stack:
    case Kind::program:
      return join("host memory at ", reinterpret_cast<const void*>(address));
    case Kind::none:
      break;
  }
  if (shared_memory::find(address).place == shared_memory::Place::dynamic_part) {
    return join("byte ", static_cast<std::ptrdiff_t>(address - reinterpret_cast<std::uintptr_t>(e.shared())),
                " of dynamic shared memory, which has ", e.info().shared_bytes, " bytes");
  }
  constexpr std::uintptr_t kNear = 4096;
  const Range r = host_state::nearest_allocation(address);
  if (r.end && address >= r.end && address - r.end < kNear)
    return join("memory ", address - r.end, " bytes past the end of an allocation of ", r.end - r.begin,
                " bytes");
  if (r.end && address < r.begin && r.begin - address <= kNear)
    return join("memory ", r.begin - address, " bytes before an allocation of ", r.end - r.begin, " bytes");
  return join("address ", reinterpret_cast<const void*>(address),
              ", which is neither device nor shared memory");
}

#if RANKINE_EMULATOR_ASAN
bool poisoned(std::uintptr_t address, std::size_t bytes) {
  struct Mapping {
    std::size_t scale = 0, offset = 0;
    Mapping() { __asan_get_shadow_mapping(&scale, &offset); }
  };
  static const Mapping mapping;
  // The usual case is a zero: all bytes of the granule are fine.
  const std::uintptr_t first = address >> mapping.scale, last = (address + bytes - 1) >> mapping.scale;
  if ((*reinterpret_cast<const char*>(first + mapping.offset) |
       *reinterpret_cast<const char*>(last + mapping.offset)) == 0)
    return false;
  return __asan_region_is_poisoned(reinterpret_cast<void*>(address), bytes) != nullptr;
}
#else
bool poisoned(std::uintptr_t, std::size_t) { return false; }
#endif

}  // namespace rankine::emulator::address_space
