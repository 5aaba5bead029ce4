// OutputStreams: one command's streams: read from its pipes, kept in
// OutputStores and their files, given to who asks. StoredOutput: its face to
// the supervisor.
//
// Control loop only. Shared by the supervisor's StoredOutput and by readers:
// they may outlive the command's record, and then find it forgotten().
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "daemon/base/fd.h"
#include "daemon/base/loop.h"
#include "daemon/output/input_pipe.h"
#include "daemon/output/line_pattern.h"
#include "daemon/output/output_pool.h"
#include "daemon/output/output_store.h"
#include "daemon/process/process_output.h"

namespace kine {

enum class Stream { kOut, kErr };

class OutputStreams : public std::enable_shared_from_this<OutputStreams> {
 public:
  struct Chunk {
    uint64_t at = 0;  // Behind a gap when it is more than was asked for.
    std::string bytes;
  };
  using Got = absl::AnyInvocable<void(absl::StatusOr<Chunk>)>;

  OutputStreams(OutputPool& pool, const ProcessRequest& request, ProcessFds fds,
                ProcessOutput::Client& client);
  ~OutputStreams();
  OutputStreams(const OutputStreams&) = delete;
  OutputStreams& operator=(const OutputStreams&) = delete;
  void Start();  // Once, when shared.

  bool merged() const { return merged_; }
  const OutputStore& store(Stream stream) const { return side(stream).store; }
  // Nothing more is expected: the end of the stream, or quiet after the exit.
  bool ended(Stream stream) const;
  // Given up for others, or the record is gone.
  bool forgotten() const { return forgotten_; }
  // Null unless standard input is a pipe or a terminal.
  InputPipe* input() { return input_.has_value() ? &*input_ : nullptr; }

  // At most `max` bytes from `from` on, without a gap among them; none when
  // there are none yet. Inside the call, or later when the file is read. `from`
  // also says that the bytes before it are no longer needed (on_full=block).
  void Read(Stream stream, uint64_t from, uint64_t max, Got got);

  // `changed` runs, later, when there is more to see; until RemoveWatcher().
  uint64_t AddWatcher(absl::AnyInvocable<void()> changed);
  void RemoveWatcher(uint64_t id);
  void Wake();  // The watchers, once, later.

  // StoredOutput's.
  void DrainAfterExit();
  void Close();
  void Detach();  // No client from now on, and everything is forgotten.
  void Forget();
  ProcessOutput::Totals totals() const;
  int terminal() const;
  OutputPool& pool() { return pool_; }

 private:
  struct Side {
    explicit Side(const OutputStore::Options& options) : store(options) {}
    OutputStore store;
    UniqueFd fd;
    LoopHandle watch;
    std::unique_ptr<LinePattern> pattern;
    std::shared_ptr<UniqueFd> file;
    bool spool_busy = false;
    LoopHandle spool_deadline;
    int64_t memory = 0;  // As the pool knows it.
    uint64_t spooled = 0;
  };

  Side& side(Stream stream) { return sides_[static_cast<size_t>(stream)]; }
  const Side& side(Stream stream) const {
    return sides_[static_cast<size_t>(stream)];
  }
  void UpdateWatch(Stream stream);
  // False when the stream has nothing now.
  bool ReadOnce(Stream stream);
  void ReadTurn(Stream stream);
  void Took(Stream stream, absl::string_view bytes);
  void Account(Side& side);
  void Spool(Stream stream);
  void OpenSpool(Stream stream);
  void EndSpool(Stream stream);
  void ReadFile(Stream stream, const OutputStore::Place& place, Got got);
  void Notify();
  void ArmQuiet();

  OutputPool& pool_;
  ProcessOutput::Client* client_;
  const ProcessRequest::Output options_;
  const bool merged_;
  const bool terminal_;
  std::array<Side, 2> sides_;
  std::optional<InputPipe> input_;
  bool exited_ = false;
  bool quiet_ = false;
  bool closed_ = false;
  bool forgotten_ = false;
  // Of these, what the client is to be told.
  bool posted_ = false;
  bool read_some_ = false;
  bool found_ = false;
  bool over_limit_ = false;
  bool told_limit_ = false;
  uint64_t next_watcher_ = 1;
  std::vector<std::pair<uint64_t, absl::AnyInvocable<void()>>> watchers_;
  LoopHandle quiet_timer_;
};

class StoredOutput final : public ProcessOutput {
 public:
  explicit StoredOutput(std::shared_ptr<OutputStreams> streams)
      : streams_(std::move(streams)) {}
  ~StoredOutput() override { streams_->Detach(); }
  void DrainAfterExit() override { streams_->DrainAfterExit(); }
  void Close() override { streams_->Close(); }
  Totals totals() const override { return streams_->totals(); }
  int terminal() const override { return streams_->terminal(); }
  const std::shared_ptr<OutputStreams>& streams() const { return streams_; }

 private:
  const std::shared_ptr<OutputStreams> streams_;
};

}  // namespace kine
