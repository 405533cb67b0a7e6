// LD_PRELOAD recorder: every change of a file or directory under $CRASH_DIR goes to $CRASH_LOG, in order,
// so that images.py can build what a crash at any moment may leave. A test appends marks of its own to the
// same log (O_APPEND: each record is one write). Files are named by path, without $CRASH_DIR before it; a
// rename of a directory renames what is open below it.
//
// Record: op u8, pad 3, path length u32, offset i64, data length i64, path, data.
//   w data written at offset          d the same, durable by itself (O_DSYNC)
//   t truncated to offset             s synced: all before it is durable (a directory: its names are)
//   r renamed, new path in data       u unlinked (or rmdir)
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
#define PATH 300
static char path_of[FDS][PATH];  // "" when it is not recorded
static char dsync[FDS];
static int log_fd = -1;
static const char* dir;
static size_t dir_length;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static ssize_t (*real_writev)(int, const struct iovec*, int);

static void* real(const char* name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void init(void) {
  real_writev = (ssize_t(*)(int, const struct iovec*, int))real("writev");
  dir = getenv("CRASH_DIR");
  const char* log = getenv("CRASH_LOG");
  if (!dir || !log) return;
  dir_length = strlen(dir);
  int (*real_open)(const char*, int, ...) = (int (*)(const char*, int, ...))real("open");
  log_fd = real_open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

struct record {
  char op, pad[3];
  uint32_t path_length;
  int64_t offset, length;
};

// REQUIRES: mutex held, so that records stand in the order of what they tell.
static void put(char op, const char* path, int64_t offset, const struct iovec* data, int count, int64_t length) {
  struct record head = {op, {0}, (uint32_t)strlen(path), offset, length};
  struct iovec all[66] = {{&head, sizeof head}, {(void*)path, head.path_length}};
  int n = 2;
  for (int i = 0; i < count && n < 66 && length > 0; ++i) {
    all[n] = data[i];
    if ((int64_t)all[n].iov_len > length) all[n].iov_len = (size_t)length;
    length -= (int64_t)all[n++].iov_len;
  }
  if (length != 0 || real_writev(log_fd, all, n) < 0) {
    dprintf(2, "crashrec: a record was lost\n");
    abort();
  }
}

static const char* inside(const char* path) {
  if (log_fd < 0 || strncmp(path, dir, dir_length) != 0 || path[dir_length] != '/') return NULL;
  return path + dir_length + 1;
}
static int recorded(int fd) { return log_fd >= 0 && fd >= 0 && fd < FDS && path_of[fd][0]; }

static void opened(const char* path, int flags, int fd) {
  if (fd < 0 || fd >= FDS) return;
  pthread_mutex_lock(&mutex);
  path_of[fd][0] = 0;
  const char* name = inside(path);
  const char* end = strrchr(path, '/');
  if (name && !strstr(end, "lock")) {  // locks hold nothing that outlives the process
    snprintf(path_of[fd], PATH, "%s", name);
    dsync[fd] = (flags & O_DSYNC) != 0;
    if (flags & O_TRUNC) put('t', name, 0, NULL, 0, 0);
  } else if (log_fd >= 0 && strcmp(path, dir) == 0) {
    snprintf(path_of[fd], PATH, ".");
  }
  pthread_mutex_unlock(&mutex);
}

#define OPEN(name)                                                            \
  int name(const char* path, int flags, ...) {                                \
    va_list args;                                                             \
    va_start(args, flags);                                                    \
    const mode_t mode = flags & O_CREAT ? (mode_t)va_arg(args, int) : 0;      \
    va_end(args);                                                             \
    int fd = ((int (*)(const char*, int, ...))real(#name))(path, flags, mode); \
    opened(path, flags, fd);                                                  \
    return fd;                                                                \
  }
OPEN(open)
OPEN(open64)

int close(int fd) {
  if (fd >= 0 && fd < FDS && path_of[fd][0]) {
    pthread_mutex_lock(&mutex);
    path_of[fd][0] = 0;
    pthread_mutex_unlock(&mutex);
  }
  return ((int (*)(int))real("close"))(fd);
}

// The lock is held over the call and its record, so that the log has them in their order.
#define PWRITE(name, type)                                                                    \
  ssize_t name(int fd, const void* data, size_t length, type offset) {                        \
    ssize_t (*call)(int, const void*, size_t, type) = (ssize_t(*)(int, const void*, size_t, type))real(#name); \
    if (!recorded(fd)) return call(fd, data, length, offset);                                 \
    pthread_mutex_lock(&mutex);                                                               \
    const ssize_t done = call(fd, data, length, offset);                                      \
    struct iovec one = {(void*)data, length};                                                 \
    if (done > 0) put(dsync[fd] ? 'd' : 'w', path_of[fd], offset, &one, 1, done);             \
    pthread_mutex_unlock(&mutex);                                                             \
    return done;                                                                              \
  }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int fd, const struct iovec* data, int count) {
  if (!recorded(fd)) return real_writev(fd, data, count);
  pthread_mutex_lock(&mutex);
  const off_t offset = lseek(fd, 0, SEEK_CUR);
  const ssize_t done = real_writev(fd, data, count);
  if (done > 0) put(dsync[fd] ? 'd' : 'w', path_of[fd], offset, data, count, done);
  pthread_mutex_unlock(&mutex);
  return done;
}

ssize_t write(int fd, const void* data, size_t length) {
  static ssize_t (*call)(int, const void*, size_t);
  if (!call) call = (ssize_t(*)(int, const void*, size_t))real("write");
  if (!recorded(fd)) return call(fd, data, length);
  struct iovec one = {(void*)data, length};
  return writev(fd, &one, 1);
}

#define SYNC(name)                                                       \
  int name(int fd) {                                                     \
    int (*call)(int) = (int (*)(int))real(#name);                        \
    if (!recorded(fd)) return call(fd);                                  \
    pthread_mutex_lock(&mutex);                                          \
    const int result = call(fd);                                         \
    if (result == 0) put('s', path_of[fd], 0, NULL, 0, 0);               \
    pthread_mutex_unlock(&mutex);                                        \
    return result;                                                       \
  }
SYNC(fsync)
SYNC(fdatasync)

#define TRUNCATE(name, type)                                             \
  int name(int fd, type length) {                                        \
    int (*call)(int, type) = (int (*)(int, type))real(#name);            \
    if (!recorded(fd)) return call(fd, length);                          \
    pthread_mutex_lock(&mutex);                                          \
    const int result = call(fd, length);                                 \
    if (result == 0) put('t', path_of[fd], length, NULL, 0, 0);          \
    pthread_mutex_unlock(&mutex);                                        \
    return result;                                                       \
  }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

int rename(const char* from, const char* to) {
  int (*call)(const char*, const char*) = (int (*)(const char*, const char*))real("rename");
  const char* old = inside(from);
  const char* fresh = inside(to);
  if (!old || !fresh) return call(from, to);
  pthread_mutex_lock(&mutex);
  const int result = call(from, to);
  if (result == 0) {
    struct iovec one = {(void*)fresh, strlen(fresh)};
    put('r', old, 0, &one, 1, (int64_t)one.iov_len);
    const size_t length = strlen(old);
    for (int fd = 0; fd < FDS; ++fd) {
      if (strncmp(path_of[fd], old, length) != 0 || (path_of[fd][length] && path_of[fd][length] != '/')) continue;
      char renamed[2 * PATH];
      snprintf(renamed, sizeof renamed, "%s%s", fresh, path_of[fd] + length);
      memcpy(path_of[fd], renamed, PATH);
      path_of[fd][PATH - 1] = 0;
    }
  }
  pthread_mutex_unlock(&mutex);
  return result;
}

static void gone(const char* path, int result) {
  const char* name = inside(path);
  if (!name || result != 0) return;
  pthread_mutex_lock(&mutex);
  put('u', name, 0, NULL, 0, 0);
  pthread_mutex_unlock(&mutex);
}
int unlink(const char* path) {
  const int result = ((int (*)(const char*))real("unlink"))(path);
  gone(path, result);
  return result;
}
int remove(const char* path) {
  const int result = ((int (*)(const char*))real("remove"))(path);
  gone(path, result);
  return result;
}
