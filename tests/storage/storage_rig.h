// What the tests of this folder share: a directory of their own, a FileIo of
// each kind with something to drive it, and children under a seccomp filter.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop_thread.h"
#include "daemon/storage/file_io.h"
#include "tests/fakes/fake_file_io.h"

namespace kine {

using Bytes = std::vector<std::byte>;

Bytes BytesOf(std::string_view text);
std::string TextOf(const Bytes& bytes);
// `n` bytes that differ from place to place.
Bytes Pattern(size_t n, unsigned seed = 1);
Bytes ReadAll(int fd);
// A file in memory with that content, open for reading and writing.
UniqueFd MemoryFile(std::string_view content = {});

// A directory that goes with its owner.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  int fd() const { return fd_.get(); }
  const std::string& path() const { return path_; }
  void Put(const std::string& name, std::string_view content) const;
  // The content, or "<none>".
  std::string Get(const std::string& name) const;

 private:
  std::string path_;
  UniqueFd fd_;
};

// A FileIo by name: "uring", "thread" (both on a loop thread) or "fake". Null
// when this machine forbids io_uring.
class StorageRig {
 public:
  static std::unique_ptr<StorageRig> Make(std::string_view kind);
  ~StorageRig();

  FakeFileIo* fake() const { return fake_; }
  FileIo& file_io() const { return *file_io_; }
  // Runs `body` where calls are allowed, and waits.
  void OnLoop(const std::function<void()>& body);
  // Starts something and waits for its callback.
  absl::Status Wait(const std::function<void(FileIo&, FileIo::Done)>& start);
  // Waits until nothing is pending.
  void Drain();
  // Destroys the FileIo.
  void Destroy();

  int NewFile();
  Bytes Contents(int fd);

 private:
  StorageRig() = default;
  std::unique_ptr<LoopThread> thread_;
  std::unique_ptr<FileIo> file_io_;
  FakeFileIo* fake_ = nullptr;
  TempDir dir_;
  std::vector<UniqueFd> files_;
};

// Forks and runs `body` in the child, which exits with its result. Returns the
// wait status. Call while no other thread runs.
int InChild(const std::function<int()>& body);

// From now on `action` (SECCOMP_RET_...) answers these system calls, in this
// thread and its children.
void ForbidSyscalls(const std::vector<int>& numbers, unsigned action);
// The same for one system call whose first argument is `fd`.
void ForbidSyscallOn(int number, int fd, unsigned action);

}  // namespace kine
