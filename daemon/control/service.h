// Service: answers the HTTP routes by asking the parts; holds no state of its
// own beyond requests that it has in hand.
//
// Control loop only.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "daemon/control/artifact/artifact_routes.h"
#include "daemon/control/artifact/cursor_routes.h"
#include "daemon/control/artifact/digest_routes.h"
#include "daemon/control/artifact/frame_extractor.h"
#include "daemon/control/artifact/picture_routes.h"
#include "daemon/control/artifact/screenshot_routes.h"
#include "daemon/control/artifact/trace_routes.h"
#include "daemon/control/catalogue.h"
#include "daemon/control/info.h"
#include "daemon/control/live/live_routes.h"
#include "daemon/control/one_shot.h"
#include "daemon/control/replay/replay_routes.h"
#include "daemon/control/timeline/timeline_routes.h"
#include "ipc/event_ring.h"
#include "ipc/routes.h"

namespace kine {

class Service {
 public:
  // All references outlive the service.
  Service(const RunContext& context, Catalogue& catalogue, EventRing& events,
          const ReplayRing& replay, const DaemonInfo& info,
          bool owner_optional);
  ~Service();

  // The one table: what exists, and who answers it. The service outlives it.
  std::vector<Route> Routes();

  // Figures that only the daemon's main part knows; set before serving.
  void set_metrics(std::function<std::string()> metrics) {
    metrics_ = std::move(metrics);
  }
  FrameExtractor& extractor() { return extractor_; }
  // From then on /v1/healthz says 503, and nobody waits for a digest.
  void set_stopping();

 private:
  Viewer ViewerOf(const Request& request) const;
  void GetInfo(Reply reply) const;
  void GetHealth(Reply reply) const;
  void GetSources(Reply reply);
  void OnSources(absl::StatusOr<std::string> output);
  void FollowEvents(const Request& request, Reply reply);
  void StartRecording(const Request& request, Reply reply);
  void ListRecordings(const Request& request, Reply reply) const;
  void GetRecording(const Request& request, Reply reply);
  void StopRecording(const Request& request, Reply reply);
  void AddPauseRoutes(std::vector<Route>& routes);
  void DeleteRecording(const Request& request, Reply reply);

  const RunContext& context_;
  Catalogue& catalogue_;
  EventRing& events_;
  const ReplayRing& replay_;
  const DaemonInfo& info_;
  const bool owner_optional_;
  ArtifactRoutes artifact_routes_;
  DigestRoutes digest_routes_;
  FrameExtractor extractor_;
  PictureRoutes picture_routes_;
  CursorRoutes cursor_routes_;
  ScreenshotRoutes screenshot_routes_;
  TraceRoutes trace_routes_;
  TimelineRoutes timeline_routes_;
  LiveRoutes live_routes_;
  ReplayRoutes replay_routes_;
  std::function<std::string()> metrics_;
  bool stopping_ = false;
  // GET /v1/sources is single-flight: all who ask meanwhile share the answer.
  std::unique_ptr<OneShot> listing_;
  std::vector<Reply> listing_replies_;
};

}  // namespace kine
