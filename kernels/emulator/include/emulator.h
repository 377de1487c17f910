// Running a kernel on the emulator, and what the emulator reports.
//
// A grid runs block after block, a block as fibers of the calling thread, in an order that the seed decides.
// Launches of several host threads run one after another.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/emulator/include/emulator_types.h"

struct CUstream_st;

namespace rankine::emulator {

// A place in a kernel's source. As a default argument `Where::here()` is the line of the call.
struct Where {
  const char* file = "";
  int line = 0;
  const void* pc = nullptr;  // the call's return address, filled in by what is called
  static constexpr Where here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line, nullptr};
  }
  friend bool operator==(const Where& a, const Where& b) { return a.line == b.line && same(a.file, b.file); }

 private:
  static bool same(const char* a, const char* b) { return a == b || __builtin_strcmp(a, b) == 0; }
};

// A mistake in a kernel. The message says what it is, file and line of the access or of the wait, the kernel
// and the line of its launch, the block and thread, and for a race both parties.
class Fault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct LaunchInfo {
  const char* kernel = "";
  const void* function = nullptr;  // as given to cudaFuncSetAttribute; nullptr counts as granted everything
  const char* file = "";
  int line = 0;
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  CUstream_st* stream = nullptr;
};

void launch_erased(const LaunchInfo& info, void (*invoke)(void*), void* body);
// Whether info.stream records: then nothing runs, and what `later` gives is kept for when the graph is
// launched.
using Later = std::function<void(const LaunchInfo& played)>;
bool record_launch(const LaunchInfo& info, const std::function<Later()>& later);

// Calls `body` once per thread of the grid. Limits of the driver that the launch breaks are an error of
// cudaGetLastError and nothing runs. Throws Fault; the memory the kernel wrote is then in any state.
template <class Body>
void launch(const LaunchInfo& info, Body&& body) {
  using Callable = std::remove_cvref_t<Body>;
  // Played, as now, with the arguments on the launching thread's stack, where kernels may read them.
  const auto later = [&]() -> Later {
    return [copy = Callable(body)](const LaunchInfo& played) {
      Callable arguments = copy;
      launch_erased(
          played, [](void* callable) { (*static_cast<Callable*>(callable))(); }, std::addressof(arguments));
    };
  };
  if (record_launch(info, later)) return;
  launch_erased(
      info, [](void* callable) { (*static_cast<Callable*>(callable))(); },
      const_cast<void*>(static_cast<const void*>(std::addressof(body))));
}

// The dynamic shared memory of the running block: LaunchInfo::shared_bytes, on a boundary of 128 bytes.
void* dynamic_shared();

// While it lives: the names of what this thread had run, in order, one by one or as nodes of a graph.
// Launches have that of their operation, the rest are "copy" and "fill".
class Recording {
 public:
  Recording();
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  const std::vector<std::string>& names() const { return names_; }

 private:
  friend void note(const std::string& name);
  std::vector<std::string> names_;
  Recording* before_;
};

// Decides the order of blocks, warps and lanes of the launches that follow. 0 is the natural order. The first
// seed is that of the environment variable RANKINE_EMULATOR_SEED, else 1.
void set_seed(std::uint64_t seed);
std::uint64_t seed();

// Whether a load or store of a kernel has been seen so far. Only kernels that report theirs are checked for
// races, bounds and uninitialised reads (clang with -fsanitize-coverage=func,trace-loads,trace-stores).
bool instrumented();

}  // namespace rankine::emulator
