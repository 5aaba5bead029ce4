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
#include "tests/fakes/run_until.h"

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

  EpollLoop& loop() { return *loop_; }
  Loop& spawn_loop() { return spawn_->loop(); }
  Spawner& spawner() { return spawner_; }
  StateDir& state_dir() { return *state_dir_; }
  RecorderPool& recorders() { return recorders_; }
  const std::string& path() const { return path_; }
  const RunContext& context() { return context_; }
  // The disk's callbacks end here: destroy before what they belong to.
  void StopFileIo() { file_io_.reset(); }

  void RunUntil(const std::function<bool()>& done) {
    kine::RunUntil(*loop_, done);
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
  RecorderPool recorders_{
      *loop_, spawner_, {FakeRecorderPath(), "--file_io=thread"}};
  RunContext context_{*loop_,     spawner_,           *file_io_, *state_dir_,
                      recorders_, FakeRecorderPath(), {96, 96}};
};

}  // namespace kine
