// What becomes of the memory of messages that have been sent or staged.
#ifndef FLASHCORE_SERVER_RPC_BUFFER_MEMORY_H_
#define FLASHCORE_SERVER_RPC_BUFFER_MEMORY_H_

#include <cstdint>

namespace flashcore {

// From here on the process has two heaps, and each keeps up to `bytes` of freed memory for the next message. gRPC reads
// a message into buffers of some 10 KiB that it frees when the message is gone; the C library would give them back to
// the system each time, and every request would pay for their pages again. Each heap comes to what its threads ever
// held at once: with one for every thread, as the C library has it, memory would grow for long, and to many times what
// is needed. A switch of the process; the last call counts.
void KeepFreedMemory(int64_t bytes);

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_RPC_BUFFER_MEMORY_H_
