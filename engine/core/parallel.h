// A fixed team of threads for the CPU kernels. Work is cut into contiguous ranges, one per thread, by a rule
// that depends only on the sizes, so the same machine and settings always do the same arithmetic in the same
// order.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>

namespace rankine {

class ThreadPool {
 public:
  // `threads` counts the caller; 0 means one per available core.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }

  // Calls body(begin, end) on disjoint ranges that cover [0, n); a range has at least `grain` items (but the
  // last). Returns when all are done; the first exception is rethrown. A call from inside a body runs inline.
  template <class Body>
  void parallel_for(std::int64_t n, std::int64_t grain, Body&& body) {
    using B = std::remove_reference_t<Body>;
    run(
        n, grain, [](void* b, std::int64_t begin, std::int64_t end) { (*static_cast<B*>(b))(begin, end); },
        const_cast<void*>(static_cast<const void*>(&body)));
  }

 private:
  using Call = void (*)(void*, std::int64_t, std::int64_t);
  void run(std::int64_t n, std::int64_t grain, Call call, void* body);

  struct Impl;
  int size_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rankine
