#include "client/load/timer_queue.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <vector>

#include "absl/time/time.h"

namespace flashcore {
namespace {

TEST(TimerQueueTest, RunsWhatIsDueFirstFirst) {
  TimerQueue timers;
  std::vector<int> order;  // Only the queue's thread writes; the promise hands it over.
  std::promise<void> all;
  // Both wait behind this one until they have been added.
  std::promise<void> added;
  timers.After(absl::ZeroDuration(), [&added] { added.get_future().wait(); });
  timers.After(absl::Milliseconds(20), [&] {
    order.push_back(2);
    all.set_value();
  });
  timers.After(absl::Milliseconds(10), [&order] { order.push_back(1); });
  added.set_value();
  all.get_future().wait();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
}

TEST(TimerQueueTest, DropsWhatIsNotDue) {
  const auto owned = std::make_shared<int>(0);
  {
    TimerQueue timers;
    timers.After(absl::Hours(1), [owned] { ++*owned; });
  }
  EXPECT_EQ(*owned, 0);
  EXPECT_EQ(owned.use_count(), 1);
}

}  // namespace
}  // namespace flashcore
