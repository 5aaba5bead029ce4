#include "capture/pipewire_registry.h"

#include <pipewire/keys.h>

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/base/limits.h"

// PipeWire's method macros are C (casts, statement expressions) in whoever's
// line uses them.
#pragma GCC diagnostic ignored "-Wold-style-cast"
#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-statement-expression"
#endif

namespace kine {
namespace {

// Names go into messages and replies: not longer than that.
constexpr size_t kTextMax = 256;

absl::string_view Lookup(const spa_dict* props, const char* key) {
  const char* value = props != nullptr ? spa_dict_lookup(props, key) : nullptr;
  return absl::string_view(value != nullptr ? value : "");
}

std::string Text(const spa_dict* props, const char* key) {
  return std::string(Lookup(props, key).substr(0, kTextMax));
}

bool IsVideo(const VideoNode& node) {
  return absl::StartsWith(node.media_class, "Video/Source") ||
         node.media_class == "Stream/Output/Video";
}

std::string Describe(const PipeWireSpec& spec) {
  if (!spec.node_name.empty())
    return absl::StrCat("named \"", spec.node_name, "\"");
  if (spec.node_id) return absl::StrCat("with id ", *spec.node_id);
  if (spec.serial) return absl::StrCat("with serial ", *spec.serial);
  return "";
}

}  // namespace

void NodeTable::Add(uint32_t id, absl::string_view type,
                    const spa_dict* props) {
  if (type == PW_TYPE_INTERFACE_Node) {
    if (nodes_.size() >= limits::kPipeWireNodesMax) return;
    VideoNode node;
    node.id = id;
    // Absent on servers before 0.3.49.
    if (!absl::SimpleAtoi(Lookup(props, PW_KEY_OBJECT_SERIAL), &node.serial))
      node.serial = 0;
    node.name = Text(props, PW_KEY_NODE_NAME);
    node.description = Text(props, PW_KEY_NODE_DESCRIPTION);
    if (node.description.empty())
      node.description = Text(props, PW_KEY_NODE_NICK);
    node.media_class = Text(props, PW_KEY_MEDIA_CLASS);
    nodes_[id] = std::move(node);
  } else if (type == PW_TYPE_INTERFACE_Port) {
    Port port;
    if (ports_.size() >= limits::kPipeWireNodesMax ||
        Lookup(props, PW_KEY_PORT_MONITOR) == "true" ||
        !absl::SimpleAtoi(Lookup(props, PW_KEY_NODE_ID), &port.node_id))
      return;
    port.direction = Text(props, PW_KEY_PORT_DIRECTION);
    ports_[id] = std::move(port);
  }
}

void NodeTable::Remove(uint32_t id) {
  nodes_.erase(id);
  ports_.erase(id);
}

std::vector<VideoNode> NodeTable::videos() const {
  std::vector<VideoNode> found;
  for (const auto& [id, node] : nodes_)
    if (IsVideo(node)) found.push_back(node);
  return found;
}

const VideoNode* NodeTable::FindById(uint32_t id) const {
  const auto at = nodes_.find(id);
  return at == nodes_.end() ? nullptr : &at->second;
}

const VideoNode* NodeTable::FindByName(absl::string_view name) const {
  const VideoNode* newest = nullptr;
  for (const auto& [id, node] : nodes_) {
    if (node.name != name || !IsVideo(node)) continue;
    if (newest == nullptr || node.serial > newest->serial) newest = &node;
  }
  return newest;
}

const VideoNode* NodeTable::FindIf(const PipeWireSpec& spec) const {
  if (spec.node_id) return FindById(*spec.node_id);
  if (!spec.node_name.empty()) {
    if (const VideoNode* video = FindByName(spec.node_name)) return video;
  }
  for (const auto& [id, node] : nodes_) {
    if (spec.serial ? node.serial == *spec.serial
                    : !node.name.empty() && node.name == spec.node_name)
      return &node;
  }
  return nullptr;
}

absl::StatusOr<VideoNode> NodeTable::Find(const PipeWireSpec& spec) const {
  const std::string wanted = Describe(spec);
  if (wanted.empty()) {
    const std::vector<VideoNode> all = videos();
    if (all.size() == 1) return all[0];
    if (all.empty()) return absl::NotFoundError("PipeWire has no video source");
    return absl::FailedPreconditionError(absl::StrCat(
        "PipeWire has ", all.size(), " video sources; name one of: ", List()));
  }
  const VideoNode* node = FindIf(spec);
  if (node == nullptr) {
    return absl::NotFoundError(
        absl::StrCat("no PipeWire node ", wanted, "; there are: ", List()));
  }
  if (!IsVideo(*node)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the PipeWire node ", wanted, " is no video source but \"",
                     node->media_class, "\"; there are: ", List()));
  }
  return *node;
}

std::string NodeTable::List() const {
  constexpr size_t kShown = 16;
  const std::vector<VideoNode> all = videos();
  if (all.empty()) return "no video sources";
  std::vector<std::string> names;
  for (const VideoNode& node : all) {
    if (names.size() == kShown) {
      names.push_back(absl::StrCat("and ", all.size() - kShown, " more"));
      break;
    }
    names.push_back(absl::StrCat("\"", node.name, "\" (id ", node.id, ")"));
  }
  return absl::StrJoin(names, ", ");
}

std::optional<uint32_t> NodeTable::PortOf(uint32_t node_id,
                                          absl::string_view direction) const {
  for (const auto& [id, port] : ports_)
    if (port.node_id == node_id && port.direction == direction) return id;
  return std::nullopt;
}

PipeWireRegistry::PipeWireRegistry(PipeWireConnection& connection, Owner& owner)
    : owner_(owner) {
  static const pw_registry_events kEvents = [] {
    pw_registry_events events{};
    events.version = PW_VERSION_REGISTRY_EVENTS;
    events.global = [](void* self, uint32_t id, uint32_t, const char* type,
                       uint32_t, const spa_dict* props) {
      auto& registry = *static_cast<PipeWireRegistry*>(self);
      registry.table_.Add(id, type, props);
      registry.owner_.OnRegistryChanged();
    };
    events.global_remove = [](void* self, uint32_t id) {
      auto& registry = *static_cast<PipeWireRegistry*>(self);
      registry.table_.Remove(id);
      registry.owner_.OnRegistryChanged();
    };
    return events;
  }();
  pw_registry* registry =
      pw_core_get_registry(connection.core(), PW_VERSION_REGISTRY, 0);
  proxy_.reset(reinterpret_cast<pw_proxy*>(registry));
  pw_registry_add_listener(registry, hook_.get(), &kEvents, this);
  connection.Sync();
}

}  // namespace kine
