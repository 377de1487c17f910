#include "kernels/emulator/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <new>

#include "kernels/emulator/sanitizer.h"

#if defined(__x86_64__)
// Saves what a callee must preserve on the stack it leaves, and takes it from the one it enters.
extern "C" void rankine_switch_stack(void** left, void* entered);
asm(R"(
.text
.globl rankine_switch_stack
.hidden rankine_switch_stack
.type rankine_switch_stack, @function
rankine_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size rankine_switch_stack, .-rankine_switch_stack
)");
#endif

namespace rankine::emulator {

void Fiber::prepare(void* low, std::size_t bytes, void (*entry)(), std::size_t skew) {
  if (bytes_) sanitizer::unpoison(low, bytes);  // frames that were abandoned have left their marks
  low_ = low;
  bytes_ = bytes;
  fake_stack_ = nullptr;
#if defined(__x86_64__)
  auto* top = reinterpret_cast<std::uintptr_t*>(static_cast<char*>(low) + bytes - skew / 16 * 16);
  *--top = 0;  // entry's return address: unwinding ends here
  *--top = reinterpret_cast<std::uintptr_t>(entry);
  for (int i = 0; i < 6; ++i) *--top = 0;
  stack_pointer_ = top;
#else
  getcontext(&context_);
  context_.uc_stack.ss_sp = low;
  context_.uc_stack.ss_size = bytes - skew / 16 * 16;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#endif
}

void Fiber::change(Fiber& from, Fiber& to) {
  sanitizer::leave_stack(&from.fake_stack_, to.low_, to.bytes_);
#if defined(__x86_64__)
  rankine_switch_stack(&from.stack_pointer_, to.stack_pointer_);
#else
  swapcontext(&from.context_, &to.context_);
#endif
  sanitizer::enter_stack(from.fake_stack_, nullptr, nullptr);
}

void Fiber::arrived(Fiber& self, Fiber* host) {
  const void* low = nullptr;
  std::size_t bytes = 0;
  sanitizer::enter_stack(self.fake_stack_, &low, &bytes);
  if (host && !host->low_) {
    host->low_ = low;
    host->bytes_ = bytes;
  }
}

FiberStacks::FiberStacks() {
  void* p =
      mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  begin_ = static_cast<char*>(p);
  for (std::size_t i = 0; i < kCount; ++i) mprotect(begin_ + i * kStride, kGuard, PROT_NONE);
}

FiberStacks::~FiberStacks() {
  sanitizer::unpoison(begin_, bytes());
  munmap(begin_, bytes());
}

}  // namespace rankine::emulator
