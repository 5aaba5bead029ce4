#include "daemon/control/artifact/frame_extractor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/pictures.h"
#include "daemon/base/log.h"
#include "daemon/base/status.h"
#include "daemon/programs/find_program.h"
#include "daemon/storage/atomic_file.h"
#include "daemon/storage/directory.h"
#include "ipc/json_in.h"
#include "ipc/problem.h"

namespace kine {
namespace {

constexpr char kThumbnailName[] = "thumbnail.jpg";

absl::StatusOr<FrameExtractor::Picture> ParseAnswer(
    const std::string& json, std::shared_ptr<const UniqueFd> file) {
  FrameExtractor::Picture picture;
  picture.file = std::move(file);
  std::string error;
  int code = 0;
  KINE_RETURN_IF_ERROR(
      BindJson(json, {.unknown = JsonUnknown::kIgnore}, [&](JsonObject& o) {
        o.Int("bytes", picture.bytes);
        o.Int("time_us", picture.time_us);
        o.Text("error", error, {.max = 4096, .charset = JsonTextRule::kAny});
        o.Int("code", code, 0, 16);
      }));
  if (!error.empty())
    return absl::Status(static_cast<absl::StatusCode>(code), error);
  if (picture.bytes == 0)
    return absl::InternalError("kinescope-frames made an empty picture");
  return picture;
}

// What the program must know of the file's times. One that is growing may be
// finished, with compact times, before it is read.
std::vector<std::string> TimeArguments(const RecordingRecord& record) {
  std::vector<std::string> out;
  int64_t recorded_us = 0;
  if (!IsFinished(record.state)) {
    out.push_back(
        absl::StrCat("--durable_bytes=", record.counters.durable_bytes));
    if (record.request.settings.idle.compact_after_ms)
      recorded_us = std::max<int64_t>(1, record.counters.media_us);
  } else if (record.compact()) {
    recorded_us = record.duration_us;
  }
  if (recorded_us > 0)
    out.push_back(absl::StrCat("--recorded_us=", recorded_us));
  return out;
}

// By its first and last marker: what was cut or is something else is made anew.
bool IsWholeJpeg(int fd, off_t size) {
  uint8_t marks[4] = {};
  return size > 4 && ::pread(fd, marks, 2, 0) == 2 &&
         ::pread(fd, marks + 2, 2, size - 2) == 2 && marks[0] == 0xff &&
         marks[1] == 0xd8 && marks[2] == 0xff && marks[3] == 0xd9;
}

// NOT_FOUND when there is none yet, or none that is whole.
absl::StatusOr<FrameExtractor::Picture> OpenThumbnail(int recordings_fd,
                                                      const std::string& id) {
  KINE_ASSIGN_OR_RETURN(
      UniqueFd file,
      OpenBeneath(recordings_fd, absl::StrCat(id, "/", kThumbnailName),
                  O_RDONLY | O_CLOEXEC));
  struct stat st;
  if (::fstat(file.get(), &st) != 0) return ErrnoStatus(errno, "fstat");
  if (!S_ISREG(st.st_mode) ||
      static_cast<uint64_t>(st.st_size) > limits::kThumbnailBytesMax ||
      !IsWholeJpeg(file.get(), st.st_size))
    return absl::NotFoundError("no thumbnail");
  FrameExtractor::Picture picture;
  picture.file = std::make_shared<const UniqueFd>(std::move(file));
  picture.bytes = static_cast<uint64_t>(st.st_size);
  return picture;
}

absl::Status KeepThumbnail(int recordings_fd, const std::string& id,
                           const FrameExtractor::Picture& picture) {
  if (picture.bytes > limits::kThumbnailBytesMax)
    return absl::ResourceExhaustedError("the thumbnail is too large to keep");
  std::vector<std::byte> bytes(picture.bytes);
  if (::pread(picture.file->get(), bytes.data(), bytes.size(), 0) !=
      static_cast<ssize_t>(bytes.size()))
    return ErrnoStatus(errno, "read from memory");
  KINE_ASSIGN_OR_RETURN(
      const UniqueFd directory,
      OpenBeneath(recordings_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return WriteFileAtomically(directory.get(), kThumbnailName, bytes,
                             IfExists::kReplace);
}

}  // namespace

struct FrameExtractor::Job {
  std::string id;
  std::vector<std::string> arguments;
  Done done;
  std::unique_ptr<OneShot> run;
};

FrameExtractor::FrameExtractor(const RunContext& context)
    : context_(context),
      program_(FindProgram("kinescope-frames")),
      self_(std::make_shared<FrameExtractor*>(this)) {}

FrameExtractor::~FrameExtractor() { *self_ = nullptr; }

void FrameExtractor::Frame(const RecordingRecord& record, int64_t at_us,
                           Done done) {
  Add(record, {"--format=png", absl::StrCat("--at_media_us=", at_us)},
      std::move(done));
}

void FrameExtractor::Thumbnail(const RecordingRecord& record, Done done) {
  // More may change in it yet.
  if (!IsFinished(record.state))
    return Add(record, {"--format=jpeg", "--busiest"}, std::move(done));
  auto kept = std::make_shared<absl::StatusOr<Picture>>(
      absl::NotFoundError("no thumbnail"));
  context_.file_io.Run(
      [kept, id = record.id,
       recordings = context_.state_dir.recordings_fd()]() -> absl::Status {
        *kept = OpenThumbnail(recordings, id);
        return absl::OkStatus();
      },
      [this, self = self_, kept, record,
       done = std::move(done)](absl::Status) mutable {
        if (kept->ok()) return done(*std::move(*kept));
        if (*self == nullptr)
          return done(absl::UnavailableError("the daemon is stopping"));
        Add(record, {"--format=jpeg", "--busiest"},
            [this, self, id = record.id,
             done = std::move(done)](absl::StatusOr<Picture> picture) mutable {
              if (picture.ok() && *self != nullptr) Keep(id, *picture);
              done(std::move(picture));
            });
      });
}

void FrameExtractor::Keep(const std::string& id, const Picture& picture) {
  context_.file_io.Run(
      [id, picture, recordings = context_.state_dir.recordings_fd()] {
        return KeepThumbnail(recordings, id, picture);
      },
      [id](absl::Status status) {
        // Deleted meanwhile, or no space: it is made again when asked for.
        if (!status.ok() && !absl::IsNotFound(status))
          LogWarning(
              absl::StrCat("recording ", Quoted(id),
                           ": the thumbnail was not kept: ", status.message()));
      });
}

void FrameExtractor::Add(const RecordingRecord& record,
                         std::vector<std::string> arguments, Done done) {
  if (!program_.ok())
    return done(absl::UnimplementedError(absl::StrCat(
        "pictures need kinescope-frames: ", program_.status().message(),
        "; install it (it is built where libavcodec-dev is)")));
  if (waiting_.size() >= limits::kPicturesWaiting)
    return done(absl::ResourceExhaustedError(
        absl::StrCat("limit pictures (", limits::kPicturesWaiting,
                     " waiting) is reached; try again")));
  auto job = std::make_unique<Job>();
  job->id = record.id;
  job->arguments = std::move(arguments);
  job->arguments.insert(job->arguments.begin(), *program_);
  job->arguments.push_back(absl::StrCat("--true_width=", record.true_width));
  job->arguments.push_back(absl::StrCat("--true_height=", record.true_height));
  for (std::string& argument : TimeArguments(record))
    job->arguments.push_back(std::move(argument));
  job->done = std::move(done);
  waiting_.push_back(std::move(job));
  StartNext();
}

void FrameExtractor::StartNext() {
  while (running_.size() < limits::kPicturesAtOnce && !waiting_.empty()) {
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    Run(*running_.back());
  }
}

void FrameExtractor::Run(Job& job) {
  struct Files {
    UniqueFd video;
    UniqueFd out;
    std::shared_ptr<const UniqueFd> result;
  };
  auto files = std::make_shared<Files>();
  context_.file_io.Run(
      [files, id = job.id,
       recordings = context_.state_dir.recordings_fd()]() -> absl::Status {
        KINE_ASSIGN_OR_RETURN(
            files->video,
            OpenBeneath(recordings, absl::StrCat(id, "/video.mp4"),
                        O_RDONLY | O_CLOEXEC));
        files->out = UniqueFd(::memfd_create("kine-picture", MFD_CLOEXEC));
        if (!files->out.valid()) return ErrnoStatus(errno, "memfd_create");
        const int copy = ::fcntl(files->out.get(), F_DUPFD_CLOEXEC, 0);
        if (copy < 0) return ErrnoStatus(errno, "dup");
        files->result = std::make_shared<const UniqueFd>(copy);
        return absl::OkStatus();
      },
      [this, self = self_, &job, files](absl::Status status) {
        if (*self == nullptr) return;
        if (!status.ok()) return End(job, status);
        std::vector<UniqueFd> fds;
        fds.push_back(std::move(files->video));
        fds.push_back(std::move(files->out));
        job.run = std::make_unique<OneShot>(
            context_.loop, context_.spawner, job.arguments, std::move(fds),
            absl::Milliseconds(limits::kPictureMs),
            [this, &job,
             result = files->result](absl::StatusOr<std::string> output) {
              End(job, output.ok() ? ParseAnswer(*output, result)
                                   : absl::StatusOr<Picture>(output.status()));
            });
      });
}

void FrameExtractor::End(Job& job, absl::StatusOr<Picture> picture) {
  const auto at = std::find_if(
      running_.begin(), running_.end(),
      [&job](const std::unique_ptr<Job>& one) { return one.get() == &job; });
  // Its run is what calls this: it goes when this is over.
  const std::unique_ptr<Job> ended = std::move(*at);
  running_.erase(at);
  StartNext();
  ended->done(std::move(picture));
}

}  // namespace kine
