// cp.async: the source is read when the copy is issued, the destination is garbage from then until the wait.
#include <cstring>

#include "engine/core/error.h"
#include "kernels/emulator/executor.h"
#include "kernels/emulator/include/emulator_intrinsics.h"
#include "kernels/emulator/shadow.h"

namespace rankine::emulator {

void cp_async(void* shared, const void* global, int bytes, int valid_bytes, Where where) {
  const Inside e("cp_async");
  where.pc = __builtin_return_address(0);
  const auto size = static_cast<std::size_t>(bytes), valid = static_cast<std::size_t>(valid_bytes);
  if (bytes != 4 && bytes != 8 && bytes != 16)
    e->fail(join("cp.async at ", where, ": ", bytes, " bytes, allowed are 4, 8 and 16"));
  if (valid_bytes < 0 || valid_bytes > bytes)
    e->fail(join("cp.async at ", where, ": ", valid_bytes, " valid bytes of ", bytes));
  if (reinterpret_cast<std::uintptr_t>(shared) % size || reinterpret_cast<std::uintptr_t>(global) % size)
    e->fail(join("misaligned: cp.async at ", where, " of ", bytes, " bytes to ", shared, " from ", global));
  shadow::require_shared(*e, shared, size, "cp.async", where.pc);
  if (valid_bytes > 0) shadow::access(*e, global, valid, shadow::Kind::read, where.pc);
  shadow::access(*e, shared, size, shadow::Kind::pending_write, where.pc);

  Thread& self = e->self();
  AsyncCopy copy{shared, size, self.groups, where.pc, {}};
  if (valid_bytes > 0) std::memcpy(copy.data, global, valid);
  std::memset(shared, 0xFF, size);
  self.copies.push_back(copy);
}

void cp_async_commit() { ++Inside("cp_async_commit")->self().groups; }

void cp_async_wait(int pending_groups_allowed) {
  const Inside e("cp_async_wait");
  Thread& self = e->self();
  std::size_t kept = 0;
  for (const AsyncCopy& copy : self.copies) {
    // Group g is complete when at most `allowed` of the committed groups are newer; an open group has no
    // commit.
    if (copy.group < self.groups - pending_groups_allowed) {
      std::memcpy(copy.to, copy.data, copy.bytes);
      shadow::access(*e, copy.to, copy.bytes, shadow::Kind::write, copy.pc);
    } else {
      self.copies[kept++] = copy;
    }
  }
  self.copies.resize(kept);
}

}  // namespace rankine::emulator
