#include "daemon/recorder/shots.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/recorders.h"
#include "daemon/recorder/frame_png.h"

namespace kine {

struct Shots::Job {
  link::Shot shot;
  UniqueFd out;
};

void Shots::Take(const link::Shot& shot, UniqueFd out) {
  ++taking_;
  link::ShotTaken refused;
  refused.id = shot.id;
  if (!out.valid()) {
    refused.error = "a shot message carries the memory, and nothing else";
  } else if (taking_ > limits::kShotsAtOnce) {
    refused.error = absl::StrCat("this recorder makes ", limits::kShotsAtOnce,
                                 " pictures already");
  }
  auto job = std::make_unique<Job>(Job{shot, std::move(out)});
  const auto take = [&] {
    return captures_.TakePicture(
        shot.settings.source, [this, job = std::move(job)](
                                  std::shared_ptr<const Frame> frame) mutable {
          OnFrame(std::move(job), std::move(frame));
        });
  };
  if (refused.error.empty() && !take())
    refused.error = "this source is not captured here";
  if (refused.error.empty()) return;
  control_.Post([this, refused = std::move(refused)]() mutable {
    Answer(std::move(refused));
  });
}

void Shots::OnFrame(std::unique_ptr<Job> job,
                    std::shared_ptr<const Frame> frame) {
  if (frame == nullptr) {
    link::ShotTaken taken;
    taken.id = job->shot.id;
    taken.error = "no picture yet";
    return Answer(std::move(taken));
  }
  pictures_.Post(
      [this, job = std::move(job), frame = std::move(frame)]() mutable {
        link::ShotTaken taken;
        taken.id = job->shot.id;
        const absl::StatusOr<WrittenPng> png =
            WritePng(*frame, job->shot.width, job->shot.height, job->out.get());
        frame.reset();  // The source wants its buffer back.
        if (png.ok()) {
          taken.width = png->width;
          taken.height = png->height;
          taken.bytes = png->bytes;
        } else {
          taken.error = std::string(png.status().message());
        }
        control_.Post([this, taken = std::move(taken)]() mutable {
          Answer(std::move(taken));
        });
      });
}

void Shots::Answer(link::ShotTaken taken) {
  --taking_;
  on_taken_(std::move(taken));  // May destroy this.
}

}  // namespace kine
