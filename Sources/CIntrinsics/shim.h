#pragma once

// Clang's builtins, which Swift cannot name: __builtin_prefetch takes its last two arguments as literals, and
// Swift's own square root of a vector is a call for every lane.

typedef float cintrinsics_vector __attribute__((ext_vector_type(16)));
typedef unsigned cintrinsics_words __attribute__((ext_vector_type(16)));
typedef unsigned short cintrinsics_halves __attribute__((ext_vector_type(16)));

static inline void prefetch_to_read(const void *address) { __builtin_prefetch(address, 0, 3); }
static inline void prefetch_to_write(void *address) { __builtin_prefetch(address, 1, 3); }
static inline cintrinsics_vector square_root(cintrinsics_vector x) {
  return __builtin_elementwise_sqrt(x);
}
// The nearest bfloat16 numbers, ties to even. The processor's own instruction takes subnormal numbers for 0.
static inline cintrinsics_halves nearest_bfloat16(cintrinsics_vector x) {
#ifdef __AVX512BF16__
  typedef __bf16 bfloats __attribute__((ext_vector_type(16)));
  return (cintrinsics_halves)__builtin_convertvector(x, bfloats);
#else
  cintrinsics_words bits = (cintrinsics_words)x, upper = bits >> 16;
  cintrinsics_words rounded = (bits + 0x7fff + (upper & 1)) >> 16;
  // Rounding must not carry NaN's bits over to infinity.
  cintrinsics_words is_number = (cintrinsics_words)(x == x);
  return __builtin_convertvector((rounded & is_number) | ((upper | 0x40) & ~is_number), cintrinsics_halves);
#endif
}
