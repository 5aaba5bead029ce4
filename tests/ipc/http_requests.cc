#include "tests/ipc/http_requests.h"

namespace kine {
namespace {

using namespace std::string_literals;

const std::string kHost = "Host: k\r\n";

std::string Post(const std::string& fields, const std::string& body) {
  return "POST /e HTTP/1.1\r\n" + kHost + fields + "\r\n" + body;
}

std::string Chunked(const std::string& body) {
  return Post("Transfer-Encoding: chunked\r\n", body);
}

std::string GetWith(const std::string& fields) {
  return "GET /e HTTP/1.1\r\n" + kHost + fields + "\r\n";
}

std::string GetTarget(const std::string& target) {
  return "GET " + target + " HTTP/1.1\r\n" + kHost + "\r\n";
}

void AddFraming(std::vector<HttpCase>& cases) {
  const std::string five = "5\r\nhello\r\n0\r\n\r\n";
  const std::string te = "Transfer-Encoding: chunked\r\n";
  const std::string cl = "Content-Length: 5\r\n";
  cases.insert(
      cases.end(),
      {{"cl_te", Post(cl + te, five), 400},
       {"te_cl", Post(te + cl, five), 400},
       {"cl_dup_diff", Post(cl + "Content-Length: 6\r\n", "hello!"), 400},
       {"cl_dup_same", Post(cl + cl, "hello"), 400},
       {"cl_list_diff", Post("Content-Length: 5, 6\r\n", "hello!"), 400},
       {"cl_list_same", Post("Content-Length: 5, 5\r\n", "hello"), 400},
       {"cl_hex", Post("Content-Length: 0x5\r\n", "hello"), 400},
       {"cl_junk", Post("Content-Length: 5abc\r\n", "hello"), 400},
       {"cl_space_in", Post("Content-Length: 1 2\r\n", "hello hello!"), 400},
       {"cl_plus", Post("Content-Length: +5\r\n", "hello"), 400},
       {"cl_neg", Post("Content-Length: -5\r\n", "hello"), 400},
       {"cl_empty", Post("Content-Length: \r\n", ""), 400},
       {"cl_overflow",
        Post("Content-Length: 18446744073709551621\r\n", "hello"), 400},
       {"cl_too_large", Post("Content-Length: 65537\r\n", "x"), 413},
       {"te_gzip_then_cl", Post("Transfer-Encoding: gzip\r\n" + cl, "hello"),
        400},
       {"te_gzip_only", Post("Transfer-Encoding: gzip\r\n", "hello"), 400},
       {"te_gzip_chunked", Post("Transfer-Encoding: gzip, chunked\r\n", five),
        400},
       {"te_chunked_not_last",
        Post("Transfer-Encoding: chunked, gzip\r\n", five), 400},
       {"te_chunked_twice",
        Post("Transfer-Encoding: chunked, chunked\r\n", five), 400},
       {"te_two_fields", Post(te + te, five), 400},
       {"te_xchunked", Post("Transfer-Encoding: xchunked\r\n", five), 400},
       {"te_identity", Post("Transfer-Encoding: identity\r\n", ""), 400},
       {"te_empty", Post("Transfer-Encoding: \r\n", five), 400},
       {"te_http10", "POST /e HTTP/1.0\r\n" + kHost + te + "\r\n" + five, 400},
       {"cr_x_te", Post("X: a\rTransfer-Encoding: chunked\r\n", five), 400},
       {"te_vertical_tab", Post("Transfer-Encoding: \vchunked\r\n", five),
        400}});
}

void AddChunks(std::vector<HttpCase>& cases) {
  cases.insert(
      cases.end(),
      {{"chunk_size_0x", Chunked("0x5\r\nhello\r\n0\r\n\r\n"), 400},
       {"chunk_size_plus", Chunked("+5\r\nhello\r\n0\r\n\r\n"), 400},
       {"chunk_size_lead_sp", Chunked(" 5\r\nhello\r\n0\r\n\r\n"), 400},
       {"chunk_size_trail_sp", Chunked("5 \r\nhello\r\n0\r\n\r\n"), 400},
       {"chunk_size_neg", Chunked("-5\r\nhello\r\n0\r\n\r\n"), 400},
       {"chunk_size_empty", Chunked("\r\nhello\r\n0\r\n\r\n"), 400},
       {"chunk_size_overflow",
        Chunked("10000000000000005\r\nhello\r\n0\r\n\r\n"), 400},
       {"chunk_too_large", Chunked("10001\r\nhello"), 413},
       {"chunks_too_large_together",
        Chunked("8000\r\n" + std::string(0x8000, 'x') + "\r\n8001\r\n"), 413},
       {"chunk_bare_lf", Chunked("5\nhello\n0\n\n"), 400},
       {"chunk_ext", Chunked("5;a=b\r\nhello\r\n0\r\n\r\n"), 400},
       {"chunk_ext_bare_lf", Chunked("5;a\nhello\r\n0\r\n\r\n"), 400},
       {"chunk_no_crlf_after", Chunked("5\r\nhello0\r\n\r\n"), 400},
       {"chunk_longer_than_said", Chunked("4\r\nhello\r\n0\r\n\r\n"), 400},
       {"chunk_trailer", Chunked("5\r\nhello\r\n0\r\nX: y\r\n\r\n"), 400},
       {"chunk_end_bare_lf", Chunked("5\r\nhello\r\n0\r\n\n"), 400}});
}

void AddHeads(std::vector<HttpCase>& cases) {
  cases.insert(
      cases.end(),
      {{"bare_lf_reqline_http09", "GET /e\n\n", 400},
       {"http09", "GET /e\r\n\r\n", 400},
       {"bare_lf_heads", "GET /e HTTP/1.1\nHost: k\n\n", 400},
       {"bare_lf_last", "GET /e HTTP/1.1\r\nHost: k\r\n\n", 400},
       {"leading_crlf", "\r\n" + GetWith(""), 400},
       {"leading_space", " " + GetWith(""), 400},
       {"space_before_colon", GetWith("X : a\r\n"), 400},
       {"obs_fold", GetWith("X: a\r\n b\r\n"), 400},
       {"first_header_folded", "GET /e HTTP/1.1\r\n X: a\r\n" + kHost + "\r\n",
        400},
       {"no_host_11", "GET /e HTTP/1.1\r\n\r\n", 400},
       {"two_hosts", GetWith("Host: l\r\n"), 400},
       {"bad_host", "GET /e HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
       {"bad_version_2", "GET /e HTTP/2.0\r\n" + kHost + "\r\n", 505},
       {"bad_version_12", "GET /e HTTP/1.2\r\n" + kHost + "\r\n", 505},
       {"bad_version_txt", "GET /e HTTQ/1.1\r\n" + kHost + "\r\n", 400},
       {"bad_version_short", "GET /e HTTP/1\r\n" + kHost + "\r\n", 400},
       {"version_lower_case", "GET /e http/1.1\r\n" + kHost + "\r\n", 400},
       {"bare_cr_in_value", GetWith("X: a\rb\r\n"), 400},
       {"nul_in_value", GetWith("X: a\0b\r\n"s), 400},
       {"nul_in_target", GetTarget("/e\0x"s), 400},
       {"nul_in_name", GetWith("X\0Y: a\r\n"s), 400},
       {"ctl_in_value", GetWith("X: a\x01\r\n"), 400},
       {"del_in_value", GetWith("X: a\x7f\r\n"), 400},
       {"empty_name", GetWith(": a\r\n"), 400},
       {"bad_name_char", GetWith("X(y): a\r\n"), 400},
       {"name_not_ascii", GetWith("X\xc3\xa9: a\r\n"), 400},
       {"no_colon", GetWith("Nonsense\r\n"), 400},
       {"method_bad", "G@T /e HTTP/1.1\r\n" + kHost + "\r\n", 400},
       {"method_unknown", "BREW /e HTTP/1.1\r\n" + kHost + "\r\n", 501},
       {"method_lower_case", "get /e HTTP/1.1\r\n" + kHost + "\r\n", 501},
       {"method_connect", "CONNECT k:80 HTTP/1.1\r\n" + kHost + "\r\n", 501},
       {"upgrade", GetWith("Connection: Upgrade\r\nUpgrade: h2c\r\n"), 400},
       {"expect_other", Post("Content-Length: 1\r\nExpect: 200-ok\r\n", "x"),
        417},
       {"owner_twice", GetWith("Kinescope-Owner: a\r\nKinescope-Owner: a\r\n"),
        400},
       {"owner_empty", GetWith("Kinescope-Owner: \r\n"), 400},
       {"owner_not_a_token", GetWith("Kinescope-Owner: a b\r\n"), 400},
       {"owners_differ", GetWith("Kinescope-Owner: a\r\nCoder-Chat-Id: b\r\n"),
        400},
       {"huge_header_1M", GetWith("X: " + std::string(1 << 20, 'a') + "\r\n"),
        431},
       {"head_one_byte_over",
        GetWith("X: " + std::string(16384 - 33 + 1, 'a') + "\r\n"), 431},
       {"fields_65",
        [] {
          std::string fields;
          for (int i = 0; i < 64; ++i) fields += "X: a\r\n";
          return GetWith(fields);
        }(),
        431},
       {"many_headers_20k",
        [] {
          std::string fields;
          for (int i = 0; i < 20000; ++i) fields += "X: a\r\n";
          return GetWith(fields);
        }(),
        431}});
}

void AddTargets(std::vector<HttpCase>& cases) {
  cases.insert(
      cases.end(),
      {{"target_with_space", GetTarget("/e x"), 400},
       {"target_absolute", GetTarget("http://k/e"), 400},
       {"target_star", "GET * HTTP/1.1\r\n" + kHost + "\r\n", 400},
       {"target_relative", GetTarget("e"), 400},
       {"target_fragment", GetTarget("/e#x"), 400},
       {"target_not_ascii", GetTarget("/\xc3\xa9"), 400},
       {"target_encoded_nul", GetTarget("/e%00"), 400},
       {"target_encoded_slash", GetTarget("/e%2Fx"), 400},
       {"target_encoded_crlf", GetTarget("/e%0d%0a"), 400},
       {"target_encoded_not_ascii", GetTarget("/%c3%a9"), 400},
       {"target_bad_percent", GetTarget("/e%2"), 400},
       {"target_bad_hex", GetTarget("/e%zz"), 400},
       {"target_dot_dot", GetTarget("/e/../e"), 400},
       {"target_encoded_dot_dot", GetTarget("/e/%2e%2E"), 400},
       {"target_dot", GetTarget("/./e"), 400},
       {"query_twice", GetTarget("/e?a=1&a=1"), 400},
       {"query_no_name", GetTarget("/e?=1"), 400},
       {"query_encoded_nul", GetTarget("/e?a=%00"), 400},
       {"target_2049", GetTarget("/" + std::string(2048, 'a')), 414},
       {"huge_uri_1M", GetTarget("/" + std::string(1 << 20, 'a')), 414}});
}

}  // namespace

std::vector<HttpCase> HostileRequests() {
  std::vector<HttpCase> cases;
  AddFraming(cases);
  AddChunks(cases);
  AddHeads(cases);
  AddTargets(cases);
  return cases;
}

std::vector<LegalCase> LegalRequests() {
  return {
      {"get", GetWith(""), {""}},
      {"content_length", Post("Content-Length: 5\r\n", "hello"), {"hello"}},
      {"content_length_0", Post("Content-Length: 0\r\n", ""), {""}},
      {"content_length_zeros",
       Post("Content-Length: 0005\r\n", "hello"),
       {"hello"}},
      {"body_64k",
       Post("Content-Length: 65536\r\n", std::string(65536, 'x')),
       {std::string(65536, 'x')}},
      {"chunked",
       Chunked("5\r\nhello\r\n00000A\r\n, big worl\r\n1\r\nd\r\n0\r\n\r\n"),
       {"hello, big world"}},
      {"chunked_64k",
       Chunked("10000\r\n" + std::string(65536, 'x') + "\r\n0\r\n\r\n"),
       {std::string(65536, 'x')}},
      {"chunked_in_capitals",
       Post("transfer-encoding: CHUNKED\r\n", "0\r\n\r\n"),
       {""}},
      {"http10", "GET /e HTTP/1.0\r\n\r\n", {""}},
      {"pipelined",
       GetWith("") + Post("Content-Length: 2\r\n", "hi") +
           Chunked("1\r\n!\r\n0\r\n\r\n") + GetWith(""),
       {"", "hi", "!", ""}},
      {"expect",
       Post("Content-Length: 5\r\nExpect: 100-continue\r\n", "hello"),
       {"hello"}},
      {"odd_spaces_and_bytes",
       GetWith("X:a\r\nY:\t b \t\r\nZ: caf\xc3\xa9\r\nEmpty:\r\n"),
       {""}},
      {"host_with_port", "GET /e HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", {""}},
      {"target_2048", GetTarget("/e?a=" + std::string(2043, 'a')), {""}},
      {"head_16384",
       GetWith("X: " + std::string(16384 - 33, 'a') + "\r\n"),
       {""}},
      {"fields_64",
       [] {
         std::string fields;
         for (int i = 0; i < 63; ++i) fields += "X: a\r\n";
         return GetWith(fields);
       }(),
       {""}},
  };
}

}  // namespace kine
