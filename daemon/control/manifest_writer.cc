#include "daemon/control/manifest_writer.h"

#include <cstddef>
#include <span>
#include <utility>

#include "daemon/storage/atomic_file.h"

namespace kine {

void ManifestWriter::Save(std::string text, Done done) {
  state_->next = std::move(text);
  state_->dirty = true;
  if (done) state_->waiting.push_back(std::move(done));
  if (!state_->writing) Write(state_);
}

void ManifestWriter::Write(const std::shared_ptr<State>& state) {
  state->writing = true;
  state->dirty = false;
  state->current = std::exchange(state->waiting, {});
  const auto bytes = std::as_bytes(std::span(state->next));
  WriteFileAtomically(state->file_io, state->directory->get(), kManifestName,
                      std::vector<std::byte>(bytes.begin(), bytes.end()),
                      IfExists::kReplace, [state](absl::Status status) {
                        state->writing = false;
                        if (state->abandoned) return;
                        std::vector<Done> current =
                            std::exchange(state->current, {});
                        // First the next write: a callback may destroy the
                        // writer.
                        if (state->dirty) Write(state);
                        for (Done& done : current) done(status);
                      });
}

}  // namespace kine
