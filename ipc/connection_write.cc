// The second half of Connection: responses and their bodies.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "ipc/connection.h"

namespace kine {
namespace {

constexpr size_t kKeptCapacity = 64u << 10;

bool HasNoBody(int status) { return status == 204 || status == 304; }

// The part of `file` from `offset` on that is `size` bytes long.
std::deque<FileRange> Slice(FileBody file, uint64_t offset, uint64_t size) {
  file.before.push_back({std::move(file.fd), file.offset, file.size});
  std::deque<FileRange> out;
  for (FileRange& range : file.before) {
    const uint64_t skipped = std::min(offset, range.size);
    offset -= skipped;
    range.offset += skipped;
    range.size = std::min(range.size - skipped, size);
    size -= range.size;
    if (range.size > 0) out.push_back(std::move(range));
  }
  return out;
}

}  // namespace

void Connection::StartResponse(Response response) {
  state_ = State::kWriting;
  if (host_.draining) keep_alive_ = false;
  if (std::holds_alternative<StreamBody>(response.body)) {
    if (host_.draining) {
      response = ProblemResponse(
          Problem{503, "shutting_down", "the daemon is shutting down", "", ""});
    } else if (host_.metrics.streams.value() >= limits::kStreamsMax) {
      response = ProblemResponse(
          Problem{429, "streams",
                  absl::StrCat("there are ", limits::kStreamsMax,
                               " streams already; close one"),
                  "", ""});
    }
  }
  ranges_.clear();
  if (std::holds_alternative<FileBody>(response.body)) ResolveFile(response);
  const bool head_only = conditions_.method == Method::kHead;
  if (std::holds_alternative<StreamBody>(response.body) && !http11_)
    keep_alive_ = false;  // Its end is the connection's.
  WriteHead(response);
  if (head_only || HasNoBody(response.status)) {
    ranges_.clear();
    return;
  }
  if (auto* text = std::get_if<std::string>(&response.body)) {
    out_ += *text;
  } else if (std::holds_alternative<StreamBody>(response.body)) {
    stream_ = std::get<StreamBody>(std::move(response.body));
    stream_waits_ = false;
    host_.metrics.streams.Add(1);
    stream_->start([host = host_.weak_from_this(), id = id_, serial = serial_] {
      if (const auto alive = host.lock())
        alive->deliver(id, [serial](Connection& c) { c.OnWake(serial); });
    });
  }
}

// Turns the whole file of a 200 into what the request's conditions ask for, and
// takes the bytes of it.
void Connection::ResolveFile(Response& response) {
  FileBody& file = std::get<FileBody>(response.body);
  const uint64_t whole = file.total();
  if (!file.etag.empty()) response.fields.emplace_back("ETag", file.etag);
  FilePart part{response.status, 0, whole};
  if (response.status == 200) {
    response.fields.emplace_back("Accept-Ranges", "bytes");
    part = ResolveFilePart(conditions_, file.etag, whole);
  }
  response.status = part.status;
  if (part.status != 416)
    ranges_ = Slice(std::move(file), part.offset, part.size);
  if (part.status == 206) {
    response.fields.emplace_back(
        "Content-Range", absl::StrCat("bytes ", part.offset, "-",
                                      part.offset + part.size - 1, "/", whole));
  } else if (part.status == 416) {
    std::vector<NameValue> fields = std::move(response.fields);
    response = ProblemResponse(
        Problem{416, "range_not_satisfiable",
                absl::StrCat("the file has ", whole, " bytes"), "", ""});
    response.fields = std::move(fields);
    response.fields.emplace_back("Content-Range",
                                 absl::StrCat("bytes */", whole));
  }
}

void Connection::WriteHead(const Response& response) {
  const absl::Time wall = host_.loop.clock().Wall();
  const int64_t second = absl::ToUnixSeconds(wall);
  if (second != host_.date_second) {
    host_.date_second = second;
    host_.date = absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", wall,
                                  absl::UTCTimeZone());
  }
  absl::StrAppend(&out_, "HTTP/1.1 ", response.status, " ",
                  ReasonPhrase(response.status), "\r\nDate: ", host_.date,
                  "\r\nKinescope-Instance: ", host_.instance, "\r\n");
  if (!response.content_type.empty())
    absl::StrAppend(&out_, "Content-Type: ", response.content_type, "\r\n");
  for (const NameValue& field : response.fields)
    absl::StrAppend(&out_, field.first, ": ", field.second, "\r\n");
  if (const auto* text = std::get_if<std::string>(&response.body)) {
    if (!HasNoBody(response.status))
      absl::StrAppend(&out_, "Content-Length: ", text->size(), "\r\n");
  } else if (std::holds_alternative<FileBody>(response.body)) {
    uint64_t size = 0;
    for (const FileRange& range : ranges_) size += range.size;
    if (!HasNoBody(response.status))
      absl::StrAppend(&out_, "Content-Length: ", size, "\r\n");
  } else if (http11_) {
    absl::StrAppend(&out_, "Transfer-Encoding: chunked\r\n");
  }
  absl::StrAppend(&out_, keep_alive_ ? "\r\n" : "Connection: close\r\n\r\n");
}

// True when nothing is left in out_.
bool Connection::Flush() {
  while (out_at_ < out_.size()) {
    const ssize_t count =
        ::send(socket_->get(), out_.data() + out_at_, out_.size() - out_at_,
               MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {
      blocked_ = true;
      return false;
    }
    if (count < 0) {
      Close();
      return false;
    }
    out_at_ += static_cast<size_t>(count);
    moved_ += static_cast<uint64_t>(count);
    host_.metrics.bytes_out.Add(static_cast<uint64_t>(count));
  }
  out_.clear();
  out_at_ = 0;
  if (out_.capacity() > kKeptCapacity) out_.shrink_to_fit();
  return true;
}

bool Connection::WriteSome() {
  if (transfer_ != nullptr) return false;
  if (!ranges_.empty()) {
    StartTransfer();
    return false;
  }
  if (std::exchange(chunk_open_, false)) {
    out_ += "\r\n";
    return true;
  }
  if (stream_.has_value()) return ReadStream();
  FinishResponse();
  return true;
}

bool Connection::ReadStream() {
  if (host_.draining) {
    EndStream();
    return true;
  }
  if (stream_waits_) return false;
  piece_.clear();
  const StreamBody::State state =
      stream_->read(limits::kStreamChunkBytes, piece_);
  if (state == StreamBody::State::kAbort) {
    Close();
    return false;
  }
  uint64_t size = piece_.size();
  if (state == StreamBody::State::kMore && stream_->files) {
    for (FileRange& range : stream_->files()) {
      size += range.size;
      ranges_.push_back(std::move(range));
    }
  }
  KINE_CHECK(state != StreamBody::State::kMore || size > 0);
  if (size > 0 && http11_) {
    absl::StrAppend(&out_, absl::Hex(size), "\r\n", piece_);
    chunk_open_ = !ranges_.empty();
    if (!chunk_open_) out_ += "\r\n";
  } else {
    out_ += piece_;
  }
  if (state == StreamBody::State::kEnd) EndStream();
  stream_waits_ = state == StreamBody::State::kWait;
  return true;
}

void Connection::EndStream() {
  if (http11_) out_ += "0\r\n\r\n";
  stream_.reset();
  stream_waits_ = false;
  host_.metrics.streams.Add(-1);
}

void Connection::OnWake(uint64_t serial) {
  if (serial != serial_ || !stream_waits_) return;
  stream_waits_ = false;
  Run();
}

void Connection::StartTransfer() {
  FileRange& range = ranges_.front();
  transfer_ = std::make_shared<FileTransfer>(
      host_.loop, host_.file_loop, socket_, std::move(range.fd), range.offset,
      range.size, [host = host_.weak_from_this(), id = id_](bool complete) {
        if (const auto alive = host.lock())
          alive->deliver(
              id, [complete](Connection& c) { c.OnTransferred(complete); });
      });
  transfer_->Start();
}

void Connection::OnTransferred(bool complete) {
  if (transfer_ == nullptr) return;  // Closed meanwhile.
  moved_ += transfer_->sent();
  host_.metrics.bytes_out.Add(transfer_->sent());
  transfer_.reset();
  ranges_.pop_front();
  // Fewer bytes than promised cannot be told but by cutting the connection.
  if (!complete) Close();
  Run();
}

void Connection::FinishResponse() {
  if (keep_alive_) {
    state_ = State::kReading;
  } else if (refused_) {
    ::shutdown(socket_->get(), SHUT_WR);
    state_ = State::kLingering;
  } else {
    Close();
  }
}

std::string RefusalBytes(const Problem& problem, absl::string_view instance) {
  const std::string body = ProblemJson(problem);
  return absl::StrCat("HTTP/1.1 ", problem.status, " ",
                      ReasonPhrase(problem.status),
                      "\r\nKinescope-Instance: ", instance,
                      "\r\nContent-Type: application/problem+json"
                      "\r\nContent-Length: ",
                      body.size(), "\r\nConnection: close\r\n\r\n", body);
}

}  // namespace kine
