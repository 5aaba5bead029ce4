#include "daemon/recorder/capture/source_side.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "capture/pixel_format.h"
#include "daemon/base/check.h"
#include "daemon/base/limits/recorders.h"
#include "daemon/recorder/capture/capture.h"
#include "daemon/recorder/capture/encode_side.h"
#include "daemon/recorder/capture/encoding.h"

namespace kine {
namespace {

std::string LayoutName(uint32_t fourcc, uint64_t modifier) {
  return absl::StrCat(PixelFormatName(fourcc), " ", ModifierName(modifier));
}

// False when it is not among them.
bool Remove(uint32_t fourcc, uint64_t modifier,
            std::vector<DmabufFormat>& formats) {
  const auto format = std::ranges::find(formats, fourcc, &DmabufFormat::fourcc);
  if (format == formats.end() || std::erase(format->modifiers, modifier) == 0)
    return false;
  if (format->modifiers.empty()) formats.erase(format);
  return true;
}

// What both take, in the order of `a`.
std::vector<DmabufFormat> InBoth(std::vector<DmabufFormat> a,
                                 const std::vector<DmabufFormat>& b) {
  for (DmabufFormat& format : a) {
    const auto other =
        std::ranges::find(b, format.fourcc, &DmabufFormat::fourcc);
    if (other == b.end()) {
      format.modifiers.clear();
      continue;
    }
    std::erase_if(format.modifiers, [&](uint64_t modifier) {
      return std::ranges::count(other->modifiers, modifier) == 0;
    });
  }
  std::erase_if(a, [](const auto& format) { return format.modifiers.empty(); });
  return a;
}

}  // namespace

SourceSide::SourceSide(const CaptureLoops& loops, Capture& capture,
                       SourceCounters& counters, CaptureFactories& factories,
                       SourceSpec spec, double fps_max)
    : loops_(loops),
      capture_(capture),
      counters_(counters),
      factories_(factories),
      fps_max_(fps_max),
      cursor_(loops.source, [this](CursorBatch batch) {
        loops_.control.Post(
            [&capture = capture_, batch = std::move(batch)]() mutable {
              capture.OnCursor(std::move(batch));
            });
      }) {
  options_.spec = std::move(spec);
  options_.on_needs_consent = [this] {
    loops_.control.Post([&capture = capture_] { capture.OnNeedsConsent(); });
  };
  options_.on_restore_token = [this](std::string token) {
    loops_.control.Post([&capture = capture_, token = std::move(token)] {
      capture.OnRestoreToken(token);
    });
  };
}

SourceSide::~SourceSide() = default;

SourceSide::Reader& SourceSide::ReaderOf(EncodeSide& side) {
  const auto reader = std::ranges::find(readers_, &side, &Reader::side);
  if (reader != readers_.end()) return *reader;
  readers_.push_back({&side});
  return readers_.back();
}

void SourceSide::OnEncoder(EncodeSide& side, EncodePump& pump, double fps_max,
                           std::vector<DmabufFormat> imports) {
  Reader& reader = ReaderOf(side);
  if (reader.ended) return;
  const bool is_new = std::exchange(reader.pump, &pump) == nullptr;
  reader.imports = std::move(imports);
  if (stopping_ || failed_) return;
  const bool faster = fps_max > fps_max_;
  fps_max_ = std::max(fps_max, fps_max_);
  if (source_ == nullptr) return StartSource();
  if (faster) source_->SetFpsMax(fps_max_);
  // Another encoder of a pump's needs a picture, which comes with the format.
  UpdateImports(/*anyway=*/!is_new);
  if (is_new) OfferNewest(pump);
}

void SourceSide::StartSource() {
  options_.fps_max = fps_max_;
  absl::StatusOr<std::unique_ptr<FrameSource>> source =
      factories_.source(std::move(options_), loops_.source);
  if (!source.ok()) return OnFailed(source.status());
  source_ = *std::move(source);
  UpdateImports(/*anyway=*/true);
  FrameSource::Client& client = *this;  // A private base.
  source_->Start(client);
}

void SourceSide::OfferNewest(EncodePump& pump) {
  if (newest_ == nullptr) return;
  Frame frame = ShareFrame(newest_);
  frame.damage = Damage::Full();
  frame.damage_is_source = false;
  // It is shown now; for how long it was before is nobody's business here.
  frame.time = frame.arrival = loops_.source.clock().Now();
  frame.time_is_source = false;
  pump.Offer(std::move(frame), pointer_.has_value() ? &*pointer_ : nullptr);
}

void SourceSide::OnNoEncoder(EncodeSide& side, EncodePump& pump) {
  Reader& reader = ReaderOf(side);
  reader.pump = &pump;
  reader.imports.reset();
  UpdateImports(/*anyway=*/false);
}

std::vector<DmabufFormat> SourceSide::Imports() const {
  std::optional<std::vector<DmabufFormat>> all;
  for (const Reader& reader : readers_) {
    if (reader.ended || !reader.imports.has_value()) continue;
    all = all.has_value() ? InBoth(*std::move(all), *reader.imports)
                          : *reader.imports;
  }
  // Nobody reads for now: as it is.
  if (!all.has_value()) return imports_;
  if (memory_only_) return {};
  for (const auto& [fourcc, modifier] : refused_)
    Remove(fourcc, modifier, *all);
  return *std::move(all);
}

void SourceSide::UpdateImports(bool anyway) {
  if (source_ == nullptr || stopping_) return;
  std::vector<DmabufFormat> imports = Imports();
  if (!anyway && imports == imports_) return;
  imports_ = std::move(imports);
  source_->SetImports(imports_);
}

// Frames of a layout that was refused already may still be on their way.
void SourceSide::OnCannotImport(const VideoFormat& format) {
  if (source_ == nullptr || stopping_ ||
      !Remove(format.fourcc, format.modifier, imports_))
    return;
  refused_.emplace_back(format.fourcc, format.modifier);
  source_->SetImports(imports_);
  const auto same =
      std::ranges::find(imports_, format.fourcc, &DmabufFormat::fourcc);
  std::string next = "shared memory";
  if (same != imports_.end()) {
    next = LayoutName(same->fourcc, same->modifiers.front());
  } else if (!imports_.empty()) {
    next = LayoutName(imports_[0].fourcc, imports_[0].modifiers.front());
  }
  loops_.control.Post([&capture = capture_, next = std::move(next),
                       layout = LayoutName(format.fourcc, format.modifier)] {
    capture.OnImportRefused(layout, next);
  });
}

void SourceSide::OnEncodeSideGone(EncodeSide& side, Encoding& encoding) {
  std::erase_if(readers_, [&](const Reader& r) { return r.side == &side; });
  loops_.control.Post([&encoding] { encoding.OnThreadsDone(); });
}

void SourceSide::Leave(EncodeSide& side, CaptureTap& tap, bool picture_known) {
  cursor_.Flush();
  loops_.encode.Post(
      [&side, &tap, picture_known] { side.Leave(tap, picture_known); });
}

void SourceSide::End(EncodeSide& side, bool last) {
  ReaderOf(side).ended = true;
  cursor_.Flush();
  if (last) {
    KINE_CHECK(!stopping_);
    stopping_ = true;
    newest_.reset();
    GiveTakers(nullptr);
    if (source_ != nullptr) source_->Stop();
  }
  // Behind the last frame that was offered before.
  loops_.encode.Post([&side] { side.Stop(); });
  if (!last) {
    UpdateImports(/*anyway=*/false);
  } else if (source_ == nullptr) {
    OnStopped();
  }
}

void SourceSide::OnFormat(const VideoFormat& format,
                          const SourceDescription& description) {
  // What was told as data is in the pictures now.
  if (description.cursor_embedded && pointer_.has_value()) {
    pointer_->shape = nullptr;
    pointer_offered_ = false;
  }
  loops_.control.Post([&capture = capture_, format, description] {
    capture.OnFormat(format, description);
  });
}

void SourceSide::OnFrame(Frame frame) {
  CopyCounters();
  newest_.reset();
  const bool keep = frame.may_be_kept && !stopping_;
  const auto whole = std::make_shared<const Frame>(std::move(frame));
  for (const Reader& reader : readers_)
    if (reader.pump != nullptr && !reader.ended)
      reader.pump->Offer(ShareFrame(whole),
                         pointer_offered_ ? nullptr : &*pointer_);
  pointer_offered_ = true;
  if (keep) newest_ = whole;
  GiveTakers(whole);
}

void SourceSide::TakePicture(FrameTaker taker) {
  takers_.push_back(std::move(taker));
  if (newest_ != nullptr || source_ == nullptr || failed_ || stopping_)
    return GiveTakers(newest_);
  if (takers_timer_.active()) return;
  takers_timer_ = LoopHandle(
      loops_.source,
      loops_.source.PostAfter(absl::Milliseconds(limits::kShotWaitMs),
                              [this] { GiveTakers(nullptr); }));
}

void SourceSide::GiveTakers(const std::shared_ptr<const Frame>& frame) {
  takers_timer_.Cancel();
  for (FrameTaker& taker : std::exchange(takers_, {}))
    loops_.control.Post(
        [taker = std::move(taker), frame]() mutable { taker(frame); });
}

void SourceSide::OnNeverFinished(const VideoFormat& format) {
  if (std::exchange(memory_only_, true)) return;
  imports_.clear();
  source_->SetImports({});
  loops_.control.Post([&capture = capture_,
                       layout = LayoutName(format.fourcc, format.modifier)] {
    capture.OnNeverFinished(layout);
  });
}

void SourceSide::OnCursor(const CursorUpdate& update) {
  if (!stopping_) cursor_.Add(update);
  pointer_ = Pointer{update.visible ? cursor_.shape() : nullptr, update.x,
                     update.y, update.time};
  if (!std::exchange(pointer_offered_, false)) return;
  // The frame that it comes with, if any, comes before this.
  loops_.source.Post([this] { OfferPointer(); });
}

void SourceSide::OfferPointer() {
  if (std::exchange(pointer_offered_, true)) return;
  for (const Reader& reader : readers_)
    if (reader.pump != nullptr && !reader.ended)
      reader.pump->OfferPointer(*pointer_);
}

void SourceSide::OnLost(absl::Status reason) {
  newest_.reset();  // Not what the screen shows any more.
  loops_.control.Post(
      [&capture = capture_, reason = std::move(reason),
       when = loops_.source.clock().Now()] { capture.OnLost(reason, when); });
}

void SourceSide::OnFailed(absl::Status reason) {
  failed_ = true;
  newest_.reset();
  GiveTakers(nullptr);
  loops_.control.Post([&capture = capture_, reason = std::move(reason)] {
    capture.OnSourceFailed(reason);
  });
}

// Destroys the source in a task of its own, not under its feet.
void SourceSide::OnStopped() {
  loops_.source.Post([this] {
    CopyCounters();
    source_.reset();
    loops_.control.Post([&capture = capture_] { capture.OnSourceGone(); });
  });
}

void SourceSide::CopyCounters() {
  if (source_ != nullptr) counters_.Set(source_->stats());
}

}  // namespace kine
