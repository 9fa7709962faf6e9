// Counts collectives from outside, through MPI's profiling interface: preloaded into a program, it
// writes a line for every call, "communicator bytes function", to $PMPI_COUNTER.RANK.
//
// Communicators are numbered in the order of their making, MPI_COMM_WORLD is 0. Bytes are those that
// the rank gives.
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>

enum { LIMIT = 256 };
static MPI_Comm known[LIMIT];
static int knownCount;
static FILE *output;

static int number(MPI_Comm communicator) {
  for (int i = 0; i < knownCount; i++) if (known[i] == communicator) return i;
  return -1;
}

static void remember(MPI_Comm communicator) {
  if (communicator != MPI_COMM_NULL && knownCount < LIMIT) known[knownCount++] = communicator;
}

static void count(const char *function, MPI_Comm communicator, long elements, MPI_Datatype type) {
  int size = 0;
  if (elements > 0) PMPI_Type_size(type, &size);
  if (output) fprintf(output, "%d %ld %s\n", number(communicator), elements * size, function);
}

int MPI_Init_thread(int *argc, char ***argv, int required, int *provided) {
  int code = PMPI_Init_thread(argc, argv, required, provided);
  const char *path = getenv("PMPI_COUNTER");
  int rank = 0;
  PMPI_Comm_rank(MPI_COMM_WORLD, &rank);
  char name[4096];
  snprintf(name, sizeof name, "%s.%d", path ? path : "pmpi-counter", rank);
  output = fopen(name, "w");
  remember(MPI_COMM_WORLD);
  return code;
}

int MPI_Finalize(void) {
  if (output) fclose(output);
  output = NULL;
  return PMPI_Finalize();
}

int MPI_Comm_dup(MPI_Comm communicator, MPI_Comm *copy) {
  int code = PMPI_Comm_dup(communicator, copy);
  remember(*copy);
  return code;
}

int MPI_Comm_split(MPI_Comm communicator, int color, int key, MPI_Comm *part) {
  int code = PMPI_Comm_split(communicator, color, key, part);
  remember(*part);
  return code;
}

int MPI_Comm_split_type(MPI_Comm communicator, int type, int key, MPI_Info info, MPI_Comm *part) {
  int code = PMPI_Comm_split_type(communicator, type, key, info, part);
  remember(*part);
  return code;
}

int MPI_Allreduce(const void *in, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm c) {
  count("MPI_Allreduce", c, n, type);
  return PMPI_Allreduce(in, out, n, type, op, c);
}

int MPI_Iallreduce(
    const void *in, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm c, MPI_Request *r) {
  count("MPI_Iallreduce", c, n, type);
  return PMPI_Iallreduce(in, out, n, type, op, c, r);
}

int MPI_Reduce_scatter_block(
    const void *in, void *out, int n, MPI_Datatype type, MPI_Op op, MPI_Comm c) {
  int size = 1;
  PMPI_Comm_size(c, &size);
  count("MPI_Reduce_scatter_block", c, (long)n * size, type);
  return PMPI_Reduce_scatter_block(in, out, n, type, op, c);
}

int MPI_Bcast(void *values, int n, MPI_Datatype type, int root, MPI_Comm c) {
  count("MPI_Bcast", c, n, type);
  return PMPI_Bcast(values, n, type, root, c);
}

int MPI_Gatherv(
    const void *in, int n, MPI_Datatype type, void *out, const int counts[], const int starts[],
    MPI_Datatype outType, int root, MPI_Comm c) {
  count("MPI_Gatherv", c, n, type);
  return PMPI_Gatherv(in, n, type, out, counts, starts, outType, root, c);
}

int MPI_Allgather(
    const void *in, int n, MPI_Datatype type, void *out, int outCount, MPI_Datatype outType,
    MPI_Comm c) {
  count("MPI_Allgather", c, n, type);
  return PMPI_Allgather(in, n, type, out, outCount, outType, c);
}

int MPI_Allgatherv(
    const void *in, int n, MPI_Datatype type, void *out, const int counts[], const int starts[],
    MPI_Datatype outType, MPI_Comm c) {
  count("MPI_Allgatherv", c, n, type);
  return PMPI_Allgatherv(in, n, type, out, counts, starts, outType, c);
}

int MPI_Barrier(MPI_Comm c) {
  count("MPI_Barrier", c, 0, MPI_BYTE);
  return PMPI_Barrier(c);
}
