// Textbook attention in the problem's own dtype: how wrong the obvious implementation is.
#ifndef FLASHCORE_CLIENT_VERIFY_PLAIN_ATTENTION_H_
#define FLASHCORE_CLIENT_VERIFY_PLAIN_ATTENTION_H_

#include "kernels/attention.h"

namespace flashcore {

// Writes O of a valid problem whose pointers and strides are set, all FP32, with logits, probabilities and output each
// rounded to `dtype`. Leaves LSE alone. One thread.
void PlainAttention(const AttentionProblem& problem, DType dtype);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_VERIFY_PLAIN_ATTENTION_H_
