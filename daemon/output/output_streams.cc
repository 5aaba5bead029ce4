#include "daemon/output/output_streams.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "daemon/base/check.h"
#include "daemon/base/limits/output.h"

namespace kine {
namespace {

OutputStore::Options StoreOptions(const ProcessRequest& request) {
  using OnFull = ProcessRequest::OnFull;
  const ProcessRequest::Output& output = request.output;
  return OutputStore::Options{output.head_bytes, output.tail_bytes,
                              output.spool_bytes >= OutputStore::kBlockBytes,
                              output.on_full == OnFull::kBlock};
}

}  // namespace

OutputStreams::OutputStreams(OutputPool& pool, const ProcessRequest& request,
                             ProcessFds fds, ProcessOutput::Client& client)
    : pool_(pool),
      client_(&client),
      options_(request.output),
      merged_(request.merged()),
      terminal_(fds.terminal.valid()),
      sides_{Side(StoreOptions(request)), Side(StoreOptions(request))} {
  if (terminal_) {
    // Watched on its own, for writing.
    UniqueFd input(::fcntl(fds.terminal.get(), F_DUPFD_CLOEXEC, 3));
    if (input.valid()) input_.emplace(pool_.loop(), std::move(input), true);
    side(Stream::kOut).fd = std::move(fds.terminal);
  } else {
    side(Stream::kOut).fd = std::move(fds.out);
    side(Stream::kErr).fd = std::move(fds.err);
    if (fds.in.valid()) input_.emplace(pool_.loop(), std::move(fds.in), false);
  }
  if (request.ready.regex.empty()) return;
  for (Side& s : sides_) {
    auto pattern = LinePattern::Create(request.ready.regex);
    if (pattern.ok()) s.pattern = *std::move(pattern);  // As Admit() found.
  }
}

OutputStreams::~OutputStreams() { Forget(); }

void OutputStreams::Start() {
  UpdateWatch(Stream::kOut);
  UpdateWatch(Stream::kErr);
}

bool OutputStreams::ended(Stream stream) const {
  return closed_ || !side(stream).fd.valid() || (exited_ && quiet_);
}

void OutputStreams::UpdateWatch(Stream stream) {
  Side& s = side(stream);
  const bool wanted = s.fd.valid() && !s.store.full() && !s.store.backlogged();
  if (!wanted) {
    s.watch.Cancel();
  } else if (!s.watch.active()) {
    s.watch = LoopHandle(
        pool_.loop(),
        pool_.loop().Watch(s.fd.get(), EPOLLIN,
                           [this, stream](uint32_t) { ReadTurn(stream); }));
  }
  // A disk that does not keep up must not hold the command up for long.
  if (!s.store.backlogged()) {
    s.spool_deadline.Cancel();
  } else if (!s.spool_deadline.active()) {
    s.spool_deadline = LoopHandle(
        pool_.loop(),
        pool_.loop().PostAfter(absl::Milliseconds(limits::kSpoolSlowMs),
                               [this, stream] { EndSpool(stream); }));
  }
}

void OutputStreams::ReadTurn(Stream stream) {
  // Both streams share the turn's allowance.
  const uint64_t allowed =
      limits::kOutputReadBytes / (side(Stream::kErr).fd.valid() ? 2 : 1);
  const uint64_t until = side(stream).store.total() + allowed;
  const size_t piece = pool_.buffer().size();
  while (side(stream).store.total() + piece <= until && ReadOnce(stream)) {
    if (side(stream).store.full() || side(stream).store.backlogged()) break;
  }
  UpdateWatch(stream);
}

bool OutputStreams::ReadOnce(Stream stream) {
  Side& s = side(stream);
  if (!s.fd.valid()) return false;
  auto& buffer = pool_.buffer();
  ssize_t count;
  do {
    count = ::read(s.fd.get(), buffer.data(), buffer.size());
  } while (count < 0 && errno == EINTR);
  if (count < 0 && errno == EAGAIN) return false;
  if (count <= 0) {  // The end; of a terminal that nobody has open EIO.
    s.watch.Cancel();
    s.fd.Reset();
    Notify();
    return false;
  }
  Took(stream, absl::string_view(buffer.data(), static_cast<size_t>(count)));
  return true;
}

void OutputStreams::Took(Stream stream, absl::string_view bytes) {
  Side& s = side(stream);
  pool_.metrics().read_bytes.Add(bytes.size());
  if (s.pattern != nullptr && s.pattern->Feed(bytes)) {
    for (Side& each : sides_) each.pattern.reset();
    found_ = true;
  }
  s.store.Append(bytes);
  if (forgotten_) s.store.Forget();
  Account(s);
  if (!forgotten_ && pool_.MemoryShort()) {
    s.store.Squeeze();
    Account(s);
  }
  Spool(stream);
  read_some_ = true;
  if (exited_) ArmQuiet();
  Notify();
}

void OutputStreams::Account(Side& s) {
  const auto memory = static_cast<int64_t>(s.store.memory());
  pool_.AddMemory(memory - s.memory);
  s.memory = memory;
  if (options_.on_full == ProcessRequest::OnFull::kKill && !forgotten_ &&
      !told_limit_ && s.store.dropped() > 0) {
    told_limit_ = true;
    over_limit_ = true;
    Notify();
  }
}

void OutputStreams::DrainAfterExit() {
  if (input_.has_value()) input_->Close();
  for (const Stream stream : {Stream::kOut, Stream::kErr}) {
    const uint64_t until =
        side(stream).store.total() + limits::kOutputDrainBytes;
    while (side(stream).store.total() < until && !side(stream).store.full() &&
           ReadOnce(stream)) {
    }
    UpdateWatch(stream);
  }
  exited_ = true;
  ArmQuiet();
  Notify();
}

void OutputStreams::ArmQuiet() {
  quiet_ = false;
  quiet_timer_.Cancel();
  quiet_timer_ = LoopHandle(
      pool_.loop(), pool_.loop().PostAfter(
                        absl::Milliseconds(limits::kOutputQuietMs), [this] {
                          quiet_timer_.Cancel();
                          // What waits for a reader to make room is not over.
                          for (const Side& s : sides_)
                            if (s.fd.valid() && !s.watch.active())
                              return ArmQuiet();
                          quiet_ = true;
                          pool_.OnEnded(weak_from_this());
                          Notify();
                        }));
}

void OutputStreams::Close() {
  if (closed_) return;
  for (const Stream stream : {Stream::kOut, Stream::kErr}) {
    // What the tree's last breath left in the pipes.
    const uint64_t until =
        side(stream).store.total() + limits::kOutputDrainBytes;
    while (side(stream).store.total() < until && ReadOnce(stream)) {
    }
    side(stream).watch.Cancel();
    side(stream).fd.Reset();
  }
  if (input_.has_value()) input_->Close();
  closed_ = true;
  quiet_timer_.Cancel();
  pool_.OnEnded(weak_from_this());
  Notify();
}

void OutputStreams::Detach() {
  client_ = nullptr;
  for (Side& s : sides_) {
    s.watch.Cancel();
    s.fd.Reset();
  }
  if (input_.has_value()) input_->Close();
  closed_ = true;
  quiet_timer_.Cancel();
  Forget();
}

void OutputStreams::Forget() {
  if (forgotten_) return;
  forgotten_ = true;
  for (Side& s : sides_) {
    s.store.Forget();
    Account(s);
    s.spool_deadline.Cancel();
    pool_.ReturnSpool(s.spooled);
    s.spooled = 0;
    s.file.reset();
  }
  if (weak_from_this().lock() != nullptr) Notify();
}

ProcessOutput::Totals OutputStreams::totals() const {
  ProcessOutput::Totals totals;
  for (const Side& s : sides_) {
    totals.bytes += s.store.total();
    totals.dropped += s.store.dropped();
    totals.open |= s.fd.valid();
  }
  return totals;
}

int OutputStreams::terminal() const {
  return terminal_ ? side(Stream::kOut).fd.get() : -1;
}

void OutputStreams::Notify() {
  if (posted_) return;
  posted_ = true;
  pool_.loop().Post([weak = weak_from_this()] {
    const std::shared_ptr<OutputStreams> self = weak.lock();
    if (self == nullptr) return;
    self->posted_ = false;
    // Each of these may end in Detach().
    if (std::exchange(self->read_some_, false) && self->client_ != nullptr)
      self->client_->OnOutputRead();
    if (std::exchange(self->found_, false) && self->client_ != nullptr)
      self->client_->OnPatternFound();
    if (std::exchange(self->over_limit_, false) && self->client_ != nullptr)
      self->client_->OnOutputLimit();
    std::vector<uint64_t> ids;
    for (const auto& watcher : self->watchers_) ids.push_back(watcher.first);
    for (const uint64_t id : ids) {
      const auto it = std::find_if(
          self->watchers_.begin(), self->watchers_.end(),
          [id](const auto& watcher) { return watcher.first == id; });
      if (it == self->watchers_.end()) continue;
      // It may remove itself while it runs.
      absl::AnyInvocable<void()> changed = std::move(it->second);
      changed();
      for (auto& watcher : self->watchers_)
        if (watcher.first == id) {
          watcher.second = std::move(changed);
          break;
        }
    }
  });
}

void OutputStreams::Wake() { Notify(); }

uint64_t OutputStreams::AddWatcher(absl::AnyInvocable<void()> changed) {
  watchers_.emplace_back(next_watcher_, std::move(changed));
  return next_watcher_++;
}

void OutputStreams::RemoveWatcher(uint64_t id) {
  std::erase_if(watchers_,
                [id](const auto& watcher) { return watcher.first == id; });
}

}  // namespace kine
