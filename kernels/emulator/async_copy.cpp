// cp.async: the source is read when the copy is issued, the destination is garbage from then until the wait.
#include <cstring>

#include "engine/core/error.h"
#include "kernels/emulator/executor.h"
#include "kernels/emulator/include/emulator_intrinsics.h"
#include "kernels/emulator/shadow.h"

namespace rankine::emulator {

void cp_async(void* shared, const void* global, int bytes, int valid_bytes, Where where) {
  Executor& e = executor("cp_async");
  auto misuse = [&](auto... what) { e.fail(join("cp.async at ", where, ": ", what...)); };
  if (bytes != 4 && bytes != 8 && bytes != 16) misuse(bytes, " bytes, allowed are 4, 8 and 16");
  if (valid_bytes < 0 || valid_bytes > bytes) misuse(valid_bytes, " valid bytes of ", bytes);
  const auto size = static_cast<std::uintptr_t>(bytes);
  if (reinterpret_cast<std::uintptr_t>(shared) % size)
    misuse("misaligned: destination is not on ", bytes, " bytes");
  if (reinterpret_cast<std::uintptr_t>(global) % size)
    misuse("misaligned: source is not on ", bytes, " bytes");
  shadow::require_shared(shared, bytes, "cp.async", where);
  if (valid_bytes > 0) shadow::read(global, valid_bytes, where);
  shadow::write_pending(shared, bytes, where);

  Thread& self = e.self();
  AsyncCopy copy{shared, bytes, self.groups, where, {}};
  if (valid_bytes > 0) std::memcpy(copy.data, global, static_cast<std::size_t>(valid_bytes));
  std::memset(shared, 0xFF, static_cast<std::size_t>(bytes));
  self.copies.push_back(copy);
}

void cp_async_commit() { ++executor("cp_async_commit").self().groups; }

void cp_async_wait(int pending_groups_allowed) {
  Thread& self = executor("cp_async_wait").self();
  std::size_t kept = 0;
  for (const AsyncCopy& copy : self.copies) {
    // Group g is complete when at most `allowed` of the committed groups are newer; an open group has no
    // commit.
    if (copy.group < self.groups - pending_groups_allowed) {
      std::memcpy(copy.to, copy.data, static_cast<std::size_t>(copy.bytes));
      shadow::write(copy.to, copy.bytes, copy.where);
    } else {
      self.copies[kept++] = copy;
    }
  }
  self.copies.resize(kept);
}

}  // namespace rankine::emulator
