// oneDNN's two C API generations, 2.x and 3.x, behind one set of functions.
#pragma once
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#if __has_include(<dnnl.h>)
#include <dnnl.h>
#else
#include <oneapi/dnnl/dnnl.h>
#endif

#if DNNL_VERSION_MAJOR >= 3
typedef const_dnnl_memory_desc_t cdnnl_desc;
#else
typedef const dnnl_memory_desc_t *cdnnl_desc;
#endif

typedef enum { CDNNL_PLAIN, CDNNL_CHANNELS_LAST, CDNNL_ANY } cdnnl_layout;
typedef enum { CDNNL_FLOAT32, CDNNL_BFLOAT16 } cdnnl_type;

// Extents of 1, 2 or 4 axes. Plain is row-major; channels-last is so in memory, with the extents in the
// order N, C, H, W all the same.
static inline dnnl_status_t cdnnl_desc_create(
    cdnnl_desc *desc, int axes, const int64_t *extents, cdnnl_type type, cdnnl_layout layout) {
  dnnl_dims_t dims;
  memcpy(dims, extents, axes * sizeof(int64_t));
  dnnl_format_tag_t plain = axes == 1 ? dnnl_a : axes == 2 ? dnnl_ab : dnnl_abcd;
  dnnl_format_tag_t tag = layout == CDNNL_CHANNELS_LAST ? dnnl_nhwc
                        : layout == CDNNL_PLAIN         ? plain
                                                        : dnnl_format_tag_any;
  dnnl_data_type_t data = type == CDNNL_BFLOAT16 ? dnnl_bf16 : dnnl_f32;
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_t made;
  dnnl_status_t status = dnnl_memory_desc_create_with_tag(&made, axes, dims, data, tag);
#else
  dnnl_memory_desc_t *made = (dnnl_memory_desc_t *)malloc(sizeof(dnnl_memory_desc_t));
  dnnl_status_t status = dnnl_memory_desc_init_by_tag(made, axes, dims, data, tag);
#endif
  *desc = made;
  return status;
}

static inline dnnl_status_t cdnnl_desc_create_strided(
    cdnnl_desc *desc, int axes, const int64_t *extents, const int64_t *strides, cdnnl_type type) {
  dnnl_dims_t dims, apart;
  memcpy(dims, extents, axes * sizeof(int64_t));
  memcpy(apart, strides, axes * sizeof(int64_t));
  dnnl_data_type_t data = type == CDNNL_BFLOAT16 ? dnnl_bf16 : dnnl_f32;
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_t made;
  dnnl_status_t status = dnnl_memory_desc_create_with_strides(&made, axes, dims, data, apart);
#else
  dnnl_memory_desc_t *made = (dnnl_memory_desc_t *)malloc(sizeof(dnnl_memory_desc_t));
  dnnl_status_t status = dnnl_memory_desc_init_by_strides(made, axes, dims, data, apart);
#endif
  *desc = made;
  return status;
}

static inline void cdnnl_desc_destroy(cdnnl_desc desc) {
#if DNNL_VERSION_MAJOR >= 3
  dnnl_memory_desc_destroy((dnnl_memory_desc_t)desc);
#else
  free((void *)desc);
#endif
}

// A primitive takes its scratch memory from the caller, so that it comes from one pool.
static inline dnnl_status_t cdnnl_attributes(dnnl_primitive_attr_t *attributes) {
  dnnl_status_t status = dnnl_primitive_attr_create(attributes);
  if (status != dnnl_success) return status;
  return dnnl_primitive_attr_set_scratchpad_mode(*attributes, dnnl_scratchpad_mode_user);
}

typedef enum { CDNNL_FORWARD, CDNNL_BACKWARD_DATA, CDNNL_BACKWARD_WEIGHTS } cdnnl_pass;
typedef enum { CDNNL_DIRECT, CDNNL_WINOGRAD } cdnnl_algorithm;

// What oneDNN calls an implementation, such as "jit:avx512_core".
static inline const char *cdnnl_implementation(dnnl_primitive_desc_t made) {
  const char *name = "";
  dnnl_primitive_desc_query(made, dnnl_query_impl_info_str, 0, &name);
  return name;
}

// `wanted` is how the name of the implementation begins, or NULL for the first.
static inline dnnl_status_t cdnnl_convolution(
    dnnl_primitive_desc_t *made, dnnl_engine_t engine, cdnnl_pass pass,
    cdnnl_algorithm algorithm, cdnnl_desc source,
    cdnnl_desc weights, cdnnl_desc target, int64_t stride, int64_t padding,
    dnnl_primitive_desc_t hint, const char *wanted) {
  dnnl_dims_t strides = {stride, stride}, pad = {padding, padding};
  dnnl_alg_kind_t kind =
      algorithm == CDNNL_WINOGRAD ? dnnl_convolution_winograd : dnnl_convolution_direct;
  dnnl_primitive_attr_t attributes;
  dnnl_status_t status = cdnnl_attributes(&attributes);
  if (status != dnnl_success) return status;
#if DNNL_VERSION_MAJOR >= 3
  dnnl_dims_t dilation = {0, 0};
  switch (pass) {
    case CDNNL_FORWARD:
      status = dnnl_convolution_forward_primitive_desc_create(
          made, engine, dnnl_forward_training, kind, source, weights, NULL,
          target, strides, dilation, pad, pad, attributes);
      break;
    case CDNNL_BACKWARD_DATA:
      status = dnnl_convolution_backward_data_primitive_desc_create(
          made, engine, kind, source, weights, target, strides, dilation, pad,
          pad, hint, attributes);
      break;
    case CDNNL_BACKWARD_WEIGHTS:
      status = dnnl_convolution_backward_weights_primitive_desc_create(
          made, engine, kind, source, weights, NULL, target, strides, dilation,
          pad, pad, hint, attributes);
      break;
  }
  while (status == dnnl_success && wanted
         && strncmp(cdnnl_implementation(*made), wanted, strlen(wanted)) != 0) {
    status = dnnl_primitive_desc_next_impl(*made);
    if (status != dnnl_success) dnnl_primitive_desc_destroy(*made);
  }
#else
  dnnl_convolution_desc_t operation;
  switch (pass) {
    case CDNNL_FORWARD:
      status = dnnl_convolution_forward_desc_init(
          &operation, dnnl_forward_training, kind, source, weights, NULL,
          target, strides, pad, pad);
      break;
    case CDNNL_BACKWARD_DATA:
      status = dnnl_convolution_backward_data_desc_init(
          &operation, kind, source, weights, target, strides, pad, pad);
      break;
    case CDNNL_BACKWARD_WEIGHTS:
      status = dnnl_convolution_backward_weights_desc_init(
          &operation, kind, source, weights, NULL, target, strides, pad, pad);
      break;
  }
  dnnl_primitive_desc_iterator_t implementations;
  if (status == dnnl_success)
    status = dnnl_primitive_desc_iterator_create(
        &implementations, &operation, attributes, engine, hint);
  if (status == dnnl_success) {
    *made = dnnl_primitive_desc_iterator_fetch(implementations);
    while (status == dnnl_success && wanted
           && strncmp(cdnnl_implementation(*made), wanted, strlen(wanted)) != 0) {
      dnnl_primitive_desc_destroy(*made);
      status = dnnl_primitive_desc_iterator_next(implementations);
      if (status == dnnl_success) *made = dnnl_primitive_desc_iterator_fetch(implementations);
    }
    dnnl_primitive_desc_iterator_destroy(implementations);
  }
#endif
  dnnl_primitive_attr_destroy(attributes);
  return status;
}

// The bias is NULL where there is none, and where the pass does not touch it.
static inline dnnl_status_t cdnnl_inner_product(
    dnnl_primitive_desc_t *made, dnnl_engine_t engine, cdnnl_pass pass, cdnnl_desc source,
    cdnnl_desc weights, cdnnl_desc bias, cdnnl_desc target, dnnl_primitive_desc_t hint) {
  dnnl_primitive_attr_t attributes;
  dnnl_status_t status = cdnnl_attributes(&attributes);
  if (status != dnnl_success) return status;
#if DNNL_VERSION_MAJOR >= 3
  switch (pass) {
    case CDNNL_FORWARD:
      status = dnnl_inner_product_forward_primitive_desc_create(
          made, engine, dnnl_forward_training, source, weights, bias, target, attributes);
      break;
    case CDNNL_BACKWARD_DATA:
      status = dnnl_inner_product_backward_data_primitive_desc_create(
          made, engine, source, weights, target, hint, attributes);
      break;
    case CDNNL_BACKWARD_WEIGHTS:
      status = dnnl_inner_product_backward_weights_primitive_desc_create(
          made, engine, source, weights, bias, target, hint, attributes);
      break;
  }
#else
  dnnl_inner_product_desc_t operation;
  switch (pass) {
    case CDNNL_FORWARD:
      status = dnnl_inner_product_forward_desc_init(
          &operation, dnnl_forward_training, source, weights, bias, target);
      break;
    case CDNNL_BACKWARD_DATA:
      status = dnnl_inner_product_backward_data_desc_init(&operation, source, weights, target);
      break;
    case CDNNL_BACKWARD_WEIGHTS:
      status = dnnl_inner_product_backward_weights_desc_init(
          &operation, source, weights, bias, target);
      break;
  }
  if (status == dnnl_success)
    status = dnnl_primitive_desc_create(made, &operation, attributes, engine, hint);
#endif
  dnnl_primitive_attr_destroy(attributes);
  return status;
}

static inline dnnl_status_t cdnnl_matmul(
    dnnl_primitive_desc_t *made, dnnl_engine_t engine, cdnnl_desc a, cdnnl_desc b, cdnnl_desc c,
    int accumulates) {
  dnnl_primitive_attr_t attributes;
  dnnl_status_t status = cdnnl_attributes(&attributes);
  if (status != dnnl_success) return status;
  if (accumulates) {
    dnnl_post_ops_t after;
    status = dnnl_post_ops_create(&after);
    if (status == dnnl_success) {
#if DNNL_VERSION_MAJOR >= 3
      status = dnnl_post_ops_append_sum(after, 1, 0, dnnl_data_type_undef);
#else
      status = dnnl_post_ops_append_sum(after, 1);
#endif
      if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attributes, after);
      dnnl_post_ops_destroy(after);
    }
  }
#if DNNL_VERSION_MAJOR >= 3
  if (status == dnnl_success)
    status = dnnl_matmul_primitive_desc_create(made, engine, a, b, NULL, c, attributes);
#else
  dnnl_matmul_desc_t operation;
  if (status == dnnl_success) status = dnnl_matmul_desc_init(&operation, a, b, NULL, c);
  if (status == dnnl_success)
    status = dnnl_primitive_desc_create(made, &operation, attributes, engine, NULL);
#endif
  dnnl_primitive_attr_destroy(attributes);
  return status;
}

static inline dnnl_status_t cdnnl_reorder(
    dnnl_primitive_desc_t *made, dnnl_engine_t engine, cdnnl_desc from, cdnnl_desc to) {
  dnnl_primitive_attr_t attributes;
  dnnl_status_t status = cdnnl_attributes(&attributes);
  if (status != dnnl_success) return status;
  status = dnnl_reorder_primitive_desc_create(made, from, engine, to, engine, attributes);
  dnnl_primitive_attr_destroy(attributes);
  return status;
}

// How a primitive wants the tensor in the place of a DNNL_ARG.
static inline cdnnl_desc cdnnl_operand_desc(dnnl_primitive_desc_t primitive, int argument) {
  return dnnl_primitive_desc_query_md(primitive, dnnl_query_exec_arg_md, argument);
}
static inline cdnnl_desc cdnnl_scratchpad_desc(dnnl_primitive_desc_t primitive) {
  return dnnl_primitive_desc_query_md(primitive, dnnl_query_scratchpad_md, 0);
}
static inline size_t cdnnl_desc_bytes(cdnnl_desc desc) { return dnnl_memory_desc_get_size(desc); }
static inline int cdnnl_desc_equal(cdnnl_desc a, cdnnl_desc b) {
  return dnnl_memory_desc_equal(a, b);
}

// DNNL_ARG_* are macros.
static inline int cdnnl_arg_src(void) { return DNNL_ARG_SRC; }
static inline int cdnnl_arg_dst(void) { return DNNL_ARG_DST; }
static inline int cdnnl_arg_weights(void) { return DNNL_ARG_WEIGHTS; }
static inline int cdnnl_arg_bias(void) { return DNNL_ARG_BIAS; }
static inline int cdnnl_arg_diff_bias(void) { return DNNL_ARG_DIFF_BIAS; }
static inline int cdnnl_arg_diff_src(void) { return DNNL_ARG_DIFF_SRC; }
static inline int cdnnl_arg_diff_dst(void) { return DNNL_ARG_DIFF_DST; }
static inline int cdnnl_arg_diff_weights(void) { return DNNL_ARG_DIFF_WEIGHTS; }
static inline int cdnnl_arg_scratchpad(void) { return DNNL_ARG_SCRATCHPAD; }

// omp_set_num_threads binds only the thread that calls it, and there is no OpenMP to link to
// where oneDNN was built without.
static inline void cdnnl_use_one_thread(void) {
  static __thread int done;
  if (done) return;
  done = 1;
  void (*set)(int) = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
  if (set) set(1);
}
