#pragma once

// Clang's builtins, which Swift cannot name: __builtin_prefetch takes its last two arguments as literals, Swift's
// own square root of a vector is a call for every lane, and its halves of vectors become moves lane by lane.

typedef float cintrinsics_vector __attribute__((ext_vector_type(16)));
typedef unsigned cintrinsics_words __attribute__((ext_vector_type(16)));
typedef _Bool cintrinsics_bits __attribute__((ext_vector_type(16)));
typedef unsigned short cintrinsics_halves __attribute__((ext_vector_type(16)));

static inline void prefetch_to_read(const void *address) { __builtin_prefetch(address, 0, 3); }
static inline void prefetch_to_write(void *address) { __builtin_prefetch(address, 1, 3); }
static inline cintrinsics_vector square_root(cintrinsics_vector x) {
  return __builtin_elementwise_sqrt(x);
}
// The sums of neighbouring lanes, in every quarter two of a and then two of b.
static inline cintrinsics_vector pair_sums(cintrinsics_vector a, cintrinsics_vector b) {
  return __builtin_shufflevector(a, b, 0, 2, 16, 18, 4, 6, 20, 22, 8, 10, 24, 26, 12, 14, 28, 30)
    + __builtin_shufflevector(a, b, 1, 3, 17, 19, 5, 7, 21, 23, 9, 11, 25, 27, 13, 15, 29, 31);
}
// The sums of neighbouring quarters, two of a and then two of b.
static inline cintrinsics_vector quarter_sums(cintrinsics_vector a, cintrinsics_vector b) {
  return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27)
    + __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}
// Bit i tells whether lane i is above 0.
static inline unsigned short positive_lanes(cintrinsics_vector x) {
  cintrinsics_bits positive = __builtin_convertvector(x > 0, cintrinsics_bits);
  unsigned short mask;
  __builtin_memcpy(&mask, &positive, sizeof mask);
  return mask;
}
// The lanes whose bits are set, and 0 in the others.
static inline cintrinsics_vector selected_lanes(cintrinsics_vector x, unsigned short mask) {
  cintrinsics_bits selected;
  __builtin_memcpy(&selected, &mask, sizeof mask);
  return (cintrinsics_vector)((cintrinsics_words)x & -__builtin_convertvector(selected, cintrinsics_words));
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
