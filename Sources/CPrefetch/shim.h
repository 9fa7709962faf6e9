#pragma once

// __builtin_prefetch takes its last two arguments as literals, which only a macro can pass on.

static inline void prefetch_to_read(const void *address) { __builtin_prefetch(address, 0, 3); }
static inline void prefetch_to_write(void *address) { __builtin_prefetch(address, 1, 3); }
