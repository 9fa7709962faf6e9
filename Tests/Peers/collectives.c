// The sums of `lockstep bench collectives` in a tight loop in plain C: the same MPI calls on the same
// sizes, in batches of the same length. Prints "bytes,tight_median_us", a row for each size.
//
// usage: mpirun -n P collectives BATCHES BYTES...
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

// The time of a run on the slowest rank, in microseconds.
static double batch(double *values, int count, int runs) {
  double start, mine, slowest;
  for (int i = 0; i < count; i++) values[i] = 1 + i % 13;
  MPI_Barrier(MPI_COMM_WORLD);
  start = now_us();
  for (int run = 0; run < runs; run++)
    MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  mine = (now_us() - start) / runs;
  MPI_Allreduce(&mine, &slowest, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
  return slowest;
}

int main(int argc, char **argv) {
  int rank, size, growth = 0;
  MPI_Init(&argc, &argv);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  int batches = argc > 1 ? atoi(argv[1]) : 0;
  if (batches < 1 || argc < 3) {
    if (rank == 0) fprintf(stderr, "usage: mpirun -n P collectives BATCHES BYTES...\n");
    MPI_Finalize();
    return 2;
  }
  // In place, a sum multiplies by the number of ranks: a row of them must end before infinity.
  while (1 << growth < size) growth++;
  int longest = 1000 / (growth ? growth : 1);
  double *times = malloc(batches * sizeof *times);
  if (rank == 0) printf("bytes,tight_median_us\n");
  for (int argument = 2; argument < argc; argument++) {
    int count = atoi(argv[argument]) / (int)sizeof(double);
    double *values = malloc(count * sizeof *values);
    double estimate = batch(values, count, 4);
    int runs = (int)(1000 / estimate);
    runs = runs < 4 ? 4 : runs > longest ? longest : runs;
    batch(values, count, runs);
    for (int i = 0; i < batches; i++) times[i] = batch(values, count, runs);
    qsort(times, batches, sizeof *times, ascending);
    double median = (times[(batches - 1) / 2] + times[batches / 2]) / 2;
    if (rank == 0) printf("%d,%.4f\n", count * (int)sizeof(double), median);
    free(values);
  }
  free(times);
  MPI_Finalize();
  return 0;
}
