// A fixed team of threads for the CPU kernels. Work is cut by rules that depend only on the sizes; which
// thread takes which piece depends on who is free, so nothing but scratch may depend on the thread.
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
    run_ranges(n, grain,
               {[](void* b, std::int64_t begin, std::int64_t end, int) { (*static_cast<B*>(b))(begin, end); },
                address_of(body)});
  }

  // Calls body(task, slot) for every task in [0, n); who is free takes the next, so that unequal threads and
  // tasks end together. Tasks that run at the same time have different slots below min(n, size()): their
  // scratch. Otherwise as parallel_for.
  template <class Body>
  void parallel_tasks(std::int64_t n, Body&& body) {
    using B = std::remove_reference_t<Body>;
    run_tasks(n, {[](void* b, std::int64_t begin, std::int64_t end, int slot) {
                    for (std::int64_t i = begin; i < end; ++i) (*static_cast<B*>(b))(i, slot);
                  },
                  address_of(body)});
  }

 private:
  struct Call {
    void (*function)(void* body, std::int64_t begin, std::int64_t end, int slot);
    void* body;
  };
  template <class Body>
  static void* address_of(Body& body) {
    return const_cast<void*>(static_cast<const void*>(&body));
  }
  void run_ranges(std::int64_t n, std::int64_t grain, const Call& call);
  void run_tasks(std::int64_t n, const Call& call);

  struct Impl;
  int size_;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rankine
