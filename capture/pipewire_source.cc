#include "capture/pipewire_source.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "capture/pipewire_handles.h"
#include "capture/pipewire_registry.h"
#include "capture/pipewire_stream.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/status.h"

namespace kine {

// One connection at a time, on it one node at a time:
//
//   (no server) --Connect--> (no node) --Attach--> stream [+ link] --> frames
//
// Each part to the right goes when what it stands on goes. Nothing of PipeWire
// is destroyed inside its own callbacks: those Defer() what is to be done.
class PipeWireSource::Impl final : public PipeWireConnection::Owner,
                                   public PipeWireRegistry::Owner,
                                   public PipeWireStream::Owner,
                                   public PipeWireLink::Owner {
 public:
  Impl(PipeWireSpec spec, std::optional<PipeWirePortalStream> portal,
       double fps_max, Loop& loop)
      : spec_(std::move(spec)),
        portal_(std::move(portal)),
        fps_max_(fps_max),
        loop_(loop) {}

  void SetImports(std::vector<DmabufFormat> imports);
  void SetFpsMax(double fps_max);
  void Start(Client& client);
  void Stop();
  const SourceStats& stats() const { return stats_; }

  // PipeWireConnection::Owner
  void OnConnectionLost(absl::Status reason) override;
  void OnSynced() override;
  // PipeWireRegistry::Owner
  void OnRegistryChanged() override;
  // PipeWireStream::Owner
  void OnStreamReady(uint32_t node_id) override;
  void OnStreamFormat(const VideoFormat& format,
                      const PipeWireStream::Facts& facts) override;
  void OnStreamFrame(Frame frame) override;
  void OnStreamNeverFinished(const VideoFormat& format) override;
  void OnStreamCursor(const CursorUpdate& update) override;
  void OnStreamError(absl::Status reason, bool final) override;
  // PipeWireLink::Owner
  void OnLinkError(absl::Status reason) override;

 private:
  // Runs `member` on the loop, outside PipeWire, if this still exists.
  void Defer(void (Impl::*member)());
  void Connect();
  void RetryIn(absl::Duration delay, void (Impl::*member)());
  void Attach();
  void AttachAgain();
  void AttachToNode(const VideoNode& node);
  void AttachToPortal();
  void Detach();
  void Disconnect();
  void TryLink();
  absl::StatusOr<VideoNode> FindNode() const;
  void Lost(absl::Status reason);
  void Fail(absl::Status reason);
  static absl::Duration RetryMax() {
    return absl::Milliseconds(limits::kPipeWireRetryMaxMs);
  }
  bool silent() const { return client_ == nullptr || ended_; }

  const PipeWireSpec spec_;
  std::optional<PipeWirePortalStream> portal_;
  double fps_max_;
  Loop& loop_;
  std::vector<DmabufFormat> imports_;
  Client* client_ = nullptr;
  bool ended_ = false;  // Failed or stopped: nothing more is said.
  bool lost_ = false;   // OnLost was said and no OnFormat since.
  SourceStats stats_;

  // What to look for when it was found once and went away.
  std::string known_name_;
  VideoNode node_;
  bool node_listed_ = false;  // A portal may hide it from us.
  bool had_format_ = false;
  // That node failed while it was there: not at once again.
  uint32_t avoided_node_id_ = PW_ID_ANY;
  uint32_t stream_node_id_ = PW_ID_ANY;

  bool synced_ = false;  // The registry has been told whole.
  bool detach_due_ = false;
  absl::Duration retry_ = absl::Milliseconds(limits::kPipeWireRetryMs);

  // In the order in which they stand on each other.
  std::unique_ptr<SocketWatch> socket_watch_;
  std::unique_ptr<PipeWireConnection> connection_;
  std::unique_ptr<PipeWireRegistry> registry_;
  std::unique_ptr<PipeWireStream> stream_;
  std::unique_ptr<PipeWireLink> link_;
  // The node that came while we waited, and until when it is left alone.
  uint32_t settling_node_id_ = PW_ID_ANY;
  LoopHandle settle_timer_;
  LoopHandle start_timer_;
  LoopHandle retry_timer_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

void PipeWireSource::Impl::Defer(void (Impl::*member)()) {
  loop_.Post([this, member, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired() && !ended_) (this->*member)();
  });
}

void PipeWireSource::Impl::SetImports(std::vector<DmabufFormat> imports) {
  imports_ = std::move(imports);
  if (stream_ != nullptr && !detach_due_) stream_->SetImports(imports_);
}

void PipeWireSource::Impl::SetFpsMax(double fps_max) {
  fps_max_ = fps_max;
  if (stream_ != nullptr && !detach_due_) stream_->SetFpsMax(fps_max);
}

void PipeWireSource::Impl::Start(Client& client) {
  KINE_CHECK(client_ == nullptr);
  client_ = &client;
  Defer(&Impl::Connect);
}

void PipeWireSource::Impl::Stop() {
  ended_ = true;
  loop_.Post([this, alive = std::weak_ptr<int>(alive_)] {
    if (alive.expired()) return;
    Disconnect();
    socket_watch_.reset();
    if (client_ != nullptr) client_->OnStopped();
  });
}

void PipeWireSource::Impl::Connect() {
  if (connection_ != nullptr) return;
  retry_timer_.Cancel();
  absl::StatusOr<std::unique_ptr<PipeWireConnection>> connection =
      absl::UnavailableError("");
  if (portal_) {
    connection =
        PipeWireConnection::Adopt(std::move(portal_->remote), *this, loop_);
  } else {
    // Before the attempt, so that no server can come unseen between the two.
    if (socket_watch_ == nullptr) {
      absl::StatusOr<std::unique_ptr<SocketWatch>> watch =
          SocketWatch::Create(PipeWireSocketPath(spec_.remote), loop_, [this] {
            retry_ = absl::Milliseconds(limits::kPipeWireRetryMs);
            Defer(&Impl::Connect);
          });
      if (!watch.ok()) return Fail(watch.status());
      socket_watch_ = *std::move(watch);
    }
    connection = PipeWireConnection::Open(spec_.remote, *this, loop_);
  }
  if (!connection.ok()) {
    if (!absl::IsUnavailable(connection.status()))
      return Fail(connection.status());
    Lost(connection.status());
    // A socket that nobody listens on (yet): the watch tells when one is bound,
    // not when it is listened on. Nobody for so long: only the watch is left.
    if (!portal_ && retry_ <= RetryMax()) RetryIn(retry_, &Impl::Connect);
    return;
  }
  connection_ = *std::move(connection);
  synced_ = false;
  registry_ = std::make_unique<PipeWireRegistry>(*connection_, *this);
}

void PipeWireSource::Impl::RetryIn(absl::Duration delay,
                                   void (Impl::*member)()) {
  retry_ *= 2;
  retry_timer_ = LoopHandle(loop_, loop_.PostAfter(delay, [this, member] {
    if (!ended_) (this->*member)();
  }));
}

void PipeWireSource::Impl::OnConnectionLost(absl::Status reason) {
  Lost(std::move(reason));
  Defer(&Impl::Disconnect);
}

void PipeWireSource::Impl::OnSynced() {
  synced_ = true;
  Defer(&Impl::Attach);
}

void PipeWireSource::Impl::OnRegistryChanged() {
  if (!synced_) return;
  if (stream_ == nullptr) {
    Defer(&Impl::Attach);
    return;
  }
  // Deferred too: the table may not show our own ports yet.
  Defer(&Impl::TryLink);
  const bool listed = registry_->table().FindById(node_.id) != nullptr;
  if (std::exchange(node_listed_, listed) && !listed) {
    OnStreamError(absl::UnavailableError(absl::StrCat(
                      "the PipeWire node \"", node_.name, "\" is gone")),
                  /*final=*/false);
  }
}

absl::StatusOr<VideoNode> PipeWireSource::Impl::FindNode() const {
  const NodeTable& table = registry_->table();
  if (known_name_.empty()) return table.Find(spec_);
  // Ids and serials are not given twice: a node that came back is known by its
  // name only.
  if (const VideoNode* node = table.FindByName(known_name_)) return *node;
  PipeWireSpec again;
  again.node_name = known_name_;
  const bool any = spec_.node_name.empty() && !spec_.node_id && !spec_.serial;
  if (any && table.videos().size() == 1) return table.videos()[0];
  return table.Find(again);
}

void PipeWireSource::Impl::Attach() {
  if (connection_ == nullptr || stream_ != nullptr || !synced_) return;
  if (portal_) return AttachToPortal();
  absl::StatusOr<VideoNode> node = FindNode();
  if (!node.ok()) {
    // Several where one was is no reason to give up what ran.
    if (absl::IsNotFound(node.status()) || !known_name_.empty())
      return Lost(node.status());
    return Fail(node.status());
  }
  if (node->id == avoided_node_id_) return;
  // A node shows up before its owner has said what its buffers are. Linked in
  // that moment, GStreamer's sink (0.3.65) hands round unallocated ones for
  // ever. So one that we saw come is given time; one that was there is not.
  if (lost_ && std::exchange(settling_node_id_, node->id) != node->id) {
    settle_timer_ = LoopHandle(
        loop_,
        loop_.PostAfter(absl::Milliseconds(limits::kPipeWireSettleMs), [this] {
          settle_timer_.Cancel();
          if (!ended_) Attach();
        }));
  }
  if (!settle_timer_.active()) AttachToNode(*node);
}

void PipeWireSource::Impl::AttachAgain() {
  avoided_node_id_ = PW_ID_ANY;
  Attach();
}

void PipeWireSource::Impl::AttachToNode(const VideoNode& node) {
  node_ = node;
  node_listed_ = registry_->table().FindById(node.id) != nullptr;
  known_name_ = node.name;
  PipeWireStream::Options options;
  options.fps_max = fps_max_;
  options.imports = imports_;
  if (portal_) {
    options.auto_node_id = portal_->node_id;
    options.auto_serial = portal_->serial;
  }
  absl::StatusOr<std::unique_ptr<PipeWireStream>> stream =
      PipeWireStream::Connect(*connection_, options, *this, stats_, loop_);
  if (!stream.ok()) return Fail(stream.status());
  stream_ = *std::move(stream);
  start_timer_ = LoopHandle(
      loop_,
      loop_.PostAfter(absl::Milliseconds(limits::kPipeWireStartMs), [this] {
        // It may still come: everything stays as it is.
        Lost(absl::UnavailableError(absl::StrCat(
            "the PipeWire node \"", node_.name, "\" agreed on no format in ",
            limits::kPipeWireStartMs, " ms")));
      }));
}

void PipeWireSource::Impl::AttachToPortal() {
  VideoNode node;
  node.id = portal_->node_id;
  node.serial = portal_->serial.value_or(0);
  // The portal may hide everything but that node, or even that.
  const VideoNode* seen = registry_->table().FindById(node.id);
  if (seen != nullptr) node = *seen;
  AttachToNode(node);
}

void PipeWireSource::Impl::OnStreamReady(uint32_t node_id) {
  stream_node_id_ = node_id;
  Defer(&Impl::TryLink);
}

void PipeWireSource::Impl::TryLink() {
  if (portal_ || stream_ == nullptr || link_ != nullptr || detach_due_ ||
      stream_node_id_ == PW_ID_ANY)
    return;
  const NodeTable& table = registry_->table();
  const std::optional<uint32_t> out = table.PortOf(node_.id, "out");
  const std::optional<uint32_t> in = table.PortOf(stream_node_id_, "in");
  if (!out || !in) return;  // They come; each calls this again.
  link_ = std::make_unique<PipeWireLink>(
      *connection_, PipeWireLink::Ends{node_.id, *out, stream_node_id_, *in},
      *this);
}

void PipeWireSource::Impl::OnStreamFormat(const VideoFormat& format,
                                          const PipeWireStream::Facts& facts) {
  if (silent() || detach_due_) return;
  start_timer_.Cancel();
  had_format_ = true;
  lost_ = false;
  SourceDescription description;
  description.kind = portal_ ? "portal" : "pipewire";
  description.name = node_.name;
  description.node_id = node_.id;
  description.serial = node_.serial;
  description.memory = facts.memory;
  description.cursor_embedded = !facts.has_cursor;
  description.has_damage = facts.has_damage;
  description.has_times = facts.has_times;
  client_->OnFormat(format, description);
}

void PipeWireSource::Impl::OnStreamFrame(Frame frame) {
  if (silent() || lost_) return;
  retry_ = absl::Milliseconds(limits::kPipeWireRetryMs);
  client_->OnFrame(std::move(frame));
}

void PipeWireSource::Impl::OnStreamNeverFinished(const VideoFormat& format) {
  if (!silent() && !lost_) client_->OnNeverFinished(format);
}

void PipeWireSource::Impl::OnStreamCursor(const CursorUpdate& update) {
  if (!silent() && !lost_) client_->OnCursor(update);
}

void PipeWireSource::Impl::OnStreamError(absl::Status reason, bool final) {
  if (final) return Fail(std::move(reason));
  Lost(std::move(reason));
  detach_due_ = true;
  Defer(&Impl::Detach);
}

void PipeWireSource::Impl::OnLinkError(absl::Status reason) {
  if (detach_due_) return;
  // Before the first format it means that there is none that both sides know.
  OnStreamError(std::move(reason), /*final=*/!had_format_);
}

void PipeWireSource::Impl::Detach() {
  const bool failed = std::exchange(detach_due_, false) && node_listed_;
  const uint32_t node_id = node_.id;
  start_timer_.Cancel();
  link_.reset();
  stream_.reset();
  stream_node_id_ = PW_ID_ANY;
  node_ = VideoNode{};
  node_listed_ = false;
  if (portal_ || ended_ || connection_ == nullptr) return;
  if (failed) {
    // It is there and does not work: the registry will say nothing new.
    avoided_node_id_ = node_id;
    RetryIn(std::min(retry_, RetryMax()), &Impl::AttachAgain);
  }
  // Another with its name may be there already.
  Attach();
}

void PipeWireSource::Impl::Disconnect() {
  retry_timer_.Cancel();
  settle_timer_.Cancel();
  settling_node_id_ = PW_ID_ANY;  // Another server's ids.
  avoided_node_id_ = PW_ID_ANY;
  detach_due_ = false;
  synced_ = false;
  Detach();
  registry_.reset();
  connection_.reset();
  if (!ended_ && !portal_)
    RetryIn(std::min(retry_, RetryMax()), &Impl::Connect);
}

void PipeWireSource::Impl::Lost(absl::Status reason) {
  if (silent() || std::exchange(lost_, true)) return;
  client_->OnLost(std::move(reason));
}

void PipeWireSource::Impl::Fail(absl::Status reason) {
  if (silent()) return;
  ended_ = true;
  loop_.Post([this, alive = std::weak_ptr<int>(alive_)] {
    if (!alive.expired()) Disconnect();
  });
  client_->OnFailed(std::move(reason));
}

PipeWireSource::PipeWireSource(std::unique_ptr<Impl> impl)
    : impl_(std::move(impl)) {}

PipeWireSource::~PipeWireSource() = default;

absl::StatusOr<std::unique_ptr<PipeWireSource>> PipeWireSource::ForNode(
    PipeWireSpec spec, double fps_max, Loop& loop) {
  if (!spec.node_name.empty() + spec.node_id.has_value() +
          spec.serial.has_value() >
      1) {
    return absl::InvalidArgumentError(
        "name a PipeWire node by name, id or serial, not by several of them");
  }
  return std::unique_ptr<PipeWireSource>(new PipeWireSource(
      std::make_unique<Impl>(std::move(spec), std::nullopt, fps_max, loop)));
}

std::unique_ptr<PipeWireSource> PipeWireSource::ForPortalStream(
    PipeWirePortalStream stream, double fps_max, Loop& loop) {
  return std::unique_ptr<PipeWireSource>(
      new PipeWireSource(std::make_unique<Impl>(
          PipeWireSpec{}, std::move(stream), fps_max, loop)));
}

void PipeWireSource::SetImports(std::vector<DmabufFormat> imports) {
  impl_->SetImports(std::move(imports));
}

void PipeWireSource::SetFpsMax(double fps_max) { impl_->SetFpsMax(fps_max); }
void PipeWireSource::Start(Client& client) { impl_->Start(client); }
void PipeWireSource::Stop() { impl_->Stop(); }
SourceStats PipeWireSource::stats() const { return impl_->stats(); }

}  // namespace kine
