#include "tests/fakes/fake_source.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <utility>

#include "daemon/base/check.h"

namespace kine {
namespace {

constexpr int kHeight = 48;
// Nobody reads from it.
constexpr int kAnyFd = 0;

}  // namespace

FakeSource::FakeSource(Loop& loop, FakeSourceLog& log)
    : loop_(loop), log_(log) {
  KINE_CHECK(loop_.IsCurrent());
  ++log_.sources_alive;
}

FakeSource::~FakeSource() {
  KINE_CHECK(loop_.IsCurrent());
  --log_.sources_alive;
}

void FakeSource::SetImports(std::vector<DmabufFormat> imports) {
  KINE_CHECK(loop_.IsCurrent());
  modifier_.reset();
  for (const DmabufFormat& format : imports) {
    if (format.fourcc != DRM_FORMAT_XRGB8888) continue;
    const auto both =
        std::find_first_of(format.modifiers.begin(), format.modifiers.end(),
                           log_.modifiers.begin(), log_.modifiers.end());
    if (both != format.modifiers.end()) modifier_ = *both;
  }
  log_.imports.push_back(std::move(imports));
  if (client_ == nullptr) return;
  renegotiate_ =
      LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
        renegotiate_.Cancel();
        Announce();
      }));
}

void FakeSource::Start(Client& client) {
  KINE_CHECK(loop_.IsCurrent() && client_ == nullptr);
  client_ = &client;
  timer_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
    // A source whose input is not there says so instead.
    if (log_.script.empty() || log_.script[0].kind != FakeSourceEvent::kLost)
      Announce();
    Next();
  }));
}

void FakeSource::Stop() {
  KINE_CHECK(loop_.IsCurrent() && client_ != nullptr);
  renegotiate_.Cancel();
  timer_ = LoopHandle(loop_, loop_.PostAfter(log_.stop_takes, [this] {
    client_->OnStopped();  // May destroy this.
  }));
}

void FakeSource::Next() {
  if (position_ == log_.script.size()) return;
  const FakeSourceEvent event = log_.script[position_++];
  timer_ = LoopHandle(loop_, loop_.PostAfter(event.after, [this, event] {
    Play(event.kind);
    if (event.kind != FakeSourceEvent::kFailed) Next();
  }));
}

void FakeSource::Play(FakeSourceEvent::Kind kind) {
  switch (kind) {
    case FakeSourceEvent::kDrainedTwo:
      ++log_.stats.received;
      ++log_.stats.lost_in_drain;
      [[fallthrough]];
    case FakeSourceEvent::kFrame:
      return Lend(absl::Milliseconds(1), /*damaged=*/true);
    case FakeSourceEvent::kStillFrame:
      return Lend(absl::Milliseconds(1), /*damaged=*/false);
    case FakeSourceEvent::kOldFrame:
      return Lend(absl::Seconds(3), /*damaged=*/true);
    case FakeSourceEvent::kCorrupted:
      ++log_.stats.corrupted;
      return;
    case FakeSourceEvent::kGap:
      ++log_.stats.lost_in_source;
      return;
    case FakeSourceEvent::kPointer: {
      CursorUpdate update;
      update.time = loop_.clock().Now();
      update.visible = true;
      update.x = ++pointer_x_;
      update.width = width_;
      update.height = kHeight;
      return client_->OnCursor(update);
    }
    case FakeSourceEvent::kNewSize:
      width_ = width_ == 64 ? 96 : 64;
      return Announce();
    case FakeSourceEvent::kLost:
      return client_->OnLost(absl::UnavailableError("the fake is gone"));
    case FakeSourceEvent::kBack:
      return Announce();
    case FakeSourceEvent::kUnfinished: {
      VideoFormat format;
      format.fourcc = DRM_FORMAT_XRGB8888;
      format.modifier = modifier_.value_or(DRM_FORMAT_MOD_LINEAR);
      return client_->OnNeverFinished(format);
    }
    case FakeSourceEvent::kFailed:
      return client_->OnFailed(absl::PermissionDeniedError("the fake failed"));
  }
}

void FakeSource::Announce() {
  VideoFormat format;
  format.fourcc = DRM_FORMAT_XRGB8888;
  format.modifier = modifier_.value_or(DRM_FORMAT_MOD_LINEAR);
  format.width = width_;
  format.height = kHeight;
  SourceDescription description;
  description.kind = "fake";
  description.cursor_embedded = !log_.tells_pointer;
  description.memory = modifier_ ? "DmaBuf" : "internal";
  client_->OnFormat(format, description);
}

void FakeSource::Lend(absl::Duration age, bool damaged) {
  ++log_.stats.received;
  ++log_.frames_lent;
  Frame frame([&log = log_] { ++log.frames_back; });
  frame.format.fourcc = DRM_FORMAT_XRGB8888;
  frame.format.modifier = modifier_.value_or(DRM_FORMAT_MOD_LINEAR);
  if (modifier_) {
    frame.plane_count = 1;
    frame.planes[0].fd = kAnyFd;
  }
  frame.format.width = width_;
  frame.format.height = kHeight;
  frame.crop = Rect{0, 0, width_, kHeight};
  frame.arrival = loop_.clock().Now();
  frame.time = frame.arrival - age;
  frame.time_is_source = true;
  if (!damaged) frame.damage = Damage();
  frame.damage_is_source = true;
  frame.buffer_id = buffer_++ % 4;
  frame.may_be_kept = true;
  client_->OnFrame(std::move(frame));
}

}  // namespace kine
