#include "server/scheduler/request_order.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <map>
#include <random>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;

constexpr double kSmall = 1.0 / 128;  // Thirty-two of them are the slack.

class RequestOrderTest : public testing::Test {
 protected:
  Ticket& Add(const RequestTerms& terms, double cost = kSmall) {
    Ticket& ticket = tickets_.emplace_back();
    ticket.terms = terms;
    ticket.cost = cost;
    order_.Insert(ticket);
    return ticket;
  }
  Ticket& Take() {
    Ticket& next = order_.Next();
    order_.Take(next);
    return next;
  }
  // Of the next `count`, what `of` says.
  template <typename Of>
  auto TakeMany(int count, Of of) {
    std::vector<decltype(of(Take()))> taken;
    for (int i = 0; i < count; ++i) taken.push_back(of(Take()));
    return taken;
  }
  static uint64_t Connection(const Ticket& ticket) { return ticket.terms.connection; }
  static int64_t Deadline(const Ticket& ticket) { return ticket.terms.deadline_ns; }
  static Priority PriorityOf(const Ticket& ticket) { return ticket.terms.priority; }

  std::deque<Ticket> tickets_;
  RequestOrder order_;
};

TEST_F(RequestOrderTest, OneConnectionWithoutDeadlinesIsFirstComeFirstServed) {
  for (int i = 0; i < 100; ++i) Add({});
  EXPECT_EQ(order_.size(), 100u);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(&Take(), &tickets_[i]);
  EXPECT_TRUE(order_.empty());
}

TEST_F(RequestOrderTest, EarliestDeadlineFirstAndNoneLast) {
  for (const int64_t deadline_ns : {kNoDeadlineNs, int64_t{30}, int64_t{10}, kNoDeadlineNs, int64_t{20}}) {
    Add({.deadline_ns = deadline_ns, .connection = static_cast<uint64_t>(deadline_ns)});
  }
  EXPECT_EQ(order_.EarliestDeadline()->terms.deadline_ns, 10);
  EXPECT_THAT(TakeMany(5, Deadline), ElementsAre(10, 20, 30, kNoDeadlineNs, kNoDeadlineNs));
}

TEST_F(RequestOrderTest, HigherPrioritiesFirstWhateverTheDeadlines) {
  Add({.deadline_ns = 1, .priority = Priority::kLow});
  Add({.deadline_ns = 2, .priority = Priority::kNormal});
  Add({.deadline_ns = 3, .priority = Priority::kHigh});
  Add({.priority = Priority::kHigh});
  EXPECT_THAT(TakeMany(4, PriorityOf),
              ElementsAre(Priority::kHigh, Priority::kHigh, Priority::kNormal, Priority::kLow));
}

TEST_F(RequestOrderTest, ALowRequestIsTakenWithinABoundThoughHighOnesNeverEnd) {
  constexpr int kOlder = 5;
  for (int i = 0; i < kOlder; ++i) Add({.priority = Priority::kHigh});
  const Ticket& low = Add({.priority = Priority::kLow});
  int taken = 1;
  for (; &Take() != &low; ++taken) {
    Add({.priority = Priority::kHigh});
    ASSERT_LE(taken, kOldestTurn * (kOlder + 1));
  }
  EXPECT_GT(taken, kOlder) << "and it does not go first either";
}

TEST_F(RequestOrderTest, LowPrioritiesKeepTheirPartOfABusyServer) {
  int low_taken = 0;
  for (int i = 0; i < 100; ++i) Add({.priority = Priority::kLow});
  for (int i = 0; i < 50 * kOldestTurn; ++i) {
    Add({.priority = Priority::kHigh});
    low_taken += Take().terms.priority == Priority::kLow ? 1 : 0;
  }
  EXPECT_EQ(low_taken, 50);
}

TEST_F(RequestOrderTest, ALateDeadlineIsNotPutOffForEver) {
  const Ticket& patient = Add({.deadline_ns = 1'000'000'000});
  int taken = 1;
  for (; &Take() != &patient; ++taken) {
    Add({.deadline_ns = taken});
    ASSERT_LE(taken, kOldestTurn);
  }
}

TEST_F(RequestOrderTest, ConnectionsTakeTurnsHoweverMuchOneSends) {
  for (int i = 0; i < 300; ++i) Add({.connection = 1});
  for (int i = 0; i < 20; ++i) Add({.connection = 2});
  const std::vector<uint64_t> taken = TakeMany(45, Connection);
  EXPECT_EQ(std::count(taken.begin(), taken.end(), 2), 20) << "and not after the 300";
}

TEST_F(RequestOrderTest, DeadlinesBuyNoMoreThanTheSlack) {
  for (int i = 0; i < 500; ++i) Add({.deadline_ns = i, .connection = 1});
  for (int i = 0; i < 100; ++i) Add({.connection = 2});
  std::map<uint64_t, double> served;
  for (int i = 0; i < 150; ++i) {
    served[Take().terms.connection] += kSmall;
    // Beyond the slack: the one that crosses it, and one that goes by age.
    ASSERT_LE(served[1] - served[2], kShareSlack + 2 * kSmall) << "after " << i;
  }
  EXPECT_GE(served[1], served[2]) << "and they do buy that";
}

TEST_F(RequestOrderTest, SharesCountCostsNotRequests) {
  constexpr int kFactor = 8;
  for (int i = 0; i < 200; ++i) Add({.connection = 1}, kFactor * kSmall);
  for (int i = 0; i < 800; ++i) Add({.connection = 2}, kSmall);
  const std::vector<uint64_t> taken = TakeMany(450, Connection);
  const auto large = static_cast<double>(std::count(taken.begin(), taken.end(), 1));
  EXPECT_NEAR(kFactor * large, 450 - large, (kShareSlack / kSmall) + kFactor);
}

TEST_F(RequestOrderTest, SendingOneAtATimeBuysNothing) {
  for (int i = 0; i < 400; ++i) Add({.connection = 1});
  double large_served = 0;
  for (int i = 0; i < 200; ++i) {
    // It always has an urgent one waiting, never two.
    if (order_.EarliestDeadline() == nullptr) Add({.deadline_ns = 1, .connection = 2}, 0.5);
    if (const Ticket& taken = Take(); taken.terms.connection == 2) large_served += taken.cost;
  }
  EXPECT_LE(large_served, 200 * kSmall + kShareSlack + 0.5);
}

TEST_F(RequestOrderTest, ANewConnectionStartsLevelWithTheLeastServed) {
  for (int i = 0; i < 100; ++i) Add({.connection = 1});
  TakeMany(60, Connection);
  for (int i = 0; i < 100; ++i) Add({.connection = 2});
  const std::vector<uint64_t> taken = TakeMany(60, Connection);
  const int64_t taken_as_oldest = 60 / kOldestTurn;
  const int64_t of_the_first = std::count(taken.begin(), taken.end(), 1);
  EXPECT_GE(of_the_first, 29 - taken_as_oldest) << "no debt from before";
  EXPECT_LE(of_the_first, 31 + taken_as_oldest) << "no debt from before";
}

TEST_F(RequestOrderTest, RemovedRequestsCostNothing) {
  for (int i = 0; i < 64; ++i) Add({.deadline_ns = i, .connection = 1}, 0.5);
  Ticket& other = Add({.deadline_ns = 1000, .connection = 2});
  for (int i = 0; i < 63; ++i) order_.Remove(tickets_[static_cast<size_t>(i)]);
  EXPECT_EQ(&order_.Oldest(), &tickets_[63]);
  EXPECT_EQ(&Take(), &tickets_[63]);
  EXPECT_EQ(&Take(), &other);
  EXPECT_EQ(order_.EarliestDeadline(), nullptr);
}

TEST_F(RequestOrderTest, RandomOperationsKeepTheOrderConsistent) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto pick = [&random](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
  std::vector<Ticket*> waiting;
  const auto drop = [&waiting](const Ticket& ticket) {
    waiting.erase(std::find(waiting.begin(), waiting.end(), &ticket));
  };
  for (int step = 0; step < 20'000; ++step) {
    const int what = pick(99);
    if (what < 50 || waiting.empty()) {
      waiting.push_back(&Add({.deadline_ns = pick(1) == 0 ? kNoDeadlineNs : pick(1000),
                              .priority = static_cast<Priority>(pick(2)),
                              .connection = static_cast<uint64_t>(pick(20))},
                             kSmall * (1 + pick(60))));
    } else if (what < 90) {
      drop(Take());
    } else {
      Ticket& victim = *waiting[static_cast<size_t>(pick(static_cast<int>(waiting.size()) - 1))];
      order_.Remove(victim);
      drop(victim);
    }
    ASSERT_EQ(order_.size(), waiting.size());
    if (waiting.empty()) continue;
    ASSERT_EQ(&order_.Oldest(), waiting.front());
  }
  while (!order_.empty()) drop(Take());
  EXPECT_TRUE(waiting.empty());
}

TEST(PriorityLevelTest, RemembersABoundedNumberOfConnections) {
  std::pmr::unsynchronized_pool_resource memory;
  PriorityLevel level(&memory);
  Ticket waiting;
  waiting.cost = kSmall;
  level.Insert(waiting);
  for (uint64_t key = 1; key < 3 * kMaxRememberedConnections; ++key) {
    Ticket ticket;
    ticket.terms.connection = key;
    ticket.cost = 1.0;
    level.Insert(ticket);
    level.Remove(ticket, /*charge=*/true);
  }
  EXPECT_LE(level.remembered_connections(), kMaxRememberedConnections + 1);
  level.Remove(waiting, /*charge=*/true);
  EXPECT_EQ(level.remembered_connections(), 0u);
}

}  // namespace
}  // namespace flashcore
