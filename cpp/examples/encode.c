/* Raw symbols or latents to a complete, sealed .nec file, in C99 and without Python.
 *
 *   encode HEADER TABLES OUT TYPE THREADS VALUES...
 *
 * HEADER   a file header (docs/bitstream.md §3), made when the mission was planned or by
 * `FileHeader.encode()` TABLES   the tables.bin of the model package that the header names OUT      the .nec
 * to write TYPE     int16 (symbols) or float32 (latents, quantised by the core) VALUES   one raw file for
 * each plane of the header: tile x token x channel of all tiles, in this machine's bytes
 *
 * With the installed library (docs/c_api.md):
 *   cc -std=c99 encode.c $(pkg-config --cflags --libs swathpack) -o encode
 *
 * All tokens are taken as valid. Flight software would keep the handles and buffers for the next scene. Exit
 * codes: 0 done, 1 refused by the core, 2 usage, 3 a file that cannot be read or written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <swathpack/c_api.h>

enum { MAX_PLANES = 8 };

struct input {
  void* data;
  size_t size;
};

struct job {
  const char* out_path;
  FILE* out;
  struct input header, tables_file, values[MAX_PLANES];
  swathpack_tables* tables;
  swathpack_plane* planes[MAX_PLANES];
  swathpack_file* file;
  size_t n_planes;
  uint64_t* headers; /* of one layer */
  size_t n_tiles;
  unsigned threads;
  int32_t type;
  swathpack_error error;
};

static int read_file(const char* path, struct input* input) {
  FILE* file = fopen(path, "rb");
  long size = -1;
  if (file != NULL && fseek(file, 0, SEEK_END) == 0) size = ftell(file);
  if (size >= 0 && fseek(file, 0, SEEK_SET) == 0) {
    input->size = (size_t)size;
    input->data = malloc(input->size + 1); /* + 1: an empty file is no error here */
    if (input->data != NULL && fread(input->data, 1, input->size, file) != input->size) size = -1;
  }
  if (file != NULL) fclose(file);
  if (size >= 0 && input->data != NULL) return 0;
  fprintf(stderr, "error: %s: cannot be read\n", path);
  return 3;
}

static int put(struct job* job, const void* data, size_t size) {
  if (fwrite(data, 1, size, job->out) == size) return 0;
  fprintf(stderr, "error: %s: cannot be written\n", job->out_path);
  return 3;
}

/* One layer of one plane: plan, encode, write. */
static int put_layer(struct job* job, size_t plane, unsigned layer) {
  swathpack_source source = {0};
  swathpack_records* records = NULL;
  size_t n_headers, i, size;
  const uint8_t* data;
  int status;
  source.values = job->values[plane].data;
  source.size = job->values[plane].size;
  source.type = job->type;
  source.order = SWATHPACK_TOKEN_ORDER;
  if (swathpack_plan(job->planes[plane], &source, layer, 0, SWATHPACK_LINK_TARGET, job->headers, job->n_tiles,
                     &n_headers, &job->error) ||
      swathpack_encode(job->planes[plane], &source, job->headers, n_headers, job->threads, &records,
                       &job->error)) {
    return 1;
  }
  for (i = 0, status = 0; i < n_headers && status == 0; ++i) {
    if (swathpack_records_get(records, i, &data, &size, &job->error) ||
        swathpack_file_add(job->file, data, size, &job->error)) {
      status = 1;
    } else {
      status = put(job, data, size);
    }
  }
  swathpack_records_free(records);
  return status;
}

static int run(struct job* job) {
  swathpack_plane_info info;
  size_t plane, size;
  unsigned layer, n_layers = 0;
  const uint8_t* tail;
  const char* isa;
  int status;

  /* Setup: once in a program's life. */
  if (swathpack_isa(&isa, &job->error) ||
      swathpack_tables_parse(job->tables_file.data, job->tables_file.size, &job->tables, &job->error)) {
    return 1;
  }
  for (plane = 0; plane < job->n_planes; ++plane) {
    if (swathpack_plane_from_header(job->tables, plane, job->header.data, job->header.size,
                                    &job->planes[plane], &job->error) ||
        swathpack_plane_n_tiles(job->planes[plane], &job->n_tiles, &job->error) ||
        swathpack_tables_plane(job->tables, plane, &info, &job->error)) {
      return 1;
    }
    if (info.n_layers > n_layers) n_layers = info.n_layers;
  }
  job->headers = malloc(job->n_tiles * sizeof *job->headers);
  if (job->headers == NULL) {
    fprintf(stderr, "error: no memory\n");
    return 3;
  }

  /* A scene: header, records (layer 0 of all planes first: what is sent first is worth most), index and seal.
   */
  if (swathpack_file_new(job->header.data, job->header.size, &job->file, &job->error)) return 1;
  if ((status = put(job, job->header.data, job->header.size)) != 0) return status;
  for (layer = 0; layer < n_layers; ++layer) {
    for (plane = 0; plane < job->n_planes; ++plane) {
      if (swathpack_tables_plane(job->tables, plane, &info, &job->error)) return 1;
      if (layer >= info.n_layers) continue;
      if ((status = put_layer(job, plane, layer)) != 0) return status;
    }
  }
  if (swathpack_file_finish(job->file, &tail, &size, &job->error)) return 1;
  if ((status = put(job, tail, size)) != 0) return status;
  printf("swathpack %s, %s\n", swathpack_version(), isa);
  return 0;
}

int main(int argc, char** argv) {
  struct job job;
  int i, status = 0;
  memset(&job, 0, sizeof job);
  if (argc < 7 || argc > 6 + MAX_PLANES ||
      (strcmp(argv[4], "int16") != 0 && strcmp(argv[4], "float32") != 0)) {
    fprintf(stderr, "usage: encode HEADER TABLES OUT int16|float32 THREADS VALUES...\n");
    return 2;
  }
  job.out_path = argv[3];
  job.type = strcmp(argv[4], "int16") == 0 ? SWATHPACK_INT16 : SWATHPACK_FLOAT32;
  job.threads = (unsigned)strtoul(argv[5], NULL, 10);
  job.n_planes = (size_t)argc - 6;
  status = read_file(argv[1], &job.header);
  if (status == 0) status = read_file(argv[2], &job.tables_file);
  for (i = 6; i < argc && status == 0; ++i) status = read_file(argv[i], &job.values[i - 6]);
  if (status == 0 && (job.out = fopen(job.out_path, "wb")) == NULL) {
    fprintf(stderr, "error: %s: cannot be written\n", job.out_path);
    status = 3;
  }
  if (status == 0) status = run(&job);
  if (status == 1)
    fprintf(stderr, "error: %s: %s\n", swathpack_status_name(job.error.status), job.error.text);
  if (job.out != NULL && fclose(job.out) != 0 && status == 0) {
    fprintf(stderr, "error: %s: cannot be written\n", job.out_path);
    status = 3;
  }
  if (job.out != NULL && status != 0) remove(job.out_path); /* whole or absent */

  swathpack_file_free(job.file);
  for (i = 0; i < MAX_PLANES; ++i) {
    swathpack_plane_free(job.planes[i]);
    free(job.values[i].data);
  }
  swathpack_tables_free(job.tables);
  free(job.headers);
  free(job.tables_file.data);
  free(job.header.data);
  return status;
}
