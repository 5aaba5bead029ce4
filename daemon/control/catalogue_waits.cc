// Those who wait for a recording, and what they ask it to become first.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits.h"
#include "daemon/base/limits/timeline.h"
#include "daemon/base/log.h"
#include "daemon/control/catalogue_table.h"

namespace kine {
namespace {

// FAILED_PRECONDITION unless it runs and has a picture.
absl::Status MayPause(const RecordingRecord& record) {
  const RecordingState state = record.state;
  if (state == RecordingState::kRecording || state == RecordingState::kPaused)
    return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "recording ", Quoted(record.id), " is ", RecordingStateName(state),
      state == RecordingState::kStarting
          ? ": it has no picture yet; wait for `first_frame`"
          : ": only one that runs can be paused and resumed"));
}

// Whether `state` is what a waiter waits for, or will never be.
bool Happened(Catalogue::WaitFor what, RecordingState state) {
  if (!IsActive(state)) return true;
  switch (what) {
    case Catalogue::WaitFor::kFirstFrame:
      return state != RecordingState::kStarting;
    case Catalogue::WaitFor::kPaused:
      return state != RecordingState::kRecording;
    case Catalogue::WaitFor::kRecording:
      return state != RecordingState::kPaused;
    case Catalogue::WaitFor::kReady:
      return false;
  }
  return false;
}

}  // namespace

absl::Status NoSuchRecording(absl::string_view id) {
  return absl::NotFoundError(absl::StrCat("there is no recording ", Quoted(id),
                                          "; GET /v1/recordings lists them"));
}

void Catalogue::Stop(absl::string_view id, const Viewer& viewer,
                     bool wait_ready, Answer answer) {
  Entry* entry = FindEntry(id, viewer);
  if (entry == nullptr) {
    answer(NoSuchRecording(id));
    return;
  }
  if (entry->run != nullptr && IsActive(entry->record.state))
    entry->run->Stop(link::EndReason::kStopped);
  if (!wait_ready || !IsActive(entry->record.state)) {
    answer(&entry->record);
    return;
  }
  AddWaiter(*entry, WaitFor::kReady, absl::Milliseconds(limits::kWaitMaxMs),
            std::move(answer));
}

void Catalogue::SetPaused(absl::string_view id, const Viewer& viewer,
                          bool paused, Answer answer) {
  Entry* entry = FindEntry(id, viewer);
  if (entry == nullptr) {
    answer(NoSuchRecording(id));
    return;
  }
  if (absl::Status status = MayPause(entry->record); !status.ok()) {
    answer(status);
    return;
  }
  if (paused && entry->run->timeline().pauses().size() >= limits::kPausesMax &&
      entry->record.state == RecordingState::kRecording) {
    answer(absl::ResourceExhaustedError(absl::StrCat(
        "limit pauses (", limits::kPausesMax,
        ") of this recording is reached: stop it and start another one")));
    return;
  }
  entry->run->SetPaused(paused);
  AddWaiter(*entry, paused ? WaitFor::kPaused : WaitFor::kRecording,
            absl::Milliseconds(limits::kWaitMaxMs),
            [answer = std::move(answer)](
                absl::StatusOr<const RecordingRecord*> record) mutable {
              // It ended meanwhile.
              const absl::Status status =
                  record.ok() ? MayPause(**record) : record.status();
              if (status.ok())
                answer(record);
              else
                answer(status);
            });
}

void Catalogue::Wait(absl::string_view id, const Viewer& viewer, WaitFor what,
                     absl::Duration timeout, Answer answer) {
  Entry* entry = FindEntry(id, viewer);
  if (entry == nullptr) {
    answer(NoSuchRecording(id));
    return;
  }
  AddWaiter(*entry, what, timeout, std::move(answer));
}

std::shared_ptr<const UniqueFd> Catalogue::FindTrace(
    absl::string_view id, const Viewer& viewer) const {
  const Entry* entry = FindEntry(id, viewer);
  // Told to have ended, it has it on the way to the disk.
  if (entry == nullptr || entry->run == nullptr ||
      !IsActive(entry->record.state))
    return nullptr;
  return entry->run->trace();
}

absl::StatusOr<LiveFeed*> Catalogue::FindLive(absl::string_view id,
                                              const Viewer& viewer) const {
  Entry* entry = FindEntry(id, viewer);
  if (entry == nullptr) return NoSuchRecording(id);
  const RecordingState state = entry->record.state;
  if (entry->run == nullptr || !IsActive(state) ||
      state == RecordingState::kFinalizing)
    return absl::FailedPreconditionError(absl::StrCat(
        "recording ", Quoted(id), " is ", RecordingStateName(state),
        ": only one that runs can be watched; its artifact has what was"));
  return &entry->run->live();
}

void Catalogue::AddWaiter(Entry& entry, WaitFor what, absl::Duration timeout,
                          Answer answer) {
  const uint64_t number = table_->next_waiter++;
  LoopHandle timer(
      context_.loop, context_.loop.PostAfter(timeout, [&entry, number] {
        const auto it = std::find_if(
            entry.waiters.begin(), entry.waiters.end(),
            [number](const Waiter& w) { return w.number == number; });
        Answer late = std::move(it->answer);
        entry.waiters.erase(it);
        late(&entry.record);  // Running out is no error.
      }));
  entry.waiters.push_back(
      Waiter{number, what, std::move(answer), std::move(timer)});
  AnswerWaiters(entry);
}

void Catalogue::AnswerWaiters(Entry& entry) {
  const RecordingState state = entry.record.state;
  std::vector<Waiter> due;
  auto& waiters = entry.waiters;
  for (auto it = waiters.begin(); it != waiters.end();) {
    const bool happened = Happened(it->what, state);
    if (happened) {
      due.push_back(std::move(*it));
      it = waiters.erase(it);
    } else {
      ++it;
    }
  }
  for (Waiter& waiter : due) waiter.answer(&entry.record);
}

}  // namespace kine
