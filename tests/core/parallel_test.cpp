#include "engine/core/parallel.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace rankine {
namespace {

TEST(ThreadPool, RangesCoverEveryItemOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    EXPECT_EQ(pool.size(), threads);
    for (const std::int64_t n : {0, 1, 2, 3, 7, 8, 100, 1001}) {
      for (const std::int64_t grain : {0, 1, 4, 1000}) {
        std::vector<std::atomic<int>> seen(static_cast<std::size_t>(n));
        std::atomic<int> calls{0};
        pool.parallel_for(n, grain, [&](std::int64_t begin, std::int64_t end) {
          ++calls;
          ASSERT_LT(begin, end);
          for (std::int64_t i = begin; i < end; ++i) ++seen[i];
        });
        for (std::int64_t i = 0; i < n; ++i) ASSERT_EQ(seen[i], 1) << i << " of " << n;
        EXPECT_LE(calls, threads);
        if (n > 0 && n < 2 * grain) {
          EXPECT_EQ(calls, 1) << "too little work for two threads";
        }
      }
    }
  }
}

TEST(ThreadPool, TheCutDependsOnSizesOnly) {
  ThreadPool pool(3);
  const auto ranges = [&] {
    std::mutex mutex;
    std::vector<std::pair<std::int64_t, std::int64_t>> list;
    pool.parallel_for(1000, 10, [&](std::int64_t begin, std::int64_t end) {
      const std::lock_guard lock(mutex);
      list.emplace_back(begin, end);
    });
    std::sort(list.begin(), list.end());
    return list;
  };
  const auto first = ranges();
  EXPECT_EQ(first.size(), 3U);
  for (int i = 0; i < 50; ++i) ASSERT_EQ(ranges(), first);
}

// Every task once; those that run at the same time have slots of their own.
TEST(ThreadPool, TasksAreTakenOnceInSlotsOfTheirOwn) {
  for (const int threads : {1, 2, 3, 7}) {
    ThreadPool pool(threads);
    for (const std::int64_t n : {0, 1, 2, 3, 7, 8, 100, 70'000}) {
      std::vector<std::atomic<int>> seen(static_cast<std::size_t>(n));
      const std::int64_t slots = std::min<std::int64_t>(n, threads);
      std::vector<std::atomic<int>> busy(static_cast<std::size_t>(slots));
      std::atomic<int> shared{0}, outside{0};
      pool.parallel_tasks(n, [&](std::int64_t task, int slot) {
        if (slot < 0 || slot >= slots) {
          ++outside;
          return;
        }
        if (busy[slot].exchange(1) != 0) ++shared;
        ++seen[task];
        if (n <= 100) std::this_thread::yield();
        busy[slot] = 0;
      });
      EXPECT_EQ(outside, 0) << n << " tasks, " << threads << " threads";
      EXPECT_EQ(shared, 0) << n << " tasks, " << threads << " threads";
      for (std::int64_t i = 0; i < n; ++i) ASSERT_EQ(seen[i], 1) << i << " of " << n;
    }
  }
}

TEST(ThreadPool, ATaskThatThrowsStopsNoOther) {
  ThreadPool pool(3);
  std::atomic<int> done{0};
  EXPECT_THROW(pool.parallel_tasks(50,
                                   [&](std::int64_t task, int) {
                                     if (task == 7) throw std::runtime_error("seven");
                                     pool.parallel_tasks(2,
                                                         [&](std::int64_t, int slot) { done += slot == 0; });
                                   }),
               std::runtime_error);
  EXPECT_EQ(done, 98) << "nested tasks run on the thread that called, in its slot 0";
}

TEST(ThreadPool, AnExceptionComesBackAndThePoolLives) {
  ThreadPool pool(3);
  for (const std::int64_t bad : {0, 50, 99}) {
    const auto run = [&] {
      pool.parallel_for(100, 1, [&](std::int64_t begin, std::int64_t end) {
        if (begin <= bad && bad < end) throw std::runtime_error("item " + std::to_string(bad));
      });
    };
    try {
      run();
      ADD_FAILURE() << "the exception was lost";
    } catch (const std::runtime_error& e) {
      EXPECT_EQ(std::string(e.what()), "item " + std::to_string(bad));
    }
  }
  std::atomic<std::int64_t> sum{0};
  pool.parallel_for(100, 1, [&](std::int64_t begin, std::int64_t end) { sum += end - begin; });
  EXPECT_EQ(sum, 100);
}

TEST(ThreadPool, NestedCallsRunInline) {
  ThreadPool pool(3);
  std::vector<std::atomic<int>> seen(60);
  std::atomic<int> inner_calls{0};
  pool.parallel_for(6, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      pool.parallel_for(10, 1, [&](std::int64_t b, std::int64_t e) {
        ++inner_calls;
        for (std::int64_t j = b; j < e; ++j) ++seen[10 * i + j];
      });
    }
  });
  EXPECT_EQ(inner_calls, 6);
  for (const auto& s : seen) EXPECT_EQ(s, 1);
  std::atomic<int> calls{0};
  pool.parallel_for(300, 1, [&](std::int64_t, std::int64_t) { ++calls; });
  EXPECT_EQ(calls, 3);  // back at the top, all threads work again
}

TEST(ThreadPool, ANestedExceptionReachesTheOuterCaller) {
  ThreadPool pool(2);
  EXPECT_THROW(pool.parallel_for(4, 1,
                                 [&](std::int64_t, std::int64_t) {
                                   pool.parallel_for(4, 1, [](std::int64_t, std::int64_t) {
                                     throw std::invalid_argument("inner");
                                   });
                                 }),
               std::invalid_argument);
}

TEST(ThreadPool, ManySmallJobsInARow) {
  ThreadPool pool(3);
  std::int64_t total = 0;
  for (int round = 0; round < 2000; ++round) {
    std::atomic<std::int64_t> sum{0};
    pool.parallel_for(30, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) sum += i;
    });
    total += sum;
  }
  EXPECT_EQ(total, 2000 * 435);
}

}  // namespace
}  // namespace rankine
