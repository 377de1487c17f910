// Runs the blocks of a launch: threads as fibers, in an order drawn from the seed at every point where the
// hardware leaves it open. A thread stops only where threads meet; what it waits for is known, so a block in
// which nobody can go on is a Fault that says who waits where.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/emulator/fiber.h"
#include "kernels/emulator/include/emulator_device.h"

namespace rankine::emulator {

// One cp.async under way.
struct AsyncCopy {
  void* to;
  std::size_t bytes;
  int group;  // which commit closes it
  const void* pc;
  unsigned char data[16];
};

struct Thread {
  Fiber fiber;
  Index index{};
  unsigned linear = 0;
  const char* waits_in = nullptr;  // the call in which it waits, nullptr while it can run
  Where where;
  void* payload = nullptr;  // arguments and result of that call
  std::vector<AsyncCopy> copies;
  int groups = 0;  // committed so far

  unsigned lane() const { return linear % 32; }
  unsigned warp() const { return linear / 32; }
};

// A call in which lanes of a warp meet. `complete` runs once, when the last of `mask` has arrived, over the
// payloads of the warp's 32 lanes.
struct Collective {
  const char* name;
  bool one_instruction;  // all lanes must be at the same line
  bool orders_memory;    // and may count lanes that have left the kernel as present
  void (*complete)(Thread* lanes, unsigned mask);
};

struct Meeting {
  const Collective* kind;
  unsigned mask, arrived;
  Where where;
};

struct Warp {
  unsigned ready = 0, alive = 0;  // lanes
  std::vector<Meeting> meetings;
};

// What tells two accesses of one launch apart (shadow.h): the clocks that synchronisation advances.
struct WarpClock {
  unsigned tick = 0;      // meetings that order memory, so far
  unsigned all_seen = 0;  // accesses before this tick are seen by every lane
  unsigned seen[32][32] = {};
  void join(unsigned mask, bool whole_warp);
};

class Executor {
 public:
  Executor();
  void run(const LaunchInfo& info, void (*invoke)(void*), void* body);  // throws Fault

  // From inside a kernel.
  void meet(const Collective& kind, unsigned mask, void* payload, Where where);
  int barrier(Count count, int predicate, Where where);
  [[noreturn]] void fail(std::string what);  // leaves the kernel where it stands
  Thread& self() { return *current_; }

  const LaunchInfo& info() const { return *info_; }
  Index block_index() const { return block_; }
  std::uint64_t block_number() const { return block_number_; }
  unsigned barriers() const { return barriers_; }
  const WarpClock& clock(unsigned warp) const { return clocks_[warp]; }
  char* shared() const { return shared_; }
  unsigned ready_lanes() const { return warps_[current_->warp()].ready; }
  bool on_fiber_stack(std::uintptr_t a) const {
    return a - reinterpret_cast<std::uintptr_t>(stacks_.begin()) < stacks_.bytes();
  }
  std::string describe(std::uint64_t block, unsigned thread) const;  // "block (0,0,0) thread (31,0,0)"

 private:
  static void entry();
  void run_block(std::uint64_t number);
  void begin_block();
  void leave();     // the current thread has ended
  void dispatch();  // goes on with whoever can
  Thread* next_ready();
  void complete(Warp& warp, std::size_t meeting);
  Meeting& meeting_of(Warp& warp, const Collective& kind, unsigned mask, Where where);
  void release_barrier();
  [[noreturn]] void abandon();
  std::string deadlock() const;
  std::uint64_t draw(std::uint64_t below);

  FiberStacks stacks_;
  Fiber host_;
  std::vector<Thread> threads_;  // kCount of them, so that lanes of a partial warp can be named
  std::vector<Warp> warps_;
  std::vector<WarpClock> clocks_;
  Thread* current_ = nullptr;
  char* shared_ = nullptr;

  const LaunchInfo* info_ = nullptr;
  void (*invoke_)(void*) = nullptr;
  void* body_ = nullptr;
  std::size_t prepared_ = 0;  // fibers that wait at the top of their loop
  unsigned size_ = 0, alive_ = 0, ready_warps_ = 0, at_barrier_ = 0, barriers_ = 0;
  Count barrier_count_ = Count::none;
  Where barrier_where_;
  int barrier_result_ = 0, barrier_sum_ = 0;
  Index block_{};
  std::uint64_t block_number_ = 0, blocks_run_ = 0, random_ = 1;
  bool natural_order_ = false, faulted_ = false;
  std::string fault_;
};

// The executor of the kernel that runs on this host thread, or nullptr.
extern constinit thread_local Executor* active;

// Whether the running code is a kernel's. Inline functions of the standard library may be the kernels'
// instrumented ones, so what the emulator itself does must not be taken for an access of the kernel.
extern constinit thread_local bool in_kernel;

// The way into the emulator from a kernel, and back at the end of its life.
class Inside {
 public:
  explicit Inside(const char* call);  // throws std::logic_error outside of kernels
  ~Inside() { in_kernel = true; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  Executor* operator->() const { return active; }
  Executor& operator*() const { return *active; }
};

std::ostream& operator<<(std::ostream& out, const Where& where);

}  // namespace rankine::emulator
