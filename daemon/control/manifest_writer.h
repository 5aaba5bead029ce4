// ManifestWriter: keeps a recording's manifest on the disk up with its record.
// One write at a time; what changes meanwhile is written once, afterwards.
//
// Control loop only. `file_io` and the directory outlive it, or it is destroyed
// after the FileIo.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "daemon/base/fd.h"
#include "daemon/storage/file_io.h"

namespace kine {

inline constexpr char kManifestName[] = "recording.json";

class ManifestWriter {
 public:
  using Done = absl::AnyInvocable<void(absl::Status)>;

  ManifestWriter(FileIo& file_io, std::shared_ptr<const UniqueFd> directory)
      : state_(std::make_shared<State>(file_io, std::move(directory))) {}
  // Waiting callbacks are dropped; a write under way ends by itself.
  ~ManifestWriter() { state_->abandoned = true; }
  ManifestWriter(const ManifestWriter&) = delete;
  ManifestWriter& operator=(const ManifestWriter&) = delete;

  // `done` (may be null) runs when `text`, or one saved after it, is durable,
  // or could not be written.
  void Save(std::string text, Done done);

 private:
  // Outlives the writer while a write is under way.
  struct State {
    State(FileIo& io, std::shared_ptr<const UniqueFd> dir)
        : file_io(io), directory(std::move(dir)) {}
    FileIo& file_io;
    std::shared_ptr<const UniqueFd> directory;
    std::string next;
    bool writing = false;
    std::vector<Done> waiting;  // For `next`.
    std::vector<Done> current;  // For the write under way.
    bool dirty = false;
    bool abandoned = false;
  };
  static void Write(const std::shared_ptr<State>& state);

  std::shared_ptr<State> state_;
};

}  // namespace kine
