// The files of OutputStreams, and reading: from memory, or from them.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/output/output_streams.h"
#include "daemon/storage/directory.h"

namespace kine {
void OutputStreams::OpenSpool(Stream stream) {
  Side& s = side(stream);
  s.spool_busy = true;
  auto opened = std::make_shared<UniqueFd>();
  pool_.file_io().Run(
      [opened, dir = pool_.dir_fd()]() -> absl::Status {
        KINE_ASSIGN_OR_RETURN(*opened, OpenNameless(dir));
        return absl::OkStatus();
      },
      [weak = weak_from_this(), stream, opened](absl::Status status) {
        const auto self = weak.lock();
        if (self == nullptr || self->forgotten_) return;
        self->side(stream).spool_busy = false;
        if (!status.ok()) {
          LogWarning(absl::StrCat("no file for a command's output: ",
                                  status.message()));
          self->EndSpool(stream);
          return;
        }
        self->side(stream).file = opened;
        self->Spool(stream);
      });
}

void OutputStreams::Spool(Stream stream) {
  Side& s = side(stream);
  if (s.spool_busy || forgotten_) return;
  const auto piece = s.store.NextToSpool();
  if (!piece.has_value()) return;
  const uint64_t size = piece->bytes.size();
  const uint64_t used = sides_[0].spooled + sides_[1].spooled;
  if (used + size > options_.spool_bytes) {
    s.store.EndSpool();
    Account(s);
    UpdateWatch(stream);
    return;
  }
  if (s.file == nullptr) {
    OpenSpool(stream);
    return;
  }
  if (!pool_.TakeSpool(size)) {
    EndSpool(stream);
    return;
  }
  s.spooled += size;
  s.spool_busy = true;
  std::vector<std::byte> copy(size);
  std::memcpy(copy.data(), piece->bytes.data(), size);
  // The file stays open until the write has ended.
  pool_.file_io().WriteAt(
      s.file->get(), piece->file_offset, std::move(copy),
      [weak = weak_from_this(), stream, file = s.file,
       size](absl::Status status) {
        const auto self = weak.lock();
        if (self == nullptr || self->forgotten_) return;
        Side& done = self->side(stream);
        done.spool_busy = false;
        if (!status.ok() && done.store.spooling()) {
          LogWarning(absl::StrCat("a command's output goes no more to its ",
                                  "file: ", status.message()));
          self->EndSpool(stream);
          return;
        }
        if (!done.store.spooling()) return;
        self->pool_.metrics().spooled_bytes.Add(size);
        done.store.OnSpooled();
        self->Account(done);
        self->Spool(stream);
        self->UpdateWatch(stream);
      });
}

// Before its time: what would have gone there becomes a gap.
void OutputStreams::EndSpool(Stream stream) {
  Side& s = side(stream);
  s.spool_deadline.Cancel();
  if (!s.store.spooling()) return;
  pool_.metrics().spool_refused.Add();
  s.store.EndSpool();
  Account(s);
  UpdateWatch(stream);
  Notify();
}

void OutputStreams::Read(Stream stream, uint64_t from, uint64_t max, Got got) {
  Side& s = side(stream);
  s.store.Release(from);
  Account(s);
  UpdateWatch(stream);
  const OutputStore::Place place = s.store.Locate(from, max);
  switch (place.kind) {
    case OutputStore::Place::Kind::kEnd:
      got(Chunk{place.at, ""});
      return;
    case OutputStore::Place::Kind::kMemory:
      got(Chunk{place.at, s.store.Contiguous(place.at, max)});
      return;
    case OutputStore::Place::Kind::kFile:
      ReadFile(stream, place, std::move(got));
      return;
  }
}

void OutputStreams::ReadFile(Stream stream, const OutputStore::Place& place,
                             Got got) {
  auto bytes = std::make_shared<std::string>(place.size, '\0');
  auto shared_got = std::make_shared<Got>(std::move(got));
  const std::shared_ptr<UniqueFd> file = side(stream).file;
  KINE_CHECK(file != nullptr);
  pool_.file_io().Run(
      [bytes, file, offset = place.file_offset]() -> absl::Status {
        size_t at = 0;
        while (at < bytes->size()) {
          const ssize_t count =
              ::pread(file->get(), bytes->data() + at, bytes->size() - at,
                      static_cast<off_t>(offset + at));
          if (count < 0 && errno == EINTR) continue;
          if (count < 0) return ErrnoStatus(errno, "pread");
          if (count == 0) return absl::DataLossError("the file is too short");
          at += static_cast<size_t>(count);
        }
        return absl::OkStatus();
      },
      [self = shared_from_this(), stream, bytes, shared_got,
       at = place.at](absl::Status status) {
        if (!status.ok()) {
          (*shared_got)(WithContext("cannot read the kept output", status));
          return;
        }
        // The rest of a character, where file and memory meet.
        bytes->append(
            self->side(stream).store.Contiguous(at + bytes->size(), 3));
        (*shared_got)(Chunk{at, std::move(*bytes)});
      });
}

}  // namespace kine
