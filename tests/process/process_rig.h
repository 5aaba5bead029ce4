// What tests of daemon/process share: a real loop and spawn thread, the real
// kinescope-exec, a table with its state directory, and an output that keeps
// every byte.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "daemon/base/epoll_loop.h"
#include "daemon/base/loop_thread.h"
#include "daemon/process/process_table.h"
#include "daemon/programs/vfork_into.h"
#include "daemon/storage/directory.h"
#include "tests/fakes/run_until.h"

namespace kine {

// Reads to the end of all streams; nothing is ever lost.
class KeepingOutput final : public ProcessOutput {
 public:
  KeepingOutput(Loop& loop, ProcessFds fds) : fds_(std::move(fds)) {
    for (UniqueFd* fd : {&fds_.out, &fds_.err, &fds_.terminal})
      if (fd->valid())
        watches_.emplace_back(loop,
                              loop.Watch(fd->get(), EPOLLIN,
                                         [this, fd, n = watches_.size()](auto) {
                                           if (Read(*fd)) watches_[n].Cancel();
                                         }));
  }
  void DrainAfterExit() override {
    for (UniqueFd* fd : {&fds_.out, &fds_.err, &fds_.terminal})
      if (fd->valid()) Read(*fd);
  }
  void Close() override {}
  Totals totals() const override { return {text_.size(), 0, false}; }
  int terminal() const override { return fds_.terminal.get(); }
  const std::string& text() const { return text_; }

 private:
  // True at the end.
  bool Read(const UniqueFd& fd) {
    char buffer[4'096];
    ssize_t count;
    while ((count = ::read(fd.get(), buffer, sizeof buffer)) > 0)
      text_.append(buffer, static_cast<size_t>(count));
    return count == 0 || errno != EAGAIN;
  }
  ProcessFds fds_;
  std::string text_;
  std::vector<LoopHandle> watches_;
};

class SilentObserver : public ProcessObserver {
 public:
  void OnProcessState(const ProcessRecord& record) override {
    states.push_back(ProcessStateName(record.state));
  }
  absl::Status CheckRecording(const std::string& recording_id,
                              const std::string&) override {
    return recording_id == "gone" ? absl::NotFoundError("recording_id: gone")
                                  : absl::OkStatus();
  }
  std::vector<std::string> OnProcessChapter(
      const ProcessRecord& record) override {
    chapters.push_back(record.id + (record.ended() ? " ended" : " started"));
    return {"rec"};
  }
  void OnProcessActivity(const ProcessRecord&) override { ++activity; }

  std::vector<std::string> states;
  std::vector<std::string> chapters;
  int activity = 0;
};

inline void BlockChildSignal() {
  // Before any thread, as main() does.
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);
}

inline std::string ExecPath() {
  const char* bin = std::getenv("KINE_BIN_DIR");
  if (bin != nullptr) return std::string(bin) + "/kinescope-exec";
  return std::filesystem::read_symlink("/proc/self/exe")
             .parent_path()
             .parent_path()
             .string() +
         "/bin/kinescope-exec";
}

class ProcessRig {
 public:
  explicit ProcessRig(bool with_cgroups = false, bool moves = false)
      : cgroups_(with_cgroups ? Cgroups::Find(state_.get())
                              : Cgroups::FindIn("", "", "none")) {
    context_.begins_in_cgroup = !moves && CanVforkInto();
    Restart("instance-1");
  }
  ~ProcessRig() {
    if (table_ != nullptr) {
      bool done = false;
      table_->Shutdown([&done] { done = true; });
      RunUntil([&done] { return done; });
      table_.reset();
    }
    spawn_.reset();
    std::filesystem::remove_all(path_);
  }

  // A new daemon on the old one's state; the old one is gone without a word
  // unless it was shut down.
  void Restart(const std::string& instance) {
    table_.reset();
    // Like a UUID no other rig's: its processes carry it as their mark.
    context_.instance = instance + path_.substr(path_.rfind('.'));
    table_ = std::make_unique<ProcessTable>(
        context_, [this](const ProcessRequest&, ProcessFds fds,
                         ProcessOutput::Client& client) {
          client_ = &client;
          return std::make_unique<KeepingOutput>(*loop_, std::move(fds));
        });
    table_->Load();
  }

  void RunUntil(const std::function<bool()>& done) {
    kine::RunUntil(*loop_, done);
  }

  // Starts what the JSON says and waits until it runs or has failed.
  absl::StatusOr<const ProcessRecord*> Start(const std::string& json,
                                             const std::string& owner = "") {
    absl::StatusOr<ProcessRequest> request = ParseProcessRequest(json);
    if (!request.ok()) return request.status();
    std::optional<absl::StatusOr<const ProcessRecord*>> result;
    table_->Start(*std::move(request), owner, [&](auto record, bool attached) {
      attached_ = attached;
      result.emplace(std::move(record));
    });
    RunUntil([&] { return result.has_value(); });
    return *std::move(result);
  }
  // Runs it to its exit.
  ProcessRecord Run(const std::string& json) {
    const absl::StatusOr<const ProcessRecord*> started = Start(json);
    EXPECT_TRUE(started.ok()) << started.status();
    if (!started.ok()) return ProcessRecord();
    return WaitExit((*started)->id);
  }
  ProcessRecord WaitExit(const std::string& id) {
    std::optional<ProcessRecord> record;
    table_->Wait(id, all(), ProcessTable::WaitFor::kExit, absl::Minutes(1),
                 [&](auto answer) {
                   record = answer.ok() ? **answer : ProcessRecord();
                 });
    RunUntil([&] { return record.has_value(); });
    EXPECT_TRUE(record->ended());
    return *record;
  }
  // Until nothing of its tree is left.
  ProcessRecord WaitOver(const std::string& id) {
    WaitExit(id);
    const ProcessRecord* record = *table_->Find(id, all());
    RunUntil([&] { return table_->running() == 0; });
    return *record;
  }
  absl::Status Delete(const std::string& id,
                      const ProcessViewer& viewer = all()) {
    std::optional<absl::Status> result;
    table_->Delete(id, viewer,
                   [&](absl::Status status) { result = std::move(status); });
    RunUntil([&] { return result.has_value(); });
    return *result;
  }
  std::string Output(const std::string& id) {
    return static_cast<KeepingOutput*>(
               table_->OutputOf(**table_->Find(id, all())))
        ->text();
  }

  static ProcessViewer all() { return {"", true}; }
  Loop& loop() { return *loop_; }
  Spawner& spawner() { return spawner_; }
  ProcessTable& table() { return *table_; }
  ProcessContext& context() { return context_; }
  Cgroups& cgroups() { return cgroups_; }
  SilentObserver& observer() { return observer_; }
  ProcessOutput::Client& output_client() { return *client_; }
  bool attached() const { return attached_; }
  std::string File(const std::string& name) const { return path_ + "/" + name; }

  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

 private:
  static std::string MakeDirectoryFor() {
    BlockChildSignal();
    char name[] = "/tmp/kine_process.XXXXXX";
    if (::mkdtemp(name) == nullptr) std::abort();
    return name;
  }
  const std::string path_ = MakeDirectoryFor();
  std::unique_ptr<EpollLoop> loop_ = EpollLoop::Create().value();
  std::unique_ptr<LoopThread> spawn_ = LoopThread::Start("spawn").value();
  Spawner spawner_{*loop_, spawn_->loop()};
  SilentObserver observer_;
  UniqueFd state_{[this] {
    std::filesystem::create_directory(path_ + "/state");
    return ::open((path_ + "/state").c_str(),
                  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }()};
  Cgroups cgroups_;
  ProcessContext context_{*loop_,       spawner_,   cgroups_, observer_,
                          state_.get(), ExecPath(), "",       "boot-1",
                          "/run/s",     333};
  std::unique_ptr<ProcessTable> table_;
  ProcessOutput::Client* client_ = nullptr;
  bool attached_ = false;
};

}  // namespace kine
