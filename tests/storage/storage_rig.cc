#include "tests/storage/storage_rig.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <future>

#include "daemon/base/check.h"
#include "daemon/storage/blocking_io.h"
#include "daemon/storage/directory.h"
#include "daemon/storage/thread_file_io.h"
#include "daemon/storage/uring_file_io.h"

namespace kine {

Bytes BytesOf(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return Bytes(bytes.begin(), bytes.end());
}

std::string TextOf(const Bytes& bytes) {
  std::string text;
  for (std::byte b : bytes) text.push_back(static_cast<char>(b));
  return text;
}

Bytes Pattern(size_t n, unsigned seed) {
  Bytes bytes(n);
  unsigned state = seed;
  for (std::byte& b : bytes) {
    state = state * 1664525 + 1013904223;
    b = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

Bytes ReadAll(int fd) {
  struct stat info;
  KINE_CHECK(::fstat(fd, &info) == 0);
  Bytes bytes(static_cast<size_t>(info.st_size));
  KINE_CHECK(ReadFully(fd, 0, bytes).value() == bytes.size());
  return bytes;
}

UniqueFd MemoryFile(std::string_view content) {
  UniqueFd fd(::memfd_create("test", MFD_CLOEXEC));
  KINE_CHECK(fd.valid());
  KINE_CHECK(WriteFully(fd.get(), 0, BytesOf(content)).ok());
  return fd;
}

TempDir::TempDir() {
  const char* root = std::getenv("TMPDIR");
  path_ = std::string(root != nullptr ? root : "/tmp") + "/kine-storage.XXXXXX";
  KINE_CHECK(::mkdtemp(path_.data()) != nullptr);
  fd_ = UniqueFd(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  KINE_CHECK(fd_.valid());
}

TempDir::~TempDir() {
  const auto names = ListDirectory(fd_.get()).value();
  for (const std::string& name : names)
    EXPECT_EQ(RemoveTree(fd_.get(), name), absl::OkStatus()) << name;
  EXPECT_EQ(::rmdir(path_.c_str()), 0) << path_;
}

void TempDir::Put(const std::string& name, std::string_view content) const {
  const UniqueFd file(::openat(fd_.get(), name.c_str(),
                               O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  KINE_CHECK(WriteFully(file.get(), 0, BytesOf(content)).ok());
}

std::string TempDir::Get(const std::string& name) const {
  const UniqueFd file(::openat(fd_.get(), name.c_str(), O_RDONLY | O_CLOEXEC));
  return file.valid() ? TextOf(ReadAll(file.get())) : "<none>";
}

std::unique_ptr<StorageRig> StorageRig::Make(std::string_view kind) {
  std::unique_ptr<StorageRig> rig(new StorageRig);
  if (kind == "fake") {
    auto fake = std::make_unique<FakeFileIo>();
    rig->fake_ = fake.get();
    rig->file_io_ = std::move(fake);
    return rig;
  }
  rig->thread_ = LoopThread::Start("test-loop").value();
  rig->OnLoop([&] {
    Loop& loop = rig->thread_->loop();
    if (kind == "thread") {
      rig->file_io_ = ThreadFileIo::Create(loop).value();
    } else {
      auto uring = UringFileIo::Create(
          loop, [](absl::Status status) { ADD_FAILURE() << status; });
      if (uring.ok()) rig->file_io_ = *std::move(uring);
    }
  });
  if (rig->file_io_ == nullptr) return nullptr;
  return rig;
}

StorageRig::~StorageRig() { Destroy(); }

void StorageRig::OnLoop(const std::function<void()>& body) {
  if (thread_ == nullptr) return body();
  std::promise<void> ran;
  thread_->loop().Post([&] {
    body();
    ran.set_value();
  });
  ran.get_future().wait();
}

absl::Status StorageRig::Wait(
    const std::function<void(FileIo&, FileIo::Done)>& start) {
  std::promise<absl::Status> finished;
  OnLoop([&] {
    start(*file_io_,
          [&](absl::Status status) { finished.set_value(std::move(status)); });
  });
  if (fake_ != nullptr) fake_->RunAll();
  return finished.get_future().get();
}

void StorageRig::Drain() {
  if (fake_ != nullptr) return fake_->RunAll();
  std::promise<void> idle;
  // Each piece of work ends behind those before it.
  std::function<void()> look = [&] {
    if (file_io_->pending() == 0) return idle.set_value();
    file_io_->Run([] { return absl::OkStatus(); },
                  [&](absl::Status) { thread_->loop().Post(look); });
  };
  OnLoop(look);
  idle.get_future().wait();
}

void StorageRig::Destroy() {
  OnLoop([this] { file_io_ = nullptr; });
  fake_ = nullptr;
}

int StorageRig::NewFile() {
  const std::string name = "file" + std::to_string(files_.size());
  files_.emplace_back(::openat(dir_.fd(), name.c_str(),
                               O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  KINE_CHECK(files_.back().valid());
  return files_.back().get();
}

Bytes StorageRig::Contents(int fd) {
  return fake_ != nullptr ? fake_->Contents(fd) : ReadAll(fd);
}

int InChild(const std::function<int()>& body) {
  const pid_t pid = ::fork();
  KINE_CHECK(pid >= 0);
  if (pid == 0) ::_exit(body());
  int status = 0;
  KINE_CHECK(::waitpid(pid, &status, 0) == pid);
  return status;
}

namespace {

void Install(std::vector<sock_filter> program) {
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()),
                          program.data()};
  KINE_CHECK(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  KINE_CHECK(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

}  // namespace

void ForbidSyscalls(const std::vector<int>& numbers, unsigned action) {
  std::vector<sock_filter> program = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (int number : numbers) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                               static_cast<unsigned>(number), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, action));
  }
  Install(std::move(program));
}

void ForbidSyscallOn(int number, int fd, unsigned action) {
  // The low half of the argument, on little-endian machines.
  Install(
      {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 3),
       BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args)),
       BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(fd), 0, 1),
       BPF_STMT(BPF_RET | BPF_K, action)});
}

}  // namespace kine
