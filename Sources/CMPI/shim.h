// MPI's macros as functions, and its handles as structures, so that Swift sees the
// same types whether an MPI's handles are pointers (Open MPI) or integers (MPICH).
// Nothing beyond the MPI 3.1 standard.
#pragma once
#ifdef LOCKSTEP_MPI_ABI
#include <mpi_abi.h>
#else
#include <mpi.h>
#endif

// Which MPI these headers are of, in the words of its own MPI_Get_library_version. Package.swift chooses
// the folder of mpi.h together with the library.
#define CMPI_TEXT_OF(x) #x
#define CMPI_TEXT(x) CMPI_TEXT_OF(x)
static inline const char *cmpi_header_version(void) {
#if defined(LOCKSTEP_MPI_ABI)
  return "MPI ABI " CMPI_TEXT(MPI_ABI_VERSION) "." CMPI_TEXT(MPI_ABI_SUBVERSION);
#elif defined(I_MPI_VERSION)
  return "Intel(R) MPI Library " I_MPI_VERSION;
#elif defined(OMPI_MAJOR_VERSION)
  return "Open MPI v" CMPI_TEXT(OMPI_MAJOR_VERSION) "." CMPI_TEXT(OMPI_MINOR_VERSION) "." CMPI_TEXT(
      OMPI_RELEASE_VERSION);
#elif defined(MPICH_VERSION)
  return "MPICH Version: " MPICH_VERSION;
#else
  return "";
#endif
}

// A handle is as unsafe where it is an integer as where it is a pointer.
#define CMPI_HANDLE __attribute__((swift_attr("unsafe")))
typedef struct CMPI_HANDLE { MPI_Comm handle; } cmpi_comm;
typedef struct CMPI_HANDLE { MPI_Request handle; } cmpi_request;
// A reduction of a program's own, with the type of its elements.
typedef struct CMPI_HANDLE { MPI_Op operation; MPI_Datatype element; } cmpi_op;
// MPI_User_function, whose last parameter has another type in every MPI.
typedef void cmpi_reduction(void *operand, void *result, int *count, void *datatype);
typedef enum { CMPI_FLOAT, CMPI_DOUBLE, CMPI_INT64, CMPI_BYTE, CMPI_BFLOAT16 } cmpi_type;

static inline MPI_Datatype cmpi_datatype(cmpi_type type) {
  switch (type) {
    case CMPI_FLOAT: return MPI_FLOAT;
    case CMPI_DOUBLE: return MPI_DOUBLE;
    case CMPI_INT64: return MPI_INT64_T;
    case CMPI_BYTE: return MPI_UINT8_T;
    case CMPI_BFLOAT16: return MPI_UINT16_T;  // MPI has no type of its own for it
  }
  return MPI_DATATYPE_NULL;
}

static inline int cmpi_success(void) { return MPI_SUCCESS; }
static inline int cmpi_max_error_string(void) { return MPI_MAX_ERROR_STRING; }
static inline int cmpi_max_library_version_string(void) { return MPI_MAX_LIBRARY_VERSION_STRING; }
static inline int cmpi_thread_funneled(void) { return MPI_THREAD_FUNNELED; }
static inline int cmpi_init_thread(int required, int *provided) {
  return MPI_Init_thread(0, 0, required, provided);
}

static inline cmpi_comm cmpi_comm_world(void) { return (cmpi_comm){MPI_COMM_WORLD}; }
static inline int cmpi_comm_rank(cmpi_comm c, int *rank) { return MPI_Comm_rank(c.handle, rank); }
static inline int cmpi_comm_size(cmpi_comm c, int *size) { return MPI_Comm_size(c.handle, size); }
static inline int cmpi_comm_return_errors(cmpi_comm c) {
  return MPI_Comm_set_errhandler(c.handle, MPI_ERRORS_RETURN);
}
static inline int cmpi_comm_dup(cmpi_comm c, cmpi_comm *copy) {
  return MPI_Comm_dup(c.handle, &copy->handle);
}
static inline int cmpi_comm_split(cmpi_comm c, int color, int key, cmpi_comm *part) {
  return MPI_Comm_split(c.handle, color, key, &part->handle);
}
static inline int cmpi_comm_split_by_node(cmpi_comm c, int key, cmpi_comm *part) {
  return MPI_Comm_split_type(c.handle, MPI_COMM_TYPE_SHARED, key, MPI_INFO_NULL, &part->handle);
}
// The ranks of the whole job that `ranks` of a communicator are.
static inline int cmpi_world_ranks(cmpi_comm c, int size, const int *ranks, int *world) {
  MPI_Group group = MPI_GROUP_NULL, all = MPI_GROUP_NULL;
  int code = MPI_Comm_group(c.handle, &group);
  if (code == MPI_SUCCESS) code = MPI_Comm_group(MPI_COMM_WORLD, &all);
  if (code == MPI_SUCCESS) code = MPI_Group_translate_ranks(group, size, ranks, all, world);
  if (all != MPI_GROUP_NULL) MPI_Group_free(&all);
  if (group != MPI_GROUP_NULL) MPI_Group_free(&group);
  return code;
}
static inline int cmpi_abort(cmpi_comm c, int status) { return MPI_Abort(c.handle, status); }

// MPI's own sum of a type that it knows.
static inline cmpi_op cmpi_sum(cmpi_type type) { return (cmpi_op){MPI_SUM, cmpi_datatype(type)}; }
static inline int cmpi_allreduce_max(void *values, int count, cmpi_type type, cmpi_comm c) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, cmpi_datatype(type), MPI_MAX, c.handle);
}
static inline int cmpi_iallreduce(
    const void *addends, void *sums, int count, cmpi_op op, cmpi_comm c, cmpi_request *request) {
  return MPI_Iallreduce(
      addends, sums, count, op.element, op.operation, c.handle, &request->handle);
}
// A commutative reduction of elements that are `width` scalars each.
static inline int cmpi_op_create(
    cmpi_reduction *reduction, int width, cmpi_type type, cmpi_op *op) {
  int code = MPI_Op_create((MPI_User_function *)reduction, 1, &op->operation);
  if (code == MPI_SUCCESS) code = MPI_Type_contiguous(width, cmpi_datatype(type), &op->element);
  return code == MPI_SUCCESS ? MPI_Type_commit(&op->element) : code;
}
static inline int cmpi_op_free(cmpi_op *op) {
  int code = MPI_Op_free(&op->operation);
  return code == MPI_SUCCESS ? MPI_Type_free(&op->element) : code;
}
static inline int cmpi_allreduce(void *values, int count, cmpi_op op, cmpi_comm c) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, op.element, op.operation, c.handle);
}
static inline int cmpi_reduce_scatter(
    const void *addends, void *block, int count, cmpi_op op, cmpi_comm c) {
  return MPI_Reduce_scatter_block(addends, block, count, op.element, op.operation, c.handle);
}
static inline int cmpi_allgather(
    const void *values, void *gathered, int count, cmpi_type type, cmpi_comm c) {
  return MPI_Allgather(
      values, count, cmpi_datatype(type), gathered, count, cmpi_datatype(type), c.handle);
}
static inline int cmpi_bcast(void *values, int count, cmpi_type type, int root, cmpi_comm c) {
  return MPI_Bcast(values, count, cmpi_datatype(type), root, c.handle);
}
static inline int cmpi_gatherv(
    const void *values, int count, void *gathered, const int *counts, const int *displacements,
    cmpi_type type, int root, cmpi_comm c) {
  return MPI_Gatherv(
      values, count, cmpi_datatype(type), gathered, counts, displacements, cmpi_datatype(type),
      root, c.handle);
}
static inline int cmpi_allgatherv(
    const void *values, int count, void *gathered, const int *counts, const int *displacements,
    cmpi_type type, cmpi_comm c) {
  return MPI_Allgatherv(
      values, count, cmpi_datatype(type), gathered, counts, displacements, cmpi_datatype(type),
      c.handle);
}
static inline int cmpi_barrier(cmpi_comm c) { return MPI_Barrier(c.handle); }

static inline cmpi_request cmpi_request_null(void) { return (cmpi_request){MPI_REQUEST_NULL}; }
static inline int cmpi_request_is_null(cmpi_request r) { return r.handle == MPI_REQUEST_NULL; }
static inline int cmpi_wait(cmpi_request *request) {
  return MPI_Wait(&request->handle, MPI_STATUS_IGNORE);
}
static inline int cmpi_test(cmpi_request *request, int *done) {
  return MPI_Test(&request->handle, done, MPI_STATUS_IGNORE);
}
