#include "daemon/control/catalogue.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/check.h"
#include "daemon/base/limits.h"
#include "daemon/base/log.h"
#include "daemon/base/record_text.h"
#include "daemon/base/status.h"
#include "daemon/control/catalogue_table.h"
#include "daemon/control/record_store.h"
#include "daemon/storage/atomic_file.h"
#include "daemon/storage/free_space.h"
#include "ipc/json_out.h"
#include "ipc/problem.h"

namespace kine {
namespace {

void AddCounters(link::Counters& sum, const link::Counters& c) {
  sum.captured += c.captured;
  sum.encoded += c.encoded;
  sum.skipped_undamaged += c.skipped_undamaged;
  sum.skipped_paused += c.skipped_paused;
  sum.repeated += c.repeated;
  sum.pointer += c.pointer;
  sum.lost_overload += c.lost_overload;
  sum.lost_in_source += c.lost_in_source;
  sum.lost_import += c.lost_import;
  sum.corrupted += c.corrupted;
  sum.bytes += c.bytes;
  sum.durable_bytes += c.durable_bytes;
}

}  // namespace

Catalogue::Catalogue(const RunContext& context, EventRing& events,
                     CatalogueLimits limits, std::string instance)
    : context_(context),
      events_(events),
      limits_(limits),
      instance_(std::move(instance)),
      self_(std::make_shared<Catalogue*>(this)),
      table_(std::make_unique<Table>()) {
  context_.recorders.set_on_hardware_death(
      [this] { hardware_.Died(context_.loop.clock().Now()); });
}

Catalogue::~Catalogue() {
  *self_ = nullptr;
  context_.recorders.set_on_hardware_death(nullptr);
  for (auto& [id, entry] : table_->entries) {
    const absl::Status gone = absl::UnavailableError("the daemon is stopping");
    for (Waiter& waiter : entry->waiters) waiter.answer(gone);
    for (StartAnswer& answer : entry->starts) answer(gone, false);
  }
}

void Catalogue::Adopt(std::vector<RecordingRecord> records) {
  for (RecordingRecord& record : records) {
    auto entry = std::make_unique<Entry>();
    entry->digest = CanonicalRequestOf(record);
    entry->record = std::move(record);
    const std::string id = entry->record.id;
    if (IsActive(entry->record.state)) to_recover_.push_back(id);
    table_->entries.emplace(id, std::move(entry));
  }
  StartRecoveries();
  ApplyRetention();
}

void Catalogue::StartRecoveries() {
  while (!to_recover_.empty() && recovering_ < limits::kRecoveriesAtOnce) {
    const auto it = table_->entries.find(to_recover_.back());
    to_recover_.pop_back();
    Entry& entry = *it->second;
    ++recovering_;
    entry.recovering = true;
    RecordingRun::Client& client = *this;
    entry.run = std::make_unique<RecordingRun>(context_, entry.record, client);
    table_->running.push_back(&entry);
    entry.run->Recover("daemon_restarted");
  }
}

Catalogue::Entry* Catalogue::FindEntry(absl::string_view id,
                                       const Viewer& viewer) const {
  const auto it = table_->entries.find(id);
  if (it == table_->entries.end() || it->second->deleting) return nullptr;
  Entry* entry = it->second.get();
  if (!viewer.all && entry->record.owner != viewer.owner) return nullptr;
  return entry;
}

absl::Status Catalogue::CheckRoom(const std::string& owner) const {
  if (shutting_down_)
    return absl::UnavailableError("the daemon is stopping; try again later");
  if (known() >= limits::kRecordingsKnownMax)
    return absl::ResourceExhaustedError(
        absl::StrCat("limit recordings_known (", limits::kRecordingsKnownMax,
                     ") is reached: delete finished recordings"));
  int all = 0;
  int own = 0;
  for (const auto& [id, entry] : table_->entries) {
    if (!IsActive(entry->record.state)) continue;
    ++all;
    if (entry->record.owner == owner) ++own;
  }
  if (all >= limits_.recordings_max)
    return absl::ResourceExhaustedError(
        absl::StrCat("limit recordings (", limits_.recordings_max,
                     ") is reached: stop another recording first"));
  if (own >= limits_.recordings_per_owner_max)
    return absl::ResourceExhaustedError(absl::StrCat(
        "limit recordings_per_owner (", limits_.recordings_per_owner_max,
        ") is reached: stop another recording of this owner first"));
  return absl::OkStatus();
}

void Catalogue::Start(RecordingRequest request, const std::string& owner,
                      StartAnswer answer) {
  if (absl::Status same = CheckInstance(request.expect_instance); !same.ok()) {
    answer(same, false);
    return;
  }
  if (request.id.empty()) request.id = MakeUuid();
  const auto it = table_->entries.find(request.id);
  if (it == table_->entries.end()) {
    RecordingRecord record;
    record.request = std::move(request);
    StartNew(std::move(record), owner, std::nullopt, std::move(answer));
    return;
  }
  StartExisting(*it->second, std::move(request), owner, std::move(answer));
}

absl::Status Catalogue::CheckInstance(const std::string& expected) const {
  if (expected.empty() || expected == instance_) return absl::OkStatus();
  return WithProblem(
      FieldError("expect_instance",
                 absl::StrCat("the daemon was restarted; this is instance ",
                              instance_)),
      409, "instance_changed");
}

absl::Status Catalogue::CheckOwn(const Entry& entry, const std::string& owner) {
  // All that a stranger learns: the name is taken.
  if (entry.record.owner != owner)
    return WithProblem(FieldError("id", "is in use; choose another"), 409,
                       "id_in_use");
  if (entry.deleting)
    return WithProblem(FieldError("id", "is being deleted; try again"), 409,
                       "wrong_state");
  return absl::OkStatus();
}

void Catalogue::Attach(Entry& entry, StartAnswer answer) {
  if (!entry.starts.empty())
    entry.starts.push_back(std::move(answer));  // Single flight.
  else
    answer(&entry.record, true);
}

void Catalogue::StartExisting(Entry& entry, RecordingRequest request,
                              const std::string& owner, StartAnswer answer) {
  if (absl::Status own = CheckOwn(entry, owner); !own.ok()) {
    answer(own, false);
    return;
  }
  if (entry.digest == ToJson(request, /*for_digest=*/true)) {
    Attach(entry, std::move(answer));
    return;
  }
  if (IsActive(entry.record.state)) {
    answer(WithProblem(
               FieldError("id",
                          "is being recorded with other settings; stop it, or "
                          "choose another id"),
               409, "different_request"),
           false);
    return;
  }
  if (request.on_existing != RecordingRequest::OnExisting::kRestart) {
    answer(WithProblem(FieldError("id",
                                  "was recorded with other settings; choose "
                                  "another id, or say on_existing=restart, "
                                  "which deletes the old recording"),
                       409, "different_request"),
           false);
    return;
  }
  if (absl::Status room = CheckRoom(owner); !room.ok()) {
    answer(room, false);  // Before the old one is gone.
    return;
  }
  Remove(entry, [this, request = std::move(request), owner,
                 answer = std::move(answer)](absl::Status status) mutable {
    if (!status.ok()) {
      answer(WithContext("cannot remove the old recording", status), false);
      return;
    }
    RecordingRecord record;
    record.request = std::move(request);
    StartNew(std::move(record), owner, std::nullopt, std::move(answer));
  });
}

void Catalogue::StartNew(RecordingRecord record, const std::string& owner,
                         std::optional<ReplayStart> replay,
                         StartAnswer answer) {
  absl::Status room = CheckRoom(owner);
  // statvfs: answered from memory for a local file system.
  if (room.ok()) {
    room = CheckFreeSpace(context_.state_dir.recordings_fd());
    if (absl::IsResourceExhausted(room))
      room = WithProblem(room, 507, "no_space");
  }
  RunAdvice advice = Advice();
  advice.replay = std::move(replay);
  // A replay is of packets that an encoder has made.
  if (room.ok() && !advice.replay)
    room = context_.recorders.CheckEncoders(
        ForRecorder(context_, record.request.settings, advice));
  if (!room.ok()) {
    answer(room, false);
    return;
  }
  auto entry = std::make_unique<Entry>();
  entry->digest = CanonicalRequestOf(record);
  entry->record = std::move(record);
  entry->record.id = entry->record.request.id;
  entry->record.owner = owner;
  entry->record.created_at =
      absl::FromUnixMicros(absl::ToUnixMicros(context_.loop.clock().Wall()));
  entry->starts.push_back(std::move(answer));
  RecordingRun::Client& client = *this;
  entry->run = std::make_unique<RecordingRun>(context_, entry->record, client);
  Entry& kept = *entry;
  table_->running.push_back(&kept);
  table_->entries.insert_or_assign(entry->record.id, std::move(entry));
  ++ended_.started;
  kept.run->Start(std::move(advice));
}

RunAdvice Catalogue::Advice() const {
  return {restore_token_,
          hardware_.Refusal(context_.loop.clock().Now()).value_or(""),
          std::nullopt};
}

void Catalogue::OnRunStarted(RecordingRun& run, absl::Status status) {
  Entry& entry = *table_->entries.at(run.record().id);
  bool attached = false;
  for (StartAnswer& answer : std::exchange(entry.starts, {})) {
    if (status.ok())
      answer(&entry.record, attached);
    else
      answer(WithProblem(status, 503, "start_failed"), attached);
    attached = true;
  }
}

absl::StatusOr<const RecordingRecord*> Catalogue::Find(
    absl::string_view id, const Viewer& viewer) const {
  const Entry* entry = FindEntry(id, viewer);
  if (entry == nullptr) return NoSuchRecording(id);
  return &entry->record;
}

void Catalogue::Delete(absl::string_view id, const Viewer& viewer,
                       absl::AnyInvocable<void(absl::Status)> answer) {
  Entry* entry = FindEntry(id, viewer);
  if (entry == nullptr) {
    answer(NoSuchRecording(id));
    return;
  }
  if (IsActive(entry->record.state)) {
    answer(absl::FailedPreconditionError(
        absl::StrCat("recording ", Quoted(id), " is ",
                     RecordingStateName(entry->record.state),
                     "; stop it and wait for `ready` first")));
    return;
  }
  Remove(*entry, std::move(answer));
}

void Catalogue::Remove(Entry& entry,
                       absl::AnyInvocable<void(absl::Status)> done) {
  entry.deleting = true;
  // `ready` is told before the last file is closed: the run may still need the
  // entry and the directory.
  auto remove = [this, id = entry.record.id, done = std::move(done)]() mutable {
    RemoveFromDisk(id, std::move(done));
  };
  if (entry.run == nullptr)
    remove();
  else
    entry.when_retired.push_back(std::move(remove));
}

void Catalogue::RemoveFromDisk(const std::string& id,
                               absl::AnyInvocable<void(absl::Status)> done) {
  context_.file_io.Run(
      [id, &state_dir = context_.state_dir] {
        const absl::Status status = state_dir.RemoveRecording(id);
        // A start that failed before it had a directory leaves none.
        return absl::IsNotFound(status) ? absl::OkStatus() : status;
      },
      [this, id, self = self_,
       done = std::move(done)](absl::Status status) mutable {
        if (*self == nullptr) {
          done(absl::UnavailableError("the daemon is stopping"));
          return;
        }
        const auto it = table_->entries.find(id);
        if (status.ok()) {
          const std::string owner = it->second->record.owner;
          table_->entries.erase(it);
          std::string data;
          JsonOut out(data);
          out.BeginObject();
          out.Field("id", id);
          out.Field("state", "deleted");
          out.End();
          events_.Publish("recording.state", data, owner);
        } else {
          it->second->deleting = false;
        }
        done(std::move(status));
      });
}

std::vector<const RecordingRecord*> Catalogue::List(
    const Viewer& viewer) const {
  std::vector<const RecordingRecord*> out;
  for (const auto& [id, entry] : table_->entries)
    if (FindEntry(id, viewer) != nullptr) out.push_back(&entry->record);
  std::sort(out.begin(), out.end(),
            [](const RecordingRecord* a, const RecordingRecord* b) {
              const bool a_active = IsActive(a->state);
              const bool b_active = IsActive(b->state);
              if (a_active != b_active) return a_active;
              if (a->created_at != b->created_at)
                return a->created_at > b->created_at;
              return a->id < b->id;
            });
  return out;
}

void Catalogue::OnRunEvent(RecordingRun& run, absl::string_view event,
                           std::string data) {
  const auto it = table_->entries.find(run.record().id);
  KINE_CHECK(it != table_->entries.end());
  if (event == "recording.fallback") ++ended_.fallbacks;
  if (!event.empty()) events_.Publish(event, data, run.record().owner);
  AnswerWaiters(*it->second);
}

void Catalogue::KeepRestoreToken(std::string token) {
  restore_token_ = std::move(token);
  const auto bytes = std::as_bytes(std::span(restore_token_));
  WriteFileAtomically(
      context_.file_io, context_.state_dir.fd(), kRestoreTokenName,
      std::vector<std::byte>(bytes.begin(), bytes.end()), IfExists::kReplace,
      [](absl::Status status) {
        if (!status.ok())
          LogWarning(absl::StrCat(
              "the portal's restore token could not be kept, the next start of "
              "the daemon may ask again, ignoring: ",
              status.message()));
      });
}

void Catalogue::OnRunEnded(RecordingRun& run) {
  Entry& entry = *table_->entries.at(run.record().id);
  const RecordingRecord& record = entry.record;
  AddCounters(ended_.counters, record.counters);
  if (record.state == RecordingState::kReady &&
      record.format.encoder.name == "vaapi")
    hardware_.EndedWell();
  switch (record.state) {
    case RecordingState::kReady:
      ++ended_.ready;
      break;
    case RecordingState::kInterrupted:
      ++ended_.interrupted;
      break;
    default:
      ++ended_.failed;
  }
  if (std::exchange(entry.recovering, false)) --recovering_;
  LogInfo(absl::StrCat(
      "recording ", Quoted(record.id), ": ", RecordingStateName(record.state),
      " reason=", record.reason, " frames=", record.frames,
      " bytes=", record.bytes, " duration_us=", record.duration_us));
  entry.run.reset();  // `run` is gone.
  std::erase(table_->running, &entry);
  AnswerWaiters(entry);
  for (auto& waiting : std::exchange(entry.when_retired, {})) waiting();
  StartRecoveries();
  ApplyRetention();
  if (shutting_down_ && active() == 0 && shutdown_done_)
    std::exchange(shutdown_done_, nullptr)();
}

void Catalogue::Shutdown(absl::AnyInvocable<void()> done) {
  shutting_down_ = true;
  to_recover_.clear();  // The next start finds them as they are.
  shutdown_done_ = std::move(done);
  std::vector<Entry*> running;
  for (auto& [id, entry] : table_->entries)
    if (entry->run != nullptr) running.push_back(entry.get());
  for (Entry* entry : running) entry->run->Stop(link::EndReason::kShutdown);
  if (running.empty() && shutdown_done_)
    std::exchange(shutdown_done_, nullptr)();
}

Catalogue::Totals Catalogue::totals() const {
  Totals sum = ended_;
  sum.recorder_deaths = context_.recorders.deaths();
  for (const auto& [id, entry] : table_->entries)
    if (entry->run != nullptr)
      AddCounters(sum.counters, entry->record.counters);
  return sum;
}

int Catalogue::active() const {
  return static_cast<int>(
      std::count_if(table_->entries.begin(), table_->entries.end(),
                    [](const auto& e) { return e.second->run != nullptr; }));
}

int Catalogue::known() const {
  return static_cast<int>(table_->entries.size());
}

}  // namespace kine
