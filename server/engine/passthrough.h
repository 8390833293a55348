// An engine that computes nothing, for measuring what the rest of the server costs.
//
// O and LSE stay as the staging memory happens to be: what earlier requests of anybody left there. It must never serve
// anyone, so the server refuses it without --allow_passthrough.
#ifndef FLASHCORE_SERVER_ENGINE_PASSTHROUGH_H_
#define FLASHCORE_SERVER_ENGINE_PASSTHROUGH_H_

#include <memory>

#include "kernels/attention.h"

namespace flashcore {

// Its name in EngineOptions::backend. Not one of CreateBackend's: it is no kernel.
inline constexpr char kPassthroughBackend[] = "passthrough";

// Takes every problem and returns at once.
std::unique_ptr<AttentionBackend> CreatePassthroughBackend();

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_ENGINE_PASSTHROUGH_H_
