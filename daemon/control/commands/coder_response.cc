#include "daemon/control/commands/coder_response.h"

#include <string>
#include <utility>

#include "ipc/json_out.h"

namespace kine {

std::string CoderResponseJson(absl::string_view message,
                              absl::string_view detail) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("message", message);
  out.FieldIfAny("detail", detail);
  out.End();
  return text;
}

void RespondAsCoder(Reply& reply, int status, absl::string_view message,
                    absl::string_view detail) {
  reply.Json(status, CoderResponseJson(message, detail));
}

}  // namespace kine
