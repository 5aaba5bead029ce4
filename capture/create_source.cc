#include "capture/create_source.h"

#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "capture/pipewire_source.h"
#include "capture/portal/portal_source.h"
#include "capture/test_pattern_source.h"
#include "daemon/base/check.h"

namespace kine {
namespace {

// Tries one kind of source after the other until one announces a format, and
// is that one from then on.
//
// - The portal: not when it needs a person. What it casts is a desktop.
// - The only video node of the PipeWire server: after the portal, because it
//   may be a camera.
class AutoSource final : public FrameSource {
 public:
  AutoSource(SourceOptions options, Loop& loop)
      : options_(std::move(options)), loop_(loop) {}

  void SetImports(std::vector<DmabufFormat> imports) override {
    imports_ = imports;
    if (candidate_ != nullptr) candidate_->SetImports(std::move(imports));
  }

  void SetFpsMax(double fps_max) override {
    options_.fps_max = fps_max;
    if (candidate_ != nullptr) candidate_->SetFpsMax(fps_max);
  }

  void Start(Client& client) override {
    KINE_CHECK(loop_.IsCurrent() && client_ == nullptr);
    client_ = &client;
    task_ = LoopHandle(
        loop_, loop_.PostAfter(absl::ZeroDuration(), [this] { TryNext(); }));
  }

  void Stop() override {
    KINE_CHECK(loop_.IsCurrent() && client_ != nullptr);
    if (std::exchange(stopping_, true)) return;
    if (candidate_ != nullptr) return candidate_->Stop();
    FinishStop();
  }

  SourceStats stats() const override {
    return candidate_ == nullptr ? SourceStats() : candidate_->stats();
  }

 private:
  // One source that is tried, or used.
  class Candidate final : public Client {
   public:
    Candidate(AutoSource& owner, std::string kind,
              std::unique_ptr<FrameSource> source)
        : owner_(owner), kind_(std::move(kind)), source_(std::move(source)) {
      source_->SetImports(owner.imports_);
      source_->Start(*this);
    }

    SourceStats stats() const { return source_->stats(); }
    void SetImports(std::vector<DmabufFormat> imports) {
      source_->SetImports(std::move(imports));
    }
    void SetFpsMax(double fps_max) { source_->SetFpsMax(fps_max); }
    void Stop() {
      if (!std::exchange(stopping_, true)) source_->Stop();
    }
    // Not the one. Once; the next is tried when this has stopped.
    void Refuse(absl::string_view reason) {
      if (chosen_ || stopping_) return;
      owner_.refusals_.push_back({kind_, std::string(reason)});
      Stop();
    }

   private:
    void OnFormat(const VideoFormat& format,
                  const SourceDescription& description) override {
      if (stopping_) return;
      chosen_ = true;
      SourceDescription full = description;
      full.refused = owner_.Refusals();
      owner_.client_->OnFormat(format, full);
    }
    void OnFrame(Frame frame) override {
      if (!stopping_) owner_.client_->OnFrame(std::move(frame));
    }
    void OnNeverFinished(const VideoFormat& format) override {
      if (!stopping_) owner_.client_->OnNeverFinished(format);
    }
    void OnCursor(const CursorUpdate& update) override {
      if (!stopping_) owner_.client_->OnCursor(update);
    }
    void OnLost(absl::Status reason) override {
      if (chosen_ && !stopping_)
        return owner_.client_->OnLost(std::move(reason));
      Refuse(ToText(reason));
    }
    void OnFailed(absl::Status reason) override {
      if (chosen_ && !stopping_)
        return owner_.client_->OnFailed(std::move(reason));
      Refuse(ToText(reason));
    }
    void OnStopped() override { owner_.OnCandidateStopped(); }

    static std::string ToText(const absl::Status& status) {
      return std::string(status.message().data(), status.message().size());
    }

    AutoSource& owner_;
    const std::string kind_;
    const std::unique_ptr<FrameSource> source_;
    bool chosen_ = false;
    bool stopping_ = false;
  };

  void TryNext() {
    candidate_.reset();
    switch (tried_++) {
      case 0:
        return TryPortal();
      case 1:
        return TryPipeWire();
      default:
        client_->OnFailed(absl::UnavailableError(
            absl::StrCat("nothing to capture: ", Refusals())));
    }
  }

  void TryPortal() {
    SourceOptions options;
    options.fps_max = options_.fps_max;
    options.on_restore_token = std::move(options_.on_restore_token);
    options.on_needs_consent = [this] {
      candidate_->Refuse("it asks a person");
    };
    PortalSpec spec;
    const auto& wish = std::get<AutoSpec>(options_.spec);
    spec.restore_token = wish.restore_token;
    spec.cursor_as_data = wish.cursor_as_data;
    candidate_ = std::make_unique<Candidate>(
        *this, "portal",
        std::make_unique<PortalSource>(std::move(spec), std::move(options),
                                       loop_));
  }

  void TryPipeWire() {
    auto source =
        PipeWireSource::ForNode(PipeWireSpec(), options_.fps_max, loop_);
    KINE_CHECK(source.ok());  // Names nothing, so it cannot name it twice.
    candidate_ =
        std::make_unique<Candidate>(*this, "pipewire", *std::move(source));
  }

  void OnCandidateStopped() {
    // Not here: this is a call of the candidate.
    task_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
      if (stopping_) return client_->OnStopped();  // May destroy this.
      TryNext();
    }));
  }

  void FinishStop() {
    task_ = LoopHandle(loop_, loop_.PostAfter(absl::ZeroDuration(), [this] {
      client_->OnStopped();  // May destroy this.
    }));
  }

  std::string Refusals() const {
    return absl::StrJoin(
        refusals_, "; ", [](std::string* out, const SourceRefusal& refusal) {
          absl::StrAppend(out, refusal.kind, ": ", refusal.reason);
        });
  }

  SourceOptions options_;
  Loop& loop_;
  std::vector<DmabufFormat> imports_;
  Client* client_ = nullptr;
  int tried_ = 0;
  std::vector<SourceRefusal> refusals_;
  bool stopping_ = false;
  std::unique_ptr<Candidate> candidate_;
  LoopHandle task_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<FrameSource>> CreateSource(SourceOptions options,
                                                          Loop& loop) {
  if (const auto* test = std::get_if<TestPatternSpec>(&options.spec))
    return TestPatternSource::Create(*test, loop);
  if (const auto* node = std::get_if<PipeWireSpec>(&options.spec))
    return PipeWireSource::ForNode(*node, options.fps_max, loop);
  if (const auto* spec = std::get_if<PortalSpec>(&options.spec)) {
    PortalSpec portal = *spec;
    return std::make_unique<PortalSource>(std::move(portal), std::move(options),
                                          loop);
  }
  return std::make_unique<AutoSource>(std::move(options), loop);
}

std::vector<SourceListing> ListSources(absl::Duration deadline) {
  // Half of the time each.
  std::vector<SourceListing> listings = ListPipeWireSources(deadline / 2);
  const absl::Status portal = ProbePortal(deadline / 2);
  SourceListing listing;
  listing.kind = "portal";
  listing.available = portal.ok();
  listing.reason = std::string(portal.message());
  listings.push_back(std::move(listing));

  listing = SourceListing();
  listing.kind = "test";
  listing.available = true;
  listing.description = "a page that moves, drawn by the recorder itself";
  listings.push_back(std::move(listing));
  return listings;
}

}  // namespace kine
