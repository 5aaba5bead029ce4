#include "daemon/control/commands/coder_response.h"

#include <string>
#include <utility>

#include "ipc/json_out.h"

namespace kine {

void RespondAsCoder(Reply& reply, int status, absl::string_view message,
                    absl::string_view detail) {
  std::string text;
  JsonOut out(text);
  out.BeginObject();
  out.Field("message", message);
  out.FieldIfAny("detail", detail);
  out.End();
  reply.Json(status, std::move(text));
}

}  // namespace kine
