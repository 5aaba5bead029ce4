#include "daemon/control/live/live_feed.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "daemon/base/limits/live.h"
#include "daemon/base/log.h"
#include "encode/mp4/fragment_layout.h"
#include "encode/mp4/sample_index.h"

namespace kine {
namespace {

// How long a picture is said to last whose successor is not there yet: until
// then one comes, of a still screen too. MSE takes a step of more than twice
// the stated length for a jump, and shows nothing before the next keyframe.
constexpr uint64_t kStillTicks = static_cast<uint64_t>(limits::kLiveStillMs) *
                                 limits::kMediaTimeScale / 1'000;

constexpr absl::string_view kEmptyBox(
    "\0\0\0\x08"
    "free",
    8);

}  // namespace

// Shared by the feed and its readers; the feed's end marks it ended.
class LiveFeed::State {
 public:
  struct Entry {
    link::Fragment fragment;
    MonoTime arrived;
  };

  State(Loop& loop, Watch watch)
      : loop_(loop), watch_(std::move(watch)), wakes_(loop) {}

  void OnHead(const link::Head& head) {
    head_ = head;
    wakes_.WakeAll();
  }
  void OnFragment(link::Fragment fragment);
  void End() {
    ended_ = true;
    heartbeat_.Cancel();
    wakes_.WakeAll();
  }

  WakeList::Place Add(StreamBody::Wake wake);
  void Remove();
  // Asks for a keyframe, unless that was just done for one who is slow.
  void AskForSlow();
  void CountSkip() { ++skips_; }

  MonoTime Now() const { return loop_.clock().Now(); }
  const std::optional<link::Head>& head() const { return head_; }
  bool ended() const { return ended_; }
  // Fragments are numbered from 1 on.
  uint64_t newest() const { return newest_; }
  uint64_t oldest() const { return newest_ - entries_.size() + 1; }
  const Entry& at(uint64_t number) const {
    return entries_[static_cast<size_t>(number - oldest())];
  }
  // Its number; 0: there is none.
  uint64_t NewestKeyframe() const;

  uint64_t beats() const { return beats_; }
  int readers() const { return readers_; }
  uint64_t skips() const { return skips_; }

 private:
  void Beat();

  Loop& loop_;
  Watch watch_;
  std::optional<link::Head> head_;
  std::deque<Entry> entries_;
  uint64_t newest_ = 0;
  bool ended_ = false;
  int readers_ = 0;
  uint64_t skips_ = 0;
  std::optional<MonoTime> asked_for_slow_;
  WakeList wakes_;
  uint64_t beats_ = 0;
  LoopHandle heartbeat_;  // While there are readers.
};

// One client's place.
class LiveFeed::Reader {
 public:
  Reader(std::shared_ptr<State> state, std::shared_ptr<const UniqueFd> video,
         uint64_t pad)
      : state_(std::move(state)),
        video_(std::move(video)),
        pad_(pad),
        joined_at_(state_->Now()),
        beats_(state_->beats()) {}
  ~Reader() {
    if (place_ != nullptr) state_->Remove();
  }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  void Start(StreamBody::Wake wake) { place_ = state_->Add(std::move(wake)); }
  StreamBody::State Read(std::string& out);
  std::vector<FileRange> TakeFiles() { return std::exchange(files_, {}); }

 private:
  StreamBody::State ReadPiece(std::string& out);
  void Pad(std::string& out) const;
  // Puts `next_` where it goes on; false when that is still to come.
  bool FindNext();
  void GoTo(uint64_t number);
  void Append(std::string& out);

  const std::shared_ptr<State> state_;
  const std::shared_ptr<const UniqueFd> video_;
  const uint64_t pad_;
  const MonoTime joined_at_;
  WakeList::Place place_;  // From its start on.
  bool init_sent_ = false;
  std::vector<FileRange> files_;
  uint64_t next_ = 0;   // 0: it has not begun.
  uint64_t shift_ = 0;  // What its time line is behind the recording's; modulo.
  uint64_t end_ = 0;    // Of what it got, on its time line.
  uint64_t beats_ = 0;
  uint64_t sent_ = 0;  // Bytes, in all.
};

void LiveFeed::State::OnFragment(link::Fragment fragment) {
  if (readers_ == 0) return;  // The last one has just left.
  Beat();
  if (!entries_.empty()) {
    const link::Fragment& before = entries_.back().fragment;
    if (before.mdat_offset + before.mdat_bytes + fragment.moof.size() !=
        fragment.mdat_offset) {
      entries_.clear();
      ++newest_;  // Whoever waits for that one has lost it.
    }
  }
  entries_.push_back(Entry{std::move(fragment), Now()});
  ++newest_;
  if (entries_.size() > limits::kLiveFragments) entries_.pop_front();
  wakes_.WakeAll();
}

uint64_t LiveFeed::State::NewestKeyframe() const {
  for (uint64_t number = newest_; number >= oldest() && number > 0; --number)
    if (at(number).fragment.keyframe) return number;
  return 0;
}

WakeList::Place LiveFeed::State::Add(StreamBody::Wake wake) {
  ++readers_;
  Beat();
  if (!ended_) watch_(true);
  return wakes_.Add(std::move(wake));
}

void LiveFeed::State::Remove() {
  if (--readers_ > 0) return;
  heartbeat_.Cancel();
  // What comes for the next one does not follow on these.
  entries_.clear();
  if (!ended_) watch_(false);
}

void LiveFeed::State::AskForSlow() {
  const MonoTime now = Now();
  if (ended_ ||
      (asked_for_slow_.has_value() &&
       now - *asked_for_slow_ < absl::Milliseconds(limits::kKeyframeMs)))
    return;
  asked_for_slow_ = now;
  watch_(true);
}

void LiveFeed::State::Beat() {
  if (ended_) return;
  heartbeat_ = LoopHandle(
      loop_,
      loop_.PostAfter(absl::Milliseconds(limits::kEventHeartbeatMs), [this] {
        ++beats_;
        wakes_.WakeAll();
        Beat();
      }));
}

bool LiveFeed::Reader::FindNext() {
  const uint64_t keyframe = state_->NewestKeyframe();
  if (next_ == 0) {
    if (keyframe == 0 ||
        state_->at(keyframe).arrived <
            joined_at_ - absl::Milliseconds(limits::kLiveJoinMs))
      return false;
    GoTo(keyframe);
    return true;
  }
  if (next_ > state_->newest()) return false;
  const bool lost = next_ < state_->oldest();
  const bool late = lost || state_->Now() - state_->at(next_).arrived >
                                absl::Milliseconds(limits::kLiveLagMs);
  if (!late) return true;
  if (keyframe > next_) {
    state_->CountSkip();
    GoTo(keyframe);
    return true;
  }
  state_->AskForSlow();
  return !lost;
}

void LiveFeed::Reader::GoTo(uint64_t number) {
  next_ = number;
  shift_ = state_->at(number).fragment.first_ticks - end_;
}

void LiveFeed::Reader::Append(std::string& out) {
  const link::Fragment& fragment = state_->at(next_).fragment;
  uint64_t last = kStillTicks;
  if (next_ < state_->newest()) {
    last = state_->at(next_ + 1).fragment.first_ticks - fragment.last_ticks;
    last = std::min(last, mp4::kSampleTicksMax);
  }
  const size_t at = out.size();
  out += fragment.moof;
  const std::span<char> moof(out.data() + at, fragment.moof.size());
  if (!mp4::RetimeMoof(std::as_writable_bytes(moof),
                       fragment.first_ticks - shift_, last))
    LogWarning("live: a fragment that is none of this version's");
  files_.push_back({video_, fragment.mdat_offset, fragment.mdat_bytes});
  end_ = fragment.last_ticks - shift_ + last;
  ++next_;
}

StreamBody::State LiveFeed::Reader::Read(std::string& out) {
  const StreamBody::State state = ReadPiece(out);
  if (state == StreamBody::State::kWait) Pad(out);
  sent_ += out.size();
  for (const FileRange& range : files_) sent_ += range.size;
  return state;
}

void LiveFeed::Reader::Pad(std::string& out) const {
  const uint64_t at = sent_ + out.size();
  if (pad_ == 0 || at % pad_ == 0) return;
  uint64_t size = pad_ - at % pad_;
  if (size < kEmptyBox.size()) size += pad_;
  for (int shift = 24; shift >= 0; shift -= 8)
    out.push_back(static_cast<char>(size >> shift));
  absl::StrAppend(&out, kEmptyBox.substr(4));
  out.append(size - kEmptyBox.size(), '\0');
}

StreamBody::State LiveFeed::Reader::ReadPiece(std::string& out) {
  if (!init_sent_) {
    const std::optional<link::Head>& head = state_->head();
    if (!head.has_value())
      return state_->ended() ? StreamBody::State::kEnd
                             : StreamBody::State::kWait;
    init_sent_ = true;
    files_.push_back({video_, 0, head->ftyp_bytes});
    files_.push_back({video_, head->moov_offset, head->moov_bytes});
    return StreamBody::State::kMore;
  }
  const bool beat = std::exchange(beats_, state_->beats()) != state_->beats();
  if (!FindNext()) {
    if (state_->ended()) return StreamBody::State::kEnd;
    if (beat) absl::StrAppend(&out, kEmptyBox);
    return StreamBody::State::kWait;
  }
  Append(out);
  return StreamBody::State::kMore;
}

LiveFeed::LiveFeed(Loop& loop, Watch watch)
    : state_(std::make_shared<State>(loop, std::move(watch))) {}

LiveFeed::~LiveFeed() { End(); }

void LiveFeed::OnHead(const link::Head& head) { state_->OnHead(head); }

void LiveFeed::OnFragment(link::Fragment fragment) {
  state_->OnFragment(std::move(fragment));
}

void LiveFeed::End() { state_->End(); }

StreamBody LiveFeed::Follow(std::shared_ptr<const UniqueFd> video,
                            uint64_t pad) {
  auto reader = std::make_shared<Reader>(state_, std::move(video), pad);
  StreamBody body;
  body.start = [reader](StreamBody::Wake wake) {
    reader->Start(std::move(wake));
  };
  body.read = [reader](size_t, std::string& out) { return reader->Read(out); };
  body.files = [reader] { return reader->TakeFiles(); };
  return body;
}

int LiveFeed::readers() const { return state_->readers(); }

uint64_t LiveFeed::skips() const { return state_->skips(); }

}  // namespace kine
