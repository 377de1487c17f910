// A stack that code can leave and come back to: what a device thread is made of.
#pragma once

#include <cstddef>

#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace rankine::emulator {

class Fiber {
 public:
  Fiber() = default;  // the host's own stack, once it has been left
  // A stack of its own in [low, low + bytes); first entered by calling entry(). `skew` shifts where on the
  // stack it starts, so that the stacks of many fibers do not share cache sets.
  void prepare(void* low, std::size_t bytes, void (*entry)(), std::size_t skew);
  // Leaves `from`, the running one, for `to`; returns when something switches back.
  static void change(Fiber& from, Fiber& to);
  // To be called first thing in entry(). Learns the stack the very first fiber came from.
  static void arrived(Fiber& self, Fiber* host);

 private:
  const void* low_ = nullptr;
  std::size_t bytes_ = 0;
  void* fake_stack_ = nullptr;
#if defined(__x86_64__)
  void* stack_pointer_ = nullptr;
#else
  ucontext_t context_{};
#endif
};

// Stacks for a block's threads, each with an unmapped page below it. Allocated once per host thread.
class FiberStacks {
 public:
  FiberStacks();
  ~FiberStacks();
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;

  static constexpr std::size_t kCount = 1024;
  char* low(std::size_t i) const { return begin_ + i * kStride + kGuard; }
  const char* begin() const { return begin_; }
  std::size_t bytes() const { return kCount * kStride; }

  static constexpr std::size_t kGuard = 4096;
  static constexpr std::size_t kStack = 256 * 1024;  // of address space; pages come when touched
  static constexpr std::size_t kStride = kStack + kGuard;

 private:
  char* begin_ = nullptr;
};

}  // namespace rankine::emulator
