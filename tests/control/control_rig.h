// What tests of daemon/control share: a real loop, the two threads, a state
// directory of its own and the fake recorder.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "daemon/base/epoll_loop.h"
#include "daemon/base/loop_thread.h"
#include "daemon/control/recording_run.h"
#include "daemon/storage/create_file_io.h"
#include "daemon/storage/state_dir.h"

namespace kine {

// The directory of this test binary.
inline std::string TestBinaryDir() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path();
}
inline std::string FakeRecorderPath() {
  return TestBinaryDir() + "/programs/fake_recorder";
}

class ControlRig {
 public:
  ~ControlRig() {
    file_io_.reset();
    std::filesystem::remove_all(path_);
  }

  Loop& loop() { return *loop_; }
  Spawner& spawner() { return spawner_; }
  StateDir& state_dir() { return *state_dir_; }
  const std::string& path() const { return path_; }
  const RunContext& context() { return context_; }
  // The disk's callbacks end here: destroy before what they belong to.
  void StopFileIo() { file_io_.reset(); }

  // Runs the loop until `done`; fails the test after a minute, which is only
  // ever reached by a hang.
  void RunUntil(const std::function<bool()>& done) {
    bool hung = false;
    LoopHandle deadline(
        *loop_, loop_->PostAfter(absl::Minutes(1), [&] { hung = true; }));
    std::function<void()> look = [&] {
      if (done() || hung)
        loop_->Quit();
      else
        again_ = LoopHandle(*loop_, loop_->PostAfter(absl::Milliseconds(2),
                                                     [&look] { look(); }));
    };
    look();
    loop_->Run();
    again_.Cancel();
    ASSERT_FALSE(hung) << "waited for a minute";
  }

 private:
  static std::string MakeDirectory() {
    char name[] = "/tmp/kine_control.XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    return name;
  }

  const std::string path_ = MakeDirectory();
  std::unique_ptr<EpollLoop> loop_ = EpollLoop::Create().value();
  std::unique_ptr<LoopThread> spawn_ = LoopThread::Start("spawn").value();
  std::unique_ptr<StateDir> state_dir_ =
      StateDir::Open(path_ + "/state").value();
  std::unique_ptr<FileIo> file_io_ =
      CreateFileIo(FileIoChoice::kThread, UringProbe{}, *loop_, nullptr)
          .value()
          .file_io;
  Spawner spawner_{*loop_, spawn_->loop()};
  RunContext context_{*loop_,      spawner_,           *file_io_,
                      *state_dir_, FakeRecorderPath(), {"--file_io=thread"},
                      {96, 96}};
  LoopHandle again_;
};

}  // namespace kine
