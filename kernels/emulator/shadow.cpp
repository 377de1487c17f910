#include "kernels/emulator/shadow.h"

#include "engine/core/error.h"
#include "kernels/emulator/executor.h"
#include "kernels/emulator/shared_memory.h"

namespace rankine::emulator {

bool instrumented() { return false; }

namespace shadow {

void read(const void*, int, Where) {}
void write(const void*, int, Where) {}
void write_pending(const void*, int, Where) {}
void atomic(const void*, int, Where) {}

void require_shared(const void* p, int bytes, const char* what, Where where) {
  using shared_memory::Place;
  Executor& e = executor(what);
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  const std::uintptr_t dynamic = reinterpret_cast<std::uintptr_t>(e.shared());
  if (address - dynamic + static_cast<std::uintptr_t>(bytes) <= e.info().shared_bytes && address >= dynamic)
    return;
  if (shared_memory::place_of(address) == Place::variable) return;
  e.fail(join(what, " at ", where, ": ", p, " is not shared memory of the block"));
}

}  // namespace shadow
}  // namespace rankine::emulator
