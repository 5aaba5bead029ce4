// ListPipeWireSources: one look at the registry.
#include <utility>

#include "capture/pipewire_registry.h"
#include "capture/pipewire_source.h"
#include "daemon/base/epoll_loop.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

class Lister final : public PipeWireConnection::Owner,
                     public PipeWireRegistry::Owner {
 public:
  absl::StatusOr<std::vector<VideoNode>> Run(absl::Duration deadline) {
    KINE_ASSIGN_OR_RETURN(std::unique_ptr<EpollLoop> loop, EpollLoop::Create());
    loop_ = loop.get();
    loop->PostAfter(deadline, [&] { loop->Quit(); });
    KINE_ASSIGN_OR_RETURN(std::unique_ptr<PipeWireConnection> connection,
                          PipeWireConnection::Open("", *this, *loop));
    PipeWireRegistry registry(*connection, *this);
    loop->Run();
    if (!result_.ok()) return result_;
    return registry.table().videos();
  }

  void OnConnectionLost(absl::Status reason) override {
    result_ = std::move(reason);
    loop_->Quit();
  }
  void OnSynced() override {
    result_ = absl::OkStatus();
    loop_->Quit();
  }
  void OnRegistryChanged() override {}

 private:
  EpollLoop* loop_ = nullptr;
  absl::Status result_ =
      absl::DeadlineExceededError("the PipeWire server did not answer in time");
};

}  // namespace

std::vector<SourceListing> ListPipeWireSources(absl::Duration deadline) {
  std::vector<SourceListing> listings;
  const absl::StatusOr<std::vector<VideoNode>> nodes = Lister().Run(deadline);
  if (!nodes.ok()) {
    SourceListing none;
    none.kind = "pipewire";
    none.reason = std::string(nodes.status().message());
    listings.push_back(std::move(none));
    return listings;
  }
  for (const VideoNode& node : *nodes) {
    SourceListing listing;
    listing.kind = "pipewire";
    listing.available = true;
    listing.name = node.name;
    listing.node_id = node.id;
    listing.serial = node.serial;
    listing.description = node.description;
    listing.media_class = node.media_class;
    listings.push_back(std::move(listing));
  }
  return listings;
}

}  // namespace kine
