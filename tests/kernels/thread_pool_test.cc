#include "kernels/cpu/thread_pool.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace flashcore::cpu {
namespace {

// Every item is done exactly once, however many threads come, and all of it is visible when Run returns.
TEST(ThreadPoolTest, RunsEveryItemOnce) {
  for (const int num_threads : {1, 2, 5}) {
    ThreadPool pool(num_threads);
    EXPECT_EQ(pool.num_threads(), num_threads);
    constexpr int kRuns = 300;
    for (int run = 0; run < kRuns; ++run) {
      std::vector<int> done(static_cast<size_t>(run % 20), 0);
      std::atomic<size_t> next{0};
      pool.Run([&](int) {
        for (size_t i = next.fetch_add(1); i < done.size(); i = next.fetch_add(1)) ++done[i];
      });
      for (const int times : done) ASSERT_EQ(times, 1);
    }
  }
}

TEST(ThreadPoolTest, IndicesAreDistinctAndTheCallerIsZero) {
  constexpr int kThreads = 4;
  ThreadPool pool(kThreads);
  const std::thread::id caller = std::this_thread::get_id();
  constexpr int kRuns = 200;
  for (int run = 0; run < kRuns; ++run) {
    std::atomic<int> uses[kThreads] = {};
    pool.Run([&](int index) {
      EXPECT_EQ(index == 0, std::this_thread::get_id() == caller);
      uses[index].fetch_add(1);
    });
    EXPECT_EQ(uses[0].load(), 1);
    for (const std::atomic<int>& count : uses) EXPECT_LE(count.load(), 1);
  }
}

TEST(ThreadPoolTest, OfOneThreadTheCallerIsZeroToo) {
  ThreadPool pool(1);
  int index_seen = -1;
  pool.Run([&](int index) { index_seen = index; });
  EXPECT_EQ(index_seen, 0);
}

TEST(ThreadPoolTest, WorkersDoCome) {
  constexpr int kThreads = 3;
  ThreadPool pool(kThreads);
  std::atomic<int> arrived{0};
  // The caller waits for the others inside its own share: each has to come while the run is open.
  pool.Run([&](int index) {
    arrived.fetch_add(1);
    while (index == 0 && arrived.load() < kThreads) std::this_thread::yield();
  });
  EXPECT_EQ(arrived.load(), kThreads);
}

TEST(ThreadPoolTest, SleepingWorkersWakeUp) {
  constexpr int kThreads = 3;
  ThreadPool pool(kThreads);
  const auto everyone_comes = [&pool] {
    std::atomic<int> arrived{0};
    pool.Run([&](int index) {
      arrived.fetch_add(1);
      while (index == 0 && arrived.load() < kThreads) std::this_thread::yield();
    });
  };
  everyone_comes();
  // Long enough for the workers to have stopped looking; if they have not, the test is merely easier.
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  everyone_comes();
}

TEST(ThreadPoolTest, CallersTakeTurns) {
  ThreadPool pool(3);
  std::atomic<int> running{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] {
      constexpr int kRuns = 200;
      for (int run = 0; run < kRuns; ++run) {
        pool.Run([&](int index) {
          if (index != 0) return;
          EXPECT_EQ(running.fetch_add(1), 0);
          running.fetch_sub(1);
        });
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
}

TEST(ThreadPoolTest, EndsWithoutARun) {
  for (int i = 0; i < 20; ++i) const ThreadPool pool(4);
}

}  // namespace
}  // namespace flashcore::cpu
