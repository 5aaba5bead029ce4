// The requests that a strict server refuses, and those that it must take
// (RFC 9112, and what other parsers have been caught with). Used by the
// parser's tests and by the server's.
#pragma once

#include <string>
#include <vector>

namespace kine {

struct HttpCase {
  std::string name;
  std::string bytes;
  int status;  // Of the refusal.
};

struct LegalCase {
  std::string name;
  std::string bytes;
  std::vector<std::string> bodies;  // Of the requests in it, in order.
};

std::vector<HttpCase> HostileRequests();
std::vector<LegalCase> LegalRequests();

}  // namespace kine
