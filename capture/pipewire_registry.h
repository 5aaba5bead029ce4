// What a PipeWire server says about its video nodes and their ports, which of
// them is meant, and the link to it.
//
// Thread: the loop's. NodeTable is pure.
#pragma once

#include <spa/utils/dict.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "capture/create_source.h"
#include "capture/pipewire_handles.h"

namespace kine {

struct VideoNode {
  uint32_t id = 0;
  uint64_t serial = 0;
  std::string name;         // node.name
  std::string description;  // node.description or node.nick
  std::string media_class;
};

// The globals that matter to us, by id. Limited: a client may make any number
// of nodes, and more than limits::kPipeWireNodesMax are not kept.
class NodeTable {
 public:
  // A global of the registry. Kinds that do not matter are ignored.
  void Add(uint32_t id, absl::string_view type, const spa_dict* props);
  void Remove(uint32_t id);

  // Nodes whose media class is Video/Source... or Stream/Output/Video.
  std::vector<VideoNode> videos() const;
  const VideoNode* FindById(uint32_t id) const;
  // The newest video node with that name.
  const VideoNode* FindByName(absl::string_view name) const;

  // NOT_FOUND: it may still come; the text lists what there is.
  // FAILED_PRECONDITION: it is there and can never be recorded, or "the only
  // one" are several.
  absl::StatusOr<VideoNode> Find(const PipeWireSpec& spec) const;

  // The first port of a node in a direction ("in", "out") that is no monitor.
  std::optional<uint32_t> PortOf(uint32_t node_id,
                                 absl::string_view direction) const;

 private:
  struct Port {
    uint32_t node_id = 0;
    std::string direction;
  };

  std::string List() const;
  const VideoNode* FindIf(const PipeWireSpec& spec) const;

  std::map<uint32_t, VideoNode> nodes_;  // Of any kind, so that we can say so.
  std::map<uint32_t, Port> ports_;
};

// The table of one connection, kept up to date.
class PipeWireRegistry {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // From inside PipeWire, after each change of the table.
    virtual void OnRegistryChanged() = 0;
  };

  // The whole table has been told by the connection's next OnSynced(). Must be
  // destroyed before `connection`.
  PipeWireRegistry(PipeWireConnection& connection, Owner& owner);

  const NodeTable& table() const { return table_; }

 private:
  Owner& owner_;
  NodeTable table_;
  PipeWirePtr<pw_proxy> proxy_;
  PipeWireHook hook_;
};

// A link between two nodes, made by us so that no session manager need do it.
// It goes with this object.
class PipeWireLink {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    // From inside PipeWire. No format that both know, a port taken, an end
    // gone. May come repeatedly.
    virtual void OnLinkError(absl::Status reason) = 0;
  };
  struct Ends {
    uint32_t out_node = 0;
    uint32_t out_port = 0;
    uint32_t in_node = 0;
    uint32_t in_port = 0;
  };

  // Must be destroyed before `connection`.
  PipeWireLink(PipeWireConnection& connection, const Ends& ends, Owner& owner);

 private:
  Owner& owner_;
  PipeWirePtr<pw_proxy> proxy_;
  PipeWireHook proxy_hook_;
  PipeWireHook link_hook_;
};

}  // namespace kine
