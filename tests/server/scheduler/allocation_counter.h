// Replaces the global operator new of the binary that links it by one that counts.
#ifndef FLASHCORE_TESTS_SERVER_SCHEDULER_ALLOCATION_COUNTER_H_
#define FLASHCORE_TESTS_SERVER_SCHEDULER_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace flashcore::testing {

// By all threads, since the start. Thread-safe.
int64_t CountAllocations();

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_SERVER_SCHEDULER_ALLOCATION_COUNTER_H_
