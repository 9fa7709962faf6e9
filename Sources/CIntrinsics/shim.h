#pragma once

// Clang's builtins, which Swift cannot name: __builtin_prefetch takes its last two arguments as literals, and
// Swift's own square root of a vector is a call for every lane.

typedef float cintrinsics_vector __attribute__((ext_vector_type(16)));

static inline void prefetch_to_read(const void *address) { __builtin_prefetch(address, 0, 3); }
static inline void prefetch_to_write(void *address) { __builtin_prefetch(address, 1, 3); }
static inline cintrinsics_vector square_root(cintrinsics_vector x) {
  return __builtin_elementwise_sqrt(x);
}
