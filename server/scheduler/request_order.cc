#include "server/scheduler/request_order.h"

#include <algorithm>
#include <iterator>
#include <tuple>

namespace flashcore {

bool PriorityLevel::LessServed::operator()(const ConnectionQueue* a, const ConnectionQueue* b) const {
  return std::tie(a->served, a->key) < std::tie(b->served, b->key);
}

bool PriorityLevel::Sooner::operator()(const ConnectionQueue* a, const ConnectionQueue* b) const {
  const Ticket& first_a = **a->waiting.begin();
  const Ticket& first_b = **b->waiting.begin();
  return std::tie(first_a.terms.deadline_ns, a->served, first_a.sequence) <
         std::tie(first_b.terms.deadline_ns, b->served, first_b.sequence);
}

PriorityLevel::PriorityLevel(std::pmr::memory_resource* memory)
    : memory_(memory),
      connections_(memory),
      by_served_(memory),
      within_share_(memory),
      ahead_(memory),
      remembered_(memory) {}

void PriorityLevel::Insert(Ticket& ticket) {
  const auto found = connections_.try_emplace(ticket.terms.connection, ticket.terms.connection, least_served_, memory_);
  ConnectionQueue& connection = found.first->second;
  if (!found.second) Unlink(connection);
  ticket.connection = &connection;
  connection.waiting.insert(&ticket);
  Link(connection);
  Advance();
}

void PriorityLevel::Remove(Ticket& ticket, bool charge) {
  ConnectionQueue& connection = *ticket.connection;
  Unlink(connection);
  connection.waiting.erase(&ticket);
  if (charge) connection.served += ticket.cost;
  Link(connection);
  Advance();
}

void PriorityLevel::Unlink(ConnectionQueue& connection) {
  if (connection.waiting.empty()) {
    remembered_.erase(&connection);
    return;
  }
  by_served_.erase(&connection);
  if (connection.within_share) {
    within_share_.erase(&connection);
  } else {
    ahead_.erase(&connection);
  }
}

void PriorityLevel::Link(ConnectionQueue& connection) {
  if (connection.waiting.empty()) {
    remembered_.insert(&connection);
    return;
  }
  by_served_.insert(&connection);
  connection.within_share = connection.served <= least_served_ + kShareSlack;
  if (connection.within_share) {
    within_share_.insert(&connection);
  } else {
    ahead_.insert(&connection);
  }
}

void PriorityLevel::Advance() {
  if (by_served_.empty()) {
    // Nobody waits, so nobody is held back by what the others had.
    remembered_.clear();
    connections_.clear();
    least_served_ = 0;
    return;
  }
  least_served_ = std::max(least_served_, (*by_served_.begin())->served);
  while (!ahead_.empty() && (*ahead_.begin())->served <= least_served_ + kShareSlack) {
    ConnectionQueue& connection = **ahead_.begin();
    ahead_.erase(ahead_.begin());
    connection.within_share = true;
    within_share_.insert(&connection);
  }
  while (!remembered_.empty() &&
         ((*remembered_.begin())->served <= least_served_ || remembered_.size() > kMaxRememberedConnections)) {
    Forget(**remembered_.begin());
  }
}

void PriorityLevel::Forget(ConnectionQueue& connection) {
  remembered_.erase(&connection);
  connections_.erase(connection.key);
}

RequestOrder::RequestOrder()
    : by_age_(&memory_),
      by_deadline_(&memory_),
      levels_{PriorityLevel(&memory_), PriorityLevel(&memory_), PriorityLevel(&memory_)} {
  static_assert(kNumPriorities == 3);
}

void RequestOrder::Insert(Ticket& ticket) {
  ticket.sequence = next_sequence_++;
  ticket.by_age = by_age_.insert(by_age_.end(), &ticket);
  if (ticket.terms.deadline_ns != kNoDeadlineNs) by_deadline_.insert(&ticket);
  LevelOf(ticket).Insert(ticket);
}

Ticket& RequestOrder::Next() const {
  if (taken_since_oldest_ + 1 >= kOldestTurn) return Oldest();
  const auto highest =
      std::find_if(levels_.rbegin(), levels_.rend(), [](const PriorityLevel& level) { return !level.empty(); });
  return highest->Next();
}

void RequestOrder::Take(Ticket& ticket) {
  taken_since_oldest_ = taken_since_oldest_ + 1 >= kOldestTurn ? 0 : taken_since_oldest_ + 1;
  Unlist(ticket);
  LevelOf(ticket).Remove(ticket, /*charge=*/true);
}

void RequestOrder::Remove(Ticket& ticket) {
  Unlist(ticket);
  LevelOf(ticket).Remove(ticket, /*charge=*/false);
}

void RequestOrder::Unlist(Ticket& ticket) {
  by_age_.erase(ticket.by_age);
  if (ticket.terms.deadline_ns != kNoDeadlineNs) by_deadline_.erase(&ticket);
}

}  // namespace flashcore
