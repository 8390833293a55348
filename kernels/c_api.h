/* The kernels' C interface, exported by libflashcore_attention.so: what attention.h offers, for callers such as
 * Python's ctypes. The shapes, options and the meaning of every field are those of attention.h.
 *
 * Functions that can fail return 0 for success, else an absl::StatusCode (3: INVALID_ARGUMENT, 12: UNIMPLEMENTED,
 * 13: INTERNAL, 14: UNAVAILABLE), and leave a message for flashcore_attention_last_error() on the same thread. */
#ifndef FLASHCORE_KERNELS_C_API_H_
#define FLASHCORE_KERNELS_C_API_H_

/* NOLINTBEGIN(modernize-deprecated-headers,modernize-use-using): this header is C. */
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FLASHCORE_ATTENTION_API __attribute__((visibility("default")))

/* A backend. Thread-safe. */
typedef struct flashcore_attention flashcore_attention;

enum { FLASHCORE_FP16 = 0, FLASHCORE_BF16 = 1, FLASHCORE_FP32 = 2 };

/* Elements between neighbours; 1 along head_dim. */
typedef struct flashcore_attention_strides {
  int64_t batch;
  int64_t head;
  int64_t row;
} flashcore_attention_strides;

/* Every field counts: set windows that are off to -1, and sm_scale to 1 / sqrt(head_dim) if in doubt. */
typedef struct flashcore_attention_problem {
  int64_t batch;
  int64_t num_qo_heads;
  int64_t num_kv_heads;
  int64_t q_len;
  int64_t kv_len;
  int64_t head_dim;
  int64_t window_left;
  int64_t window_right;
  float sm_scale;
  float logits_soft_cap;
  int32_t causal; /* 0 or 1. */
  int32_t dtype;  /* FLASHCORE_FP16, FLASHCORE_BF16 or FLASHCORE_FP32. */
  const void* q;
  const void* k;
  const void* v;
  void* o;
  float* lse; /* NULL: not wanted. */
  flashcore_attention_strides q_strides;
  flashcore_attention_strides k_strides;
  flashcore_attention_strides v_strides;
  flashcore_attention_strides o_strides;
} flashcore_attention_problem;

/* backend: "auto", "cpu", "cuda" or "reference". kernel: "auto" or one of the backend's. num_threads: for "cpu", 0
 * takes one for each CPU that the process may use. On success *created is the caller's, until
 * flashcore_attention_destroy. */
FLASHCORE_ATTENTION_API int flashcore_attention_create(const char* backend, const char* kernel, int num_threads,
                                                       int device_ordinal, flashcore_attention** created);

/* Not while a call on it is in progress. NULL is fine. */
FLASHCORE_ATTENTION_API void flashcore_attention_destroy(flashcore_attention* attention);

/* Runs `count` problems in one launch. With "cuda" the pointers are device pointers, `stream` is a cudaStream_t and the
 * call returns when the work is enqueued; otherwise they are host pointers and the results are there on return.
 * Everything is checked but the pointers' validity and the strides. */
FLASHCORE_ATTENTION_API int flashcore_attention_run(flashcore_attention* attention,
                                                    const flashcore_attention_problem* problems, size_t count,
                                                    void* stream);

/* What the backend is. Valid until flashcore_attention_destroy. */
FLASHCORE_ATTENTION_API const char* flashcore_attention_backend(const flashcore_attention* attention);
FLASHCORE_ATTENTION_API const char* flashcore_attention_device(const flashcore_attention* attention);
FLASHCORE_ATTENTION_API const char* flashcore_attention_kernel(const flashcore_attention* attention);
/* CPU threads that compute; 0 where a device does. */
FLASHCORE_ATTENTION_API int flashcore_attention_num_threads(const flashcore_attention* attention);

/* Why the last failed call on this thread failed; "" if none has. Valid until this thread's next failure. */
FLASHCORE_ATTENTION_API const char* flashcore_attention_last_error(void);

#ifdef __cplusplus
}
#endif

/* NOLINTEND(modernize-deprecated-headers,modernize-use-using) */

#endif /* FLASHCORE_KERNELS_C_API_H_ */
