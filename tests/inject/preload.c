// Calls of the C library that fail, or take long, on demand: linked into a test program, or preloaded into another (faults.h gives the
// environment). UNLABEL_INJECT holds rules, one a line:
//
//     CALL|PATH|ERROR|SKIP|COUNT|DELAY|FLAG
//
// CALL   open (openat, fopen, opendir too), read (pread), readdir, write (pwrite), fsync (fdatasync), access, rename, flock, symlink,
//        unlink (remove, rmdir), mkdir, truncate (ftruncate), chmod (fchmod), chown (fchown) or stat (lstat, fstatat; not of a descriptor)
// PATH   a part of the file's path (of the new name for rename and symlink); empty: every file
// ERROR  errno; 0: the call goes on (after DELAY); -9: the process is killed there
// SKIP   calls that match and pass first
// COUNT  calls that fail then; -1: all
// DELAY  milliseconds before
// FLAG   a file: the rule holds only while it is there; empty: always
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { kMostRules = 16, kKill = -9 };

struct rule {
  char call[16], path[PATH_MAX], flag[PATH_MAX];
  int error;
  long skip, count, delay;
  long seen, injected;  // calls that matched, and those that were made to fail
};

struct rules {
  int size;
  struct rule rule[kMostRules];
  struct rules* before;  // another thread may still be reading them
};

static struct rules* current;  // replaced whole

static struct rules* parse(const char* text) {
  struct rules* rules = calloc(1, sizeof *rules);
  char *copy = strdup(text), *next = copy;
  for (char* line; (line = strsep(&next, "\n"));) {
    if (!*line) continue;
    char* field[7];
    for (int i = 0; i < 7; ++i) field[i] = strsep(&line, "|");
    if (!field[2] || rules->size == kMostRules) {
      fprintf(stderr, "UNLABEL_INJECT: a rule that cannot be read, or too many\n");
      abort();
    }
    struct rule* rule = &rules->rule[rules->size++];
    snprintf(rule->call, sizeof rule->call, "%s", field[0]);
    snprintf(rule->path, sizeof rule->path, "%s", field[1]);
    rule->error = atoi(field[2]);
    rule->skip = field[3] ? atol(field[3]) : 0;
    rule->count = field[4] ? atol(field[4]) : -1;
    rule->delay = field[5] ? atol(field[5]) : 0;
    snprintf(rule->flag, sizeof rule->flag, "%s", field[6] ? field[6] : "");
  }
  free(copy);
  return rules;
}

static void parse_environment(void) {
  const char* text = getenv("UNLABEL_INJECT");
  if (text) __atomic_store_n(&current, parse(text), __ATOMIC_RELEASE);
}

static struct rules* rules_now(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, parse_environment);
  return __atomic_load_n(&current, __ATOMIC_ACQUIRE);
}

// For the process's own tests: other rules from now on (none for ""), and how often rule `index` was injected.
void unlabel_inject(const char* text) {
  struct rules* before = rules_now();
  struct rules* rules = parse(text);
  rules->before = before;
  __atomic_store_n(&current, rules, __ATOMIC_RELEASE);
}
long unlabel_injected(int index) {
  struct rules* rules = rules_now();
  return rules && index < rules->size ? __atomic_load_n(&rules->rule[index].injected, __ATOMIC_ACQUIRE) : 0;
}

static int of_call(const char* call) {
  struct rules* rules = rules_now();
  for (int i = 0; rules && i < rules->size; ++i)
    if (strcmp(rules->rule[i].call, call) == 0) return 1;
  return 0;
}

// True when the call is to fail: errno is set.
static int fails(const char* call, const char* path) {
  struct rules* rules = rules_now();
  for (int i = 0; rules && i < rules->size; ++i) {
    struct rule* rule = &rules->rule[i];
    if (strcmp(rule->call, call) != 0 || !strstr(path, rule->path)) continue;
    const int before = errno;
    if (rule->flag[0] && syscall(SYS_access, rule->flag, F_OK) != 0) {
      errno = before;
      continue;
    }
    const long seen = __atomic_fetch_add(&rule->seen, 1, __ATOMIC_ACQ_REL);
    if (seen < rule->skip || (rule->count >= 0 && seen >= rule->skip + rule->count)) continue;
    __atomic_fetch_add(&rule->injected, 1, __ATOMIC_ACQ_REL);
    if (rule->delay > 0) {
      struct timespec left = {rule->delay / 1000, rule->delay % 1000 * 1000000};
      while (nanosleep(&left, &left) != 0 && errno == EINTR) {
      }
      errno = before;
    }
    if (rule->error == kKill) kill(getpid(), SIGKILL);
    if (rule->error == 0) return 0;
    errno = rule->error;
    return 1;
  }
  return 0;
}

// `path` as it is, or below the folder that is open as `folder`.
static int fails_below(const char* call, int folder, const char* path) {
  if (!of_call(call)) return 0;
  char link[64], whole[2 * PATH_MAX];
  if (path && (path[0] == '/' || folder == AT_FDCWD)) return fails(call, path);
  snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
  const int before = errno;
  ssize_t size = readlink(link, whole, PATH_MAX);
  errno = before;
  if (size < 0) return 0;
  whole[size] = '\0';
  if (path) snprintf(whole + size, PATH_MAX, "/%s", path);
  return fails(call, whole);
}

static int fails_open_file(const char* call, int descriptor) { return fails_below(call, descriptor, NULL); }

// The C library's own function of this name.
#define NEXT(result, name, ...)       \
  static result (*next)(__VA_ARGS__); \
  if (!next) next = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

// Whether open() is given a mode. O_TMPFILE holds the bit of O_DIRECTORY.
static int makes_file(int flags) { return (flags & O_CREAT) || (flags & O_TMPFILE) == O_TMPFILE; }

#define OPEN(name)                                                             \
  int name(const char* path, int flags, ...) {                                 \
    va_list more;                                                              \
    va_start(more, flags);                                                     \
    const mode_t mode = makes_file(flags) ? va_arg(more, mode_t) : 0;          \
    va_end(more);                                                              \
    NEXT(int, name, const char*, int, ...);                                    \
    return fails_below("open", AT_FDCWD, path) ? -1 : next(path, flags, mode); \
  }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                 \
  int name(int folder, const char* path, int flags, ...) {                           \
    va_list more;                                                                    \
    va_start(more, flags);                                                           \
    const mode_t mode = makes_file(flags) ? va_arg(more, mode_t) : 0;                \
    va_end(more);                                                                    \
    NEXT(int, name, int, const char*, int, ...);                                     \
    return fails_below("open", folder, path) ? -1 : next(folder, path, flags, mode); \
  }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                       \
  FILE* name(const char* path, const char* mode) {                        \
    NEXT(FILE*, name, const char*, const char*);                          \
    return fails_below("open", AT_FDCWD, path) ? NULL : next(path, mode); \
  }
FOPEN(fopen)
FOPEN(fopen64)

DIR* opendir(const char* path) {
  NEXT(DIR*, opendir, const char*);
  return fails_below("open", AT_FDCWD, path) ? NULL : next(path);
}
struct dirent* readdir(DIR* folder) {
  NEXT(struct dirent*, readdir, DIR*);
  return fails_open_file("readdir", dirfd(folder)) ? NULL : next(folder);
}
struct dirent64* readdir64(DIR* folder) {
  NEXT(struct dirent64*, readdir64, DIR*);
  return fails_open_file("readdir", dirfd(folder)) ? NULL : next(folder);
}

ssize_t read(int file, void* bytes, size_t size) {
  NEXT(ssize_t, read, int, void*, size_t);
  return fails_open_file("read", file) ? -1 : next(file, bytes, size);
}
ssize_t pread(int file, void* bytes, size_t size, off_t place) {
  NEXT(ssize_t, pread, int, void*, size_t, off_t);
  return fails_open_file("read", file) ? -1 : next(file, bytes, size, place);
}
ssize_t pread64(int file, void* bytes, size_t size, off64_t place) {
  NEXT(ssize_t, pread64, int, void*, size_t, off64_t);
  return fails_open_file("read", file) ? -1 : next(file, bytes, size, place);
}
ssize_t write(int file, const void* bytes, size_t size) {
  NEXT(ssize_t, write, int, const void*, size_t);
  return fails_open_file("write", file) ? -1 : next(file, bytes, size);
}
ssize_t pwrite(int file, const void* bytes, size_t size, off_t place) {
  NEXT(ssize_t, pwrite, int, const void*, size_t, off_t);
  return fails_open_file("write", file) ? -1 : next(file, bytes, size, place);
}
ssize_t pwrite64(int file, const void* bytes, size_t size, off64_t place) {
  NEXT(ssize_t, pwrite64, int, const void*, size_t, off64_t);
  return fails_open_file("write", file) ? -1 : next(file, bytes, size, place);
}

int fsync(int file) {
  NEXT(int, fsync, int);
  return fails_open_file("fsync", file) ? -1 : next(file);
}
int fdatasync(int file) {
  NEXT(int, fdatasync, int);
  return fails_open_file("fsync", file) ? -1 : next(file);
}
int flock(int file, int operation) {
  NEXT(int, flock, int, int);
  return fails_open_file("flock", file) ? -1 : next(file, operation);
}

int access(const char* path, int mode) {
  NEXT(int, access, const char*, int);
  return fails_below("access", AT_FDCWD, path) ? -1 : next(path, mode);
}

int rename(const char* from, const char* to) {
  NEXT(int, rename, const char*, const char*);
  return fails_below("rename", AT_FDCWD, to) ? -1 : next(from, to);
}
int renameat(int from_folder, const char* from, int to_folder, const char* to) {
  NEXT(int, renameat, int, const char*, int, const char*);
  return fails_below("rename", to_folder, to) ? -1 : next(from_folder, from, to_folder, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  NEXT(int, renameat2, int, const char*, int, const char*, unsigned);
  return fails_below("rename", to_folder, to) ? -1 : next(from_folder, from, to_folder, to, flags);
}
int symlink(const char* target, const char* path) {
  NEXT(int, symlink, const char*, const char*);
  return fails_below("symlink", AT_FDCWD, path) ? -1 : next(target, path);
}
int symlinkat(const char* target, int folder, const char* path) {
  NEXT(int, symlinkat, const char*, int, const char*);
  return fails_below("symlink", folder, path) ? -1 : next(target, folder, path);
}
int unlink(const char* path) {
  NEXT(int, unlink, const char*);
  return fails_below("unlink", AT_FDCWD, path) ? -1 : next(path);
}
int unlinkat(int folder, const char* path, int flags) {
  NEXT(int, unlinkat, int, const char*, int);
  return fails_below("unlink", folder, path) ? -1 : next(folder, path, flags);
}
int remove(const char* path) {
  NEXT(int, remove, const char*);
  return fails_below("unlink", AT_FDCWD, path) ? -1 : next(path);
}
int rmdir(const char* path) {
  NEXT(int, rmdir, const char*);
  return fails_below("unlink", AT_FDCWD, path) ? -1 : next(path);
}
int mkdir(const char* path, mode_t mode) {
  NEXT(int, mkdir, const char*, mode_t);
  return fails_below("mkdir", AT_FDCWD, path) ? -1 : next(path, mode);
}

int chmod(const char* path, mode_t mode) {
  NEXT(int, chmod, const char*, mode_t);
  return fails_below("chmod", AT_FDCWD, path) ? -1 : next(path, mode);
}
int fchmod(int file, mode_t mode) {
  NEXT(int, fchmod, int, mode_t);
  return fails_open_file("chmod", file) ? -1 : next(file, mode);
}
int chown(const char* path, uid_t owner, gid_t group) {
  NEXT(int, chown, const char*, uid_t, gid_t);
  return fails_below("chown", AT_FDCWD, path) ? -1 : next(path, owner, group);
}
int fchown(int file, uid_t owner, gid_t group) {
  NEXT(int, fchown, int, uid_t, gid_t);
  return fails_open_file("chown", file) ? -1 : next(file, owner, group);
}

#define TRUNCATE(name, type)                                                \
  int name(const char* path, type size) {                                   \
    NEXT(int, name, const char*, type);                                     \
    return fails_below("truncate", AT_FDCWD, path) ? -1 : next(path, size); \
  }
TRUNCATE(truncate, off_t)
TRUNCATE(truncate64, off64_t)

#define FTRUNCATE(name, type)                                         \
  int name(int file, type size) {                                     \
    NEXT(int, name, int, type);                                       \
    return fails_open_file("truncate", file) ? -1 : next(file, size); \
  }
FTRUNCATE(ftruncate, off_t)
FTRUNCATE(ftruncate64, off64_t)

#define STAT(name, type)                                                  \
  int name(const char* path, type* status) {                              \
    NEXT(int, name, const char*, type*);                                  \
    return fails_below("stat", AT_FDCWD, path) ? -1 : next(path, status); \
  }
STAT(stat, struct stat)
STAT(lstat, struct stat)
STAT(stat64, struct stat64)
STAT(lstat64, struct stat64)

#define FSTATAT(name, type)                                                            \
  int name(int folder, const char* path, type* status, int flags) {                    \
    NEXT(int, name, int, const char*, type*, int);                                     \
    return fails_below("stat", folder, path) ? -1 : next(folder, path, status, flags); \
  }
FSTATAT(fstatat, struct stat)
FSTATAT(fstatat64, struct stat64)
