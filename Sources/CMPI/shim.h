// MPI's macros as functions, and its handles as numbers in structures, so that Swift sees the same types
// whether an MPI's handles are pointers (Open MPI) or integers (MPICH). Nothing beyond the MPI 3.1 standard.
#pragma once
#include <stdint.h>

// Handles are unsafe to use, whatever they hold.
#define CMPI_HANDLE __attribute__((swift_attr("unsafe")))
typedef struct CMPI_HANDLE { uintptr_t handle; } cmpi_comm;
typedef struct CMPI_HANDLE { uintptr_t handle; } cmpi_request;
// A reduction of a program's own, with the type of its elements.
typedef struct CMPI_HANDLE { uintptr_t operation, element; } cmpi_op;
// MPI_User_function, whose last parameter has another type in every MPI.
typedef void cmpi_reduction(void *operand, void *result, int *count, void *datatype);
typedef enum { CMPI_FLOAT, CMPI_DOUBLE, CMPI_INT64, CMPI_BYTE, CMPI_BFLOAT16 } cmpi_type;

// Only the module that calls MPI is compiled with the folder of the headers, which Package.swift chooses
// together with the library. Modules that import that one see what stands above.
#ifdef LOCKSTEP_MPI_HEADERS
#ifdef LOCKSTEP_MPI_ABI
#include <mpi_abi.h>
#elif !__has_include(<mpi.h>)
#error "there is no MPI: install libopenmpi-dev and openmpi-bin, or libmpich-dev and mpich, or set LOCKSTEP_MPI"
#else
#include <mpi.h>
#endif

// Which MPI the headers are of, in the words of its own MPI_Get_library_version.
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

static inline MPI_Comm cmpi_mpi_comm(cmpi_comm c) { return (MPI_Comm)c.handle; }
static inline MPI_Op cmpi_mpi_op(cmpi_op op) { return (MPI_Op)op.operation; }
static inline MPI_Datatype cmpi_element(cmpi_op op) { return (MPI_Datatype)op.element; }

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
// Whether a rank got more bytes than it waited for.
static inline int cmpi_is_truncation(int code) {
  int error = MPI_SUCCESS;
  return MPI_Error_class(code, &error) == MPI_SUCCESS && error == MPI_ERR_TRUNCATE;
}
static inline int cmpi_max_error_string(void) { return MPI_MAX_ERROR_STRING; }
static inline int cmpi_max_library_version_string(void) { return MPI_MAX_LIBRARY_VERSION_STRING; }
static inline int cmpi_thread_funneled(void) { return MPI_THREAD_FUNNELED; }
static inline int cmpi_init_thread(int required, int *provided) {
  return MPI_Init_thread(0, 0, required, provided);
}

static inline cmpi_comm cmpi_comm_world(void) { return (cmpi_comm){(uintptr_t)MPI_COMM_WORLD}; }
static inline int cmpi_comm_rank(cmpi_comm c, int *rank) { return MPI_Comm_rank(cmpi_mpi_comm(c), rank); }
static inline int cmpi_comm_size(cmpi_comm c, int *size) { return MPI_Comm_size(cmpi_mpi_comm(c), size); }
static inline int cmpi_comm_return_errors(cmpi_comm c) {
  return MPI_Comm_set_errhandler(cmpi_mpi_comm(c), MPI_ERRORS_RETURN);
}
static inline int cmpi_comm_dup(cmpi_comm c, cmpi_comm *copy) {
  MPI_Comm made = MPI_COMM_NULL;
  int code = MPI_Comm_dup(cmpi_mpi_comm(c), &made);
  copy->handle = (uintptr_t)made;
  return code;
}
static inline int cmpi_comm_split(cmpi_comm c, int color, int key, cmpi_comm *part) {
  MPI_Comm made = MPI_COMM_NULL;
  int code = MPI_Comm_split(cmpi_mpi_comm(c), color, key, &made);
  part->handle = (uintptr_t)made;
  return code;
}
static inline int cmpi_comm_split_by_node(cmpi_comm c, int key, cmpi_comm *part) {
  MPI_Comm made = MPI_COMM_NULL;
  int code = MPI_Comm_split_type(cmpi_mpi_comm(c), MPI_COMM_TYPE_SHARED, key, MPI_INFO_NULL, &made);
  part->handle = (uintptr_t)made;
  return code;
}
// The ranks of the whole job that `ranks` of a communicator are.
static inline int cmpi_world_ranks(cmpi_comm c, int size, const int *ranks, int *world) {
  MPI_Group group = MPI_GROUP_NULL, all = MPI_GROUP_NULL;
  int code = MPI_Comm_group(cmpi_mpi_comm(c), &group);
  if (code == MPI_SUCCESS) code = MPI_Comm_group(MPI_COMM_WORLD, &all);
  if (code == MPI_SUCCESS) code = MPI_Group_translate_ranks(group, size, ranks, all, world);
  if (all != MPI_GROUP_NULL) MPI_Group_free(&all);
  if (group != MPI_GROUP_NULL) MPI_Group_free(&group);
  return code;
}
static inline int cmpi_abort(cmpi_comm c, int status) { return MPI_Abort(cmpi_mpi_comm(c), status); }

// MPI's own sum of a type that it knows.
static inline cmpi_op cmpi_sum(cmpi_type type) {
  return (cmpi_op){(uintptr_t)MPI_SUM, (uintptr_t)cmpi_datatype(type)};
}
static inline int cmpi_allreduce_max(void *values, int count, cmpi_type type, cmpi_comm c) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, cmpi_datatype(type), MPI_MAX, cmpi_mpi_comm(c));
}
static inline int cmpi_iallreduce(
    const void *addends, void *sums, int count, cmpi_op op, cmpi_comm c, cmpi_request *request) {
  MPI_Request begun = MPI_REQUEST_NULL;
  int code = MPI_Iallreduce(
      addends, sums, count, cmpi_element(op), cmpi_mpi_op(op), cmpi_mpi_comm(c), &begun);
  request->handle = (uintptr_t)begun;
  return code;
}
// A commutative reduction of elements that are `width` scalars each.
static inline int cmpi_op_create(
    cmpi_reduction *reduction, int width, cmpi_type type, cmpi_op *op) {
  MPI_Op operation = MPI_OP_NULL;
  MPI_Datatype element = MPI_DATATYPE_NULL;
  int code = MPI_Op_create((MPI_User_function *)reduction, 1, &operation);
  if (code == MPI_SUCCESS) code = MPI_Type_contiguous(width, cmpi_datatype(type), &element);
  if (code == MPI_SUCCESS) code = MPI_Type_commit(&element);
  *op = (cmpi_op){(uintptr_t)operation, (uintptr_t)element};
  return code;
}
static inline int cmpi_op_free(cmpi_op op) {
  MPI_Op operation = cmpi_mpi_op(op);
  MPI_Datatype element = cmpi_element(op);
  int code = MPI_Op_free(&operation);
  return code == MPI_SUCCESS ? MPI_Type_free(&element) : code;
}
static inline int cmpi_allreduce(void *values, int count, cmpi_op op, cmpi_comm c) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, cmpi_element(op), cmpi_mpi_op(op), cmpi_mpi_comm(c));
}
static inline int cmpi_reduce_scatter(
    const void *addends, void *block, int count, cmpi_op op, cmpi_comm c) {
  return MPI_Reduce_scatter_block(addends, block, count, cmpi_element(op), cmpi_mpi_op(op), cmpi_mpi_comm(c));
}
static inline int cmpi_allgather(
    const void *values, void *gathered, int count, cmpi_type type, cmpi_comm c) {
  return MPI_Allgather(
      values, count, cmpi_datatype(type), gathered, count, cmpi_datatype(type), cmpi_mpi_comm(c));
}
static inline int cmpi_bcast(void *values, int count, cmpi_type type, int root, cmpi_comm c) {
  return MPI_Bcast(values, count, cmpi_datatype(type), root, cmpi_mpi_comm(c));
}
static inline int cmpi_gatherv(
    const void *values, int count, void *gathered, const int *counts, const int *displacements,
    cmpi_type type, int root, cmpi_comm c) {
  return MPI_Gatherv(
      values, count, cmpi_datatype(type), gathered, counts, displacements, cmpi_datatype(type),
      root, cmpi_mpi_comm(c));
}
static inline int cmpi_allgatherv(
    const void *values, int count, void *gathered, const int *counts, const int *displacements,
    cmpi_type type, cmpi_comm c) {
  return MPI_Allgatherv(
      values, count, cmpi_datatype(type), gathered, counts, displacements, cmpi_datatype(type),
      cmpi_mpi_comm(c));
}
static inline int cmpi_barrier(cmpi_comm c) { return MPI_Barrier(cmpi_mpi_comm(c)); }

static inline cmpi_request cmpi_request_null(void) {
  return (cmpi_request){(uintptr_t)MPI_REQUEST_NULL};
}
static inline int cmpi_request_is_null(cmpi_request r) {
  return (MPI_Request)r.handle == MPI_REQUEST_NULL;
}
static inline int cmpi_wait(cmpi_request *request) {
  MPI_Request waiting = (MPI_Request)request->handle;
  int code = MPI_Wait(&waiting, MPI_STATUS_IGNORE);
  request->handle = (uintptr_t)waiting;
  return code;
}
static inline int cmpi_test(cmpi_request *request, int *done) {
  MPI_Request tested = (MPI_Request)request->handle;
  int code = MPI_Test(&tested, done, MPI_STATUS_IGNORE);
  request->handle = (uintptr_t)tested;
  return code;
}
#endif
