// LD_PRELOAD recorder: writes down every change that a process makes below one folder, and every fsync, in order.
//
// From the log, ground_disk.py rebuilds what a disk holds if the power fails at any instant. Nothing is trusted that was
// not fsynced, SQLite's writes included. Writes through stdio inside libc do not pass here; the station makes none that it
// keeps. Record: u32 length of the rest, u8 operation, u64 inode, u64 inode 2, i64 offset, u32 n1, n1 bytes, u32 n2, n2 bytes.

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <mutex>
#include <string>

namespace {

enum Operation : uint8_t {
  kCreate = 1,  // inode in folder inode 2, name
  kMkdir = 2,   // as above
  kSymlink = 3, // as above, second text the target
  kWrite = 4,   // inode, offset, data
  kTruncate = 5,  // inode, new length in offset
  kRename = 6,  // from folder inode, to folder inode 2, names
  kUnlink = 7,  // name in folder inode
  kSync = 8,    // inode
  kMark = 9,    // text of the test
};

constexpr int kMaxHandles = 4096;
uint64_t tracked[kMaxHandles];  // inode behind a handle, 0 when it is none of ours
int log_handle = -1;
std::string root;
std::mutex mutex;

template <typename F>
F real(const char* name) {
  return reinterpret_cast<F>(dlsym(RTLD_NEXT, name));
}

void put(std::string& out, const void* data, size_t size) { out.append(static_cast<const char*>(data), size); }

void log_entry(Operation operation, uint64_t inode, uint64_t inode2, int64_t offset, const void* first, uint32_t n1,
               const void* second = nullptr, uint32_t n2 = 0) {
  static auto real_write = real<ssize_t (*)(int, const void*, size_t)>("write");
  std::string body;
  put(body, &operation, 1);
  put(body, &inode, 8);
  put(body, &inode2, 8);
  put(body, &offset, 8);
  put(body, &n1, 4);
  put(body, first, n1);
  put(body, &n2, 4);
  if (n2) put(body, second, n2);
  const uint32_t length = static_cast<uint32_t>(body.size());
  std::string entry(reinterpret_cast<const char*>(&length), 4);
  entry += body;
  std::lock_guard<std::mutex> guard(mutex);
  if (real_write(log_handle, entry.data(), entry.size()) != static_cast<ssize_t>(entry.size())) abort();
}

bool below_root(const std::string& path) {
  return log_handle >= 0 && path.compare(0, root.size(), root) == 0 &&
         (path.size() == root.size() || path[root.size()] == '/');
}

std::string handle_path(int handle) {
  char link[64], target[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
  const ssize_t n = readlink(link, target, sizeof target);
  return n < 0 ? std::string() : std::string(target, static_cast<size_t>(n));
}

// A path split into its folder, resolved, and its last name, which is not.
struct Name {
  std::string folder, name;
  uint64_t inode = 0;  // of the folder
  bool ours = false;
};

Name split(int folder_handle, const char* path) {
  Name result;
  std::string text(path);
  if (text.empty() || log_handle < 0) return result;
  if (text[0] != '/') {
    if (folder_handle == AT_FDCWD) {
      char here[PATH_MAX];
      text = std::string(getcwd(here, sizeof here) ? here : "") + "/" + text;
    } else {
      text = handle_path(folder_handle) + "/" + text;
    }
  }
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  const size_t slash = text.rfind('/');
  result.name = text.substr(slash + 1);
  char resolved[PATH_MAX];
  if (!realpath(slash ? text.substr(0, slash).c_str() : "/", resolved)) return result;
  result.folder = resolved;
  struct stat status;
  if (!below_root(result.folder) || stat(resolved, &status) != 0) return result;
  result.inode = status.st_ino;
  result.ours = true;
  return result;
}

bool exists(const Name& name) {
  struct stat status;
  return lstat((name.folder + "/" + name.name).c_str(), &status) == 0;
}

uint64_t inode_of(const Name& name) {
  struct stat status;
  return lstat((name.folder + "/" + name.name).c_str(), &status) == 0 ? status.st_ino : 0;
}

int opened(int handle, int flags, const Name& name, bool existed) {
  if (handle < 0 || handle >= kMaxHandles) return handle;
  tracked[handle] = 0;
  if (log_handle < 0 || !below_root(handle_path(handle))) return handle;
  struct stat status;
  if (fstat(handle, &status) != 0) return handle;
  tracked[handle] = status.st_ino;
  if ((flags & O_CREAT) && !existed && name.ours)
    log_entry(kCreate, status.st_ino, name.inode, 0, name.name.data(), static_cast<uint32_t>(name.name.size()));
  else if (flags & O_TRUNC)
    log_entry(kTruncate, status.st_ino, 0, 0, nullptr, 0);
  return handle;
}

bool follows(int handle) { return log_handle >= 0 && handle >= 0 && handle < kMaxHandles && tracked[handle]; }

int64_t position(int handle, size_t written) {
  // After a write the position stands behind what was written, with O_APPEND too.
  return static_cast<int64_t>(lseek(handle, 0, SEEK_CUR)) - static_cast<int64_t>(written);
}

int open_any(const char* function, int folder, const char* path, int flags, mode_t mode) {
  const Name name = (flags & O_CREAT) ? split(folder, path) : Name();
  const bool existed = name.ours && exists(name);
  const int handle = real<int (*)(int, const char*, int, ...)>(function)(folder, path, flags, mode);
  return opened(handle, flags, name, existed);
}

}  // namespace

extern "C" {

// Called by the test through ctypes.
void recorder_start(const char* folder, const char* log) {
  root = folder;
  memset(tracked, 0, sizeof tracked);
  log_handle = real<int (*)(int, const char*, int, ...)>("openat")(AT_FDCWD, log, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  if (log_handle < 0) abort();
}

void recorder_mark(const char* text) {
  if (log_handle >= 0) log_entry(kMark, 0, 0, 0, text, static_cast<uint32_t>(strlen(text)));
}

#define MODE                    \
  mode_t mode = 0;              \
  if (flags & O_CREAT) {        \
    va_list list;               \
    va_start(list, flags);      \
    mode = va_arg(list, mode_t); \
    va_end(list);               \
  }

int open(const char* path, int flags, ...) { MODE return open_any("openat", AT_FDCWD, path, flags, mode); }
int open64(const char* path, int flags, ...) { MODE return open_any("openat", AT_FDCWD, path, flags, mode); }
int openat(int folder, const char* path, int flags, ...) { MODE return open_any("openat", folder, path, flags, mode); }
int openat64(int folder, const char* path, int flags, ...) { MODE return open_any("openat", folder, path, flags, mode); }
int creat(const char* path, mode_t mode) { return open_any("openat", AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char* path, mode_t mode) { return creat(path, mode); }

int close(int handle) {
  if (handle >= 0 && handle < kMaxHandles) tracked[handle] = 0;
  return real<int (*)(int)>("close")(handle);
}

ssize_t write(int handle, const void* data, size_t size) {
  const ssize_t n = real<ssize_t (*)(int, const void*, size_t)>("write")(handle, data, size);
  if (n > 0 && follows(handle))
    log_entry(kWrite, tracked[handle], 0, position(handle, static_cast<size_t>(n)), data, static_cast<uint32_t>(n));
  return n;
}

ssize_t pwrite64(int handle, const void* data, size_t size, off64_t offset) {
  const ssize_t n = real<ssize_t (*)(int, const void*, size_t, off64_t)>("pwrite64")(handle, data, size, offset);
  if (n > 0 && follows(handle)) log_entry(kWrite, tracked[handle], 0, offset, data, static_cast<uint32_t>(n));
  return n;
}
ssize_t pwrite(int handle, const void* data, size_t size, off_t offset) { return pwrite64(handle, data, size, offset); }

ssize_t writev(int handle, const struct iovec* parts, int count) {
  ssize_t total = 0;
  for (int i = 0; i < count; ++i) {
    const ssize_t n = write(handle, parts[i].iov_base, parts[i].iov_len);
    if (n < 0) return total ? total : n;
    total += n;
    if (static_cast<size_t>(n) < parts[i].iov_len) break;
  }
  return total;
}

int ftruncate64(int handle, off64_t length) {
  const int result = real<int (*)(int, off64_t)>("ftruncate64")(handle, length);
  if (result == 0 && follows(handle)) log_entry(kTruncate, tracked[handle], 0, length, nullptr, 0);
  return result;
}
int ftruncate(int handle, off_t length) { return ftruncate64(handle, length); }

int fsync(int handle) {
  const int result = real<int (*)(int)>("fsync")(handle);
  if (result == 0 && follows(handle)) log_entry(kSync, tracked[handle], 0, 0, nullptr, 0);
  return result;
}

int fdatasync(int handle) {
  const int result = real<int (*)(int)>("fdatasync")(handle);
  if (result == 0 && follows(handle)) log_entry(kSync, tracked[handle], 0, 0, nullptr, 0);
  return result;
}

int renameat(int old_folder, const char* old_path, int new_folder, const char* new_path) {
  const Name from = split(old_folder, old_path), to = split(new_folder, new_path);
  const int result = real<int (*)(int, const char*, int, const char*)>("renameat")(old_folder, old_path, new_folder, new_path);
  if (result == 0 && from.ours && to.ours)
    log_entry(kRename, from.inode, to.inode, 0, from.name.data(), static_cast<uint32_t>(from.name.size()), to.name.data(),
              static_cast<uint32_t>(to.name.size()));
  return result;
}
int rename(const char* old_path, const char* new_path) { return renameat(AT_FDCWD, old_path, AT_FDCWD, new_path); }

int unlinkat(int folder, const char* path, int flags) {
  const Name name = split(folder, path);
  const int result = real<int (*)(int, const char*, int)>("unlinkat")(folder, path, flags);
  if (result == 0 && name.ours)
    log_entry(kUnlink, name.inode, 0, 0, name.name.data(), static_cast<uint32_t>(name.name.size()));
  return result;
}
int unlink(const char* path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char* path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int mkdirat(int folder, const char* path, mode_t mode) {
  const Name name = split(folder, path);
  const int result = real<int (*)(int, const char*, mode_t)>("mkdirat")(folder, path, mode);
  if (result == 0 && name.ours)
    log_entry(kMkdir, inode_of(name), name.inode, 0, name.name.data(), static_cast<uint32_t>(name.name.size()));
  return result;
}
int mkdir(const char* path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

int symlinkat(const char* target, int folder, const char* path) {
  const Name name = split(folder, path);
  const int result = real<int (*)(const char*, int, const char*)>("symlinkat")(target, folder, path);
  if (result == 0 && name.ours)
    log_entry(kSymlink, inode_of(name), name.inode, 0, name.name.data(), static_cast<uint32_t>(name.name.size()), target,
              static_cast<uint32_t>(strlen(target)));
  return result;
}
int symlink(const char* target, const char* path) { return symlinkat(target, AT_FDCWD, path); }

// The station has no use for hard links; if that changes, the recorder must learn them first.
int linkat(int old_folder, const char* old_path, int new_folder, const char* new_path, int flags) {
  if (log_handle >= 0) abort();
  return real<int (*)(int, const char*, int, const char*, int)>("linkat")(old_folder, old_path, new_folder, new_path, flags);
}
int link(const char* old_path, const char* new_path) { return linkat(AT_FDCWD, old_path, AT_FDCWD, new_path, 0); }

}  // extern "C"
