// A request as it is written, by nobody's client library.
//
// Any thread.
#pragma once

#include <string>

namespace kine {

struct Exchange {
  int status = 0;
  std::string media_type;
  std::string body;
};

// One request, one connection; streams are left after their head. The status is
// 0 without a reply.
Exchange Send(const std::string& socket_path, const std::string& method,
              const std::string& target, const std::string& body,
              const std::string& owner = "");

}  // namespace kine
