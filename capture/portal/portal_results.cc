// What the portal answers: D-Bus messages into values.
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "capture/portal/portal_session.h"

namespace kine {
namespace {

// Calls `read` with every key of the a{sv} at hand, its variant next in line.
// It returns 1 when it read that, 0 when it did not want it.
template <typename Read>
int ForEachOption(sd_bus_message* message, Read read) {
  int result = sd_bus_message_enter_container(message, 'a', "{sv}");
  if (result < 0) return result;
  while ((result = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
    const char* key = nullptr;
    result = sd_bus_message_read(message, "s", &key);
    if (result < 0) return result;
    result = read(absl::string_view(key));
    if (result < 0) return result;
    // Not taken: unknown, or of another type than it should be.
    if (result == 0) result = sd_bus_message_skip(message, "v");
    if (result < 0) return result;
    result = sd_bus_message_exit_container(message);
    if (result < 0) return result;
  }
  if (result < 0) return result;
  return sd_bus_message_exit_container(message);
}

// True when the variant at hand holds a `type`.
bool VariantHolds(sd_bus_message* message, const char* type) {
  const char* contents = nullptr;
  return sd_bus_message_peek_type(message, nullptr, &contents) > 0 &&
         contents != nullptr && std::strcmp(contents, type) == 0;
}

// 1 when `out` was read, 0 when the variant holds something else.
int ReadUint32(sd_bus_message* message, uint32_t& out) {
  if (!VariantHolds(message, "u")) return 0;
  return sd_bus_message_read(message, "v", "u", &out) < 0 ? -EBADMSG : 1;
}
int ReadUint64(sd_bus_message* message, uint64_t& out) {
  if (!VariantHolds(message, "t")) return 0;
  return sd_bus_message_read(message, "v", "t", &out) < 0 ? -EBADMSG : 1;
}
// A string, or an object path: portals differ.
int ReadString(sd_bus_message* message, std::string& out) {
  const char* type = VariantHolds(message, "o") ? "o" : "s";
  if (!VariantHolds(message, type)) return 0;
  const char* text = nullptr;
  if (sd_bus_message_read(message, "v", type, &text) < 0) return -EBADMSG;
  out = text;
  return 1;
}

}  // namespace

absl::Status PortalError(const sd_bus_error& error) {
  const absl::string_view name = error.name == nullptr ? "" : error.name;
  const std::string said = error.message == nullptr || error.message[0] == '\0'
                               ? std::string(name)
                               : absl::StrCat(name, ": ", error.message);
  constexpr absl::string_view kErrors = "org.freedesktop.DBus.Error.";
  const absl::string_view short_name = absl::StartsWith(name, kErrors)
                                           ? name.substr(kErrors.size())
                                           : absl::string_view();
  if (short_name == "ServiceUnknown" || short_name == "NameHasNoOwner" ||
      absl::StartsWith(short_name, "Spawn.")) {
    return absl::UnavailableError(
        absl::StrCat("no desktop portal on the session bus (package "
                     "xdg-desktop-portal): ",
                     said));
  }
  if (short_name == "UnknownInterface" || short_name == "UnknownMethod" ||
      (short_name == "InvalidArgs" &&
       absl::StrContains(said, "such interface"))) {
    return absl::UnimplementedError(absl::StrCat(
        "the desktop portal has no ScreenCast; its back end is missing "
        "(package xdg-desktop-portal-wlr, -gnome or -kde): ",
        said));
  }
  if (short_name == "AccessDenied")
    return absl::PermissionDeniedError(absl::StrCat("portal: ", said));
  return absl::UnavailableError(absl::StrCat("portal: ", said));
}

int PortalSession::ReadProperties(sd_bus_message* message) {
  return ForEachOption(message, [&](absl::string_view key) {
    if (key == "version") return ReadUint32(message, version_);
    if (key == "AvailableSourceTypes") return ReadUint32(message, types_);
    if (key == "AvailableCursorModes")
      return ReadUint32(message, cursor_modes_);
    return 0;
  });
}

int PortalSession::ReadResults(sd_bus_message* message) {
  const int result = ForEachOption(message, [&](absl::string_view key) {
    if (step_ == Step::kCreateSession && key == "session_handle")
      return ReadString(message, session_handle_);
    if (step_ == Step::kStart && key == "restore_token")
      return ReadString(message, grant_.restore_token);
    if (step_ == Step::kStart && key == "streams") return ReadStreams(message);
    return 0;
  });
  if (result < 0) return result;
  if (step_ == Step::kCreateSession &&
      sd_bus_object_path_is_valid(session_handle_.c_str()) <= 0) {
    session_handle_.clear();
    return -EBADMSG;
  }
  return step_ == Step::kStart && !has_stream_ ? -ENODATA : 0;
}

// The first of a(ua{sv}); we asked for one.
int PortalSession::ReadStreams(sd_bus_message* message) {
  if (!VariantHolds(message, "a(ua{sv})")) return 0;
  int result = sd_bus_message_enter_container(message, 'v', "a(ua{sv})");
  if (result < 0) return result;
  result = sd_bus_message_enter_container(message, 'a', "(ua{sv})");
  if (result < 0) return result;
  while ((result = sd_bus_message_enter_container(message, 'r', "ua{sv}")) >
         0) {
    uint32_t node_id = 0;
    result = sd_bus_message_read(message, "u", &node_id);
    if (result < 0) return result;
    uint64_t serial = 0;
    bool has_serial = false;
    result = ForEachOption(message, [&](absl::string_view key) {
      if (key != "pipewire-serial") return 0;
      const int read = ReadUint64(message, serial);
      has_serial = read > 0;
      return read;
    });
    if (result < 0) return result;
    if (!std::exchange(has_stream_, true)) {
      grant_.node_id = node_id;
      if (has_serial) grant_.serial = serial;
    }
    result = sd_bus_message_exit_container(message);
    if (result < 0) return result;
  }
  if (result < 0) return result;
  result = sd_bus_message_exit_container(message);
  if (result < 0) return result;
  result = sd_bus_message_exit_container(message);
  return result < 0 ? result : 1;
}

}  // namespace kine
