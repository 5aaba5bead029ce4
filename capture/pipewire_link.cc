#include <pipewire/link.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "capture/pipewire_registry.h"

// PipeWire's method macros are C (casts, statement expressions) in whoever's
// line uses them.
#pragma GCC diagnostic ignored "-Wold-style-cast"
#ifdef __clang__
#pragma clang diagnostic ignored "-Wgnu-statement-expression"
#endif

namespace kine {
namespace {

void Report(void* owner, const char* message) {
  static_cast<PipeWireLink::Owner*>(owner)->OnLinkError(absl::UnavailableError(
      absl::StrCat("PipeWire link: ", message != nullptr ? message : "error")));
}

const pw_proxy_events* ProxyEvents() {
  static const pw_proxy_events kEvents = [] {
    pw_proxy_events events{};
    events.version = PW_VERSION_PROXY_EVENTS;
    events.removed = [](void* owner) { Report(owner, "removed"); };
    events.error = [](void* owner, int, int, const char* message) {
      Report(owner, message);
    };
    return events;
  }();
  return &kEvents;
}

const pw_link_events* LinkEvents() {
  static const pw_link_events kEvents = [] {
    pw_link_events events{};
    events.version = PW_VERSION_LINK_EVENTS;
    events.info = [](void* owner, const pw_link_info* info) {
      if (info->state == PW_LINK_STATE_ERROR) Report(owner, info->error);
    };
    return events;
  }();
  return &kEvents;
}

}  // namespace

PipeWireLink::PipeWireLink(PipeWireConnection& connection, const Ends& ends,
                           Owner& owner)
    : owner_(owner) {
  pw_properties* props = pw_properties_new(nullptr, nullptr);
  const auto set = [props](const char* key, uint32_t value) {
    pw_properties_set(props, key, absl::StrCat(value).c_str());
  };
  set(PW_KEY_LINK_OUTPUT_NODE, ends.out_node);
  set(PW_KEY_LINK_OUTPUT_PORT, ends.out_port);
  set(PW_KEY_LINK_INPUT_NODE, ends.in_node);
  set(PW_KEY_LINK_INPUT_PORT, ends.in_port);
  void* link = pw_core_create_object(connection.core(), "link-factory",
                                     PW_TYPE_INTERFACE_Link, PW_VERSION_LINK,
                                     &props->dict, 0);
  pw_properties_free(props);
  proxy_.reset(static_cast<pw_proxy*>(link));
  pw_proxy_add_listener(proxy_.get(), proxy_hook_.get(), ProxyEvents(),
                        &owner_);
  pw_link_add_listener(static_cast<pw_link*>(link), link_hook_.get(),
                       LinkEvents(), &owner_);
}

}  // namespace kine
