// Which of the waiting requests goes next:
//
//   1. Every kOldestTurn-th request that is taken is the one that has waited longest, whatever the rules below say.
//   2. Otherwise the highest priority that waits.
//   3. Within it, only connections within their share: those that have not been served more than kShareSlack beyond
//      the least served one that waits. What a request costs is the share of a batch that it takes.
//   4. Of those, the earliest deadline. Where deadlines are equal, none in particular, the least served connection; of
//      one connection's, the oldest.
//
// So deadlines decide the order, but only as long as nobody pays for it with more than kShareSlack: a connection that
// sends much, or claims that all of it is urgent, cannot hold back the others. The rest is bounded by rule 1: with n
// requests ahead of it in age, a request of any priority or deadline is among the next kOldestTurn * (n + 1) taken.
//
// A connection that stops waiting is remembered for as long as it is ahead of the others, so that it gains nothing by
// sending one request at a time. New ones start level with the least served.
//
// Not thread-safe. Every operation takes logarithmic time, and no memory from the heap once it has held as many
// requests before.
#ifndef FLASHCORE_SERVER_SCHEDULER_REQUEST_ORDER_H_
#define FLASHCORE_SERVER_SCHEDULER_REQUEST_ORDER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory_resource>
#include <set>
#include <unordered_map>

#include "server/telemetry/clock.h"
#include "server/telemetry/priority.h"

namespace flashcore {

// On which terms a request waits for a lane.
struct RequestTerms {
  int64_t deadline_ns = kNoDeadlineNs;
  Priority priority = Priority::kNormal;
  // Opaque; requests with the same key share what one connection may take.
  uint64_t connection = 0;
};

// One in so many requests goes by age alone: low priorities get at least this part of a server that is always busy.
inline constexpr int kOldestTurn = 16;
// In batches.
inline constexpr double kShareSlack = 0.25;
// Connections that are ahead and do not wait are remembered up to this number, those furthest ahead first.
inline constexpr size_t kMaxRememberedConnections = 1024;

class Request;
struct ConnectionQueue;

// A request's place. Belongs to the request, which must not go away while it waits.
struct Ticket {
  Request* request = nullptr;  // Whose it is; nothing to the order.

  // Constant while it waits.
  RequestTerms terms;
  double cost = 0;  // Share of a batch, > 0.

  // The order's own.
  uint64_t sequence = 0;
  ConnectionQueue* connection = nullptr;
  std::pmr::list<Ticket*>::iterator by_age;
};

struct EarlierDeadline {
  bool operator()(const Ticket* a, const Ticket* b) const {
    return a->terms.deadline_ns != b->terms.deadline_ns ? a->terms.deadline_ns < b->terms.deadline_ns
                                                        : a->sequence < b->sequence;
  }
};
using TicketsByDeadline = std::pmr::set<Ticket*, EarlierDeadline>;

// What a connection has waiting in one priority.
struct ConnectionQueue {
  ConnectionQueue(uint64_t key_in, double served_in, std::pmr::memory_resource* memory)
      : key(key_in), served(served_in), waiting(memory) {}

  const uint64_t key;
  double served;  // Sum of the costs taken, counted from where it joined.
  TicketsByDeadline waiting;
  bool within_share = true;
};

// Rules 3 and 4, for one priority.
class PriorityLevel {
 public:
  explicit PriorityLevel(std::pmr::memory_resource* memory);

  bool empty() const { return by_served_.empty(); }
  size_t remembered_connections() const { return connections_.size(); }
  void Insert(Ticket& ticket);
  // The next by rules 3 and 4. Not when empty.
  Ticket& Next() const { return **(*within_share_.begin())->waiting.begin(); }
  // `charge`: its connection is served, as opposed to the request having gone away.
  void Remove(Ticket& ticket, bool charge);

 private:
  struct LessServed {
    bool operator()(const ConnectionQueue* a, const ConnectionQueue* b) const;
  };
  struct Sooner {
    bool operator()(const ConnectionQueue* a, const ConnectionQueue* b) const;
  };

  // Around every change of a connection that waits: the sets are ordered by what changes.
  void Unlink(ConnectionQueue& connection);
  void Link(ConnectionQueue& connection);
  // After every change: who is within their share now, and who need not be remembered.
  void Advance();
  void Forget(ConnectionQueue& connection);

  std::pmr::memory_resource* const memory_;
  double least_served_ = 0;  // Of those that wait; never falls while any do.
  std::pmr::unordered_map<uint64_t, ConnectionQueue> connections_;
  std::pmr::set<ConnectionQueue*, LessServed> by_served_;  // All that wait: the two below together.
  std::pmr::set<ConnectionQueue*, Sooner> within_share_;
  std::pmr::set<ConnectionQueue*, LessServed> ahead_;
  std::pmr::set<ConnectionQueue*, LessServed> remembered_;  // Those that do not wait.
};

class RequestOrder {
 public:
  RequestOrder();
  RequestOrder(const RequestOrder&) = delete;
  RequestOrder& operator=(const RequestOrder&) = delete;

  bool empty() const { return by_age_.empty(); }
  size_t size() const { return by_age_.size(); }

  void Insert(Ticket& ticket);
  // What Take would take. Not when empty.
  Ticket& Next() const;
  // `ticket` is what Next gave: it is served.
  void Take(Ticket& ticket);
  // It waits no longer, unserved.
  void Remove(Ticket& ticket);

  // The one that has waited longest. Not when empty.
  Ticket& Oldest() const { return *by_age_.front(); }
  // The one whose deadline comes first; nullptr if none has one.
  Ticket* EarliestDeadline() const { return by_deadline_.empty() ? nullptr : *by_deadline_.begin(); }

 private:
  PriorityLevel& LevelOf(const Ticket& ticket) { return levels_[static_cast<size_t>(ticket.terms.priority)]; }
  void Unlist(Ticket& ticket);

  std::pmr::unsynchronized_pool_resource memory_;
  uint64_t next_sequence_ = 0;
  int taken_since_oldest_ = 0;
  std::pmr::list<Ticket*> by_age_;
  TicketsByDeadline by_deadline_;  // Those that have one.
  std::array<PriorityLevel, kNumPriorities> levels_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SCHEDULER_REQUEST_ORDER_H_
