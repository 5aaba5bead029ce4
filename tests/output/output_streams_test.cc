// OutputStreams over real pipes and terminals, with a disk that fails when it
// is told to.
#include "daemon/output/output_streams.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "absl/strings/str_cat.h"
#include "daemon/base/limits/output.h"
#include "ipc/problem.h"
#include "tests/fakes/fake_file_io.h"
#include "tests/fakes/fake_loop.h"

namespace kine {
namespace {

using ::testing::HasSubstr;

class StreamsTest : public testing::Test, public ProcessOutput::Client {
 protected:
  StreamsTest() {
    std::signal(SIGPIPE, SIG_IGN);
    world_.AddActor(disk_);
    disk_.set_write_through(true);
  }
  ~StreamsTest() override {
    output_.reset();
    ::close(dir_);
  }
  void OnOutputLimit() override { ++limits_; }
  void OnPatternFound() override { ++found_; }
  void OnOutputRead() override { ++reads_; }

  // Both ends non-blocking: a test never waits.
  static void Pipe(UniqueFd& read_end, UniqueFd& write_end, int size = 0) {
    int fds[2];
    ASSERT_EQ(::pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    read_end = UniqueFd(fds[0]);
    write_end = UniqueFd(fds[1]);
    if (size > 0) ::fcntl(fds[1], F_SETPIPE_SZ, size);
  }
  void Start(bool input = false) {
    ProcessFds fds;
    Pipe(fds.out, out_);
    if (!request_.merged()) Pipe(fds.err, err_);
    if (input) Pipe(in_, fds.in);
    output_ = pool_.Make(request_, std::move(fds), *this);
  }
  OutputStreams& streams() {
    return *static_cast<StoredOutput&>(*output_).streams();
  }
  // All of it, running the world when the pipe is full. False: it stays full.
  bool Write(const std::string& bytes) {
    size_t at = 0;
    sent_ = 0;
    while (at < bytes.size()) {
      const ssize_t count =
          ::write(out_.get(), bytes.data() + at, bytes.size() - at);
      if (count > 0) {
        sent_ = at += static_cast<size_t>(count);
        stuck_ = 0;
      } else if (++stuck_ > 2000) {
        return false;
      }
      world_.Settle();
    }
    return true;
  }
  // Everything from `from`, gaps left out.
  std::string ReadAll(uint64_t from = 0, uint64_t max = 50'000) {
    std::string all;
    gap_ = 0;
    for (bool more = true; more;) {
      bool answered = false;
      streams().Read(Stream::kOut, from, max,
                     [&](absl::StatusOr<OutputStreams::Chunk> chunk) {
                       answered = true;
                       ASSERT_TRUE(chunk.ok()) << chunk.status();
                       gap_ += chunk->at - from;
                       more = !chunk->bytes.empty();
                       from = chunk->at + chunk->bytes.size();
                       all += chunk->bytes;
                     });
      if (!answered) world_.Settle();
      EXPECT_TRUE(answered);
      if (HasFailure()) break;
    }
    return all;
  }
  static std::string Counter(int lines) {
    std::string text;
    for (int i = 0; i < lines; ++i) text += absl::StrCat(i, " line\n");
    return text;
  }

  FakeWorld world_{1};
  FakeLoop& loop_ = world_.AddLoop("control");
  FakeFileIo disk_{&loop_};
  const int dir_ = ::open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  OutputPool pool_{loop_, disk_, dir_, {8u << 20, 16u << 20}};
  ProcessRequest request_;
  UniqueFd out_, err_, in_;
  std::unique_ptr<ProcessOutput> output_;
  int limits_ = 0, found_ = 0, reads_ = 0, stuck_ = 0;
  uint64_t gap_ = 0;
  size_t sent_ = 0;  // Of the last Write().
};

TEST_F(StreamsTest, ReadsBothStreamsSeparately) {
  Start();
  ASSERT_EQ(::write(out_.get(), "out", 3), 3);
  ASSERT_EQ(::write(err_.get(), "problem", 7), 7);
  world_.Settle();
  EXPECT_EQ(streams().store(Stream::kOut).Contiguous(0, 9), "out");
  EXPECT_EQ(streams().store(Stream::kErr).Contiguous(0, 9), "problem");
  EXPECT_EQ(output_->totals().bytes, 10u);
  EXPECT_GE(reads_, 1);
}

TEST_F(StreamsTest, TheLastLineIsThereWhenTheExitIsTold) {
  Start();
  const std::string text = Counter(5000);
  ASSERT_EQ(::write(out_.get(), text.data(), text.size()),
            ssize_t(text.size()));
  out_.Reset();
  // The loop has had no turn: the pidfd came first.
  output_->DrainAfterExit();
  EXPECT_EQ(output_->totals().bytes, text.size());
  EXPECT_TRUE(streams().ended(Stream::kOut));
  EXPECT_EQ(ReadAll(), text);
}

TEST_F(StreamsTest, QuietAfterTheExitIsTheEndAlsoWithAGrandchild) {
  Start();
  output_->DrainAfterExit();  // out_ is still open: somebody has it.
  EXPECT_FALSE(streams().ended(Stream::kOut));
  world_.Advance(absl::Milliseconds(limits::kOutputQuietMs - 1));
  EXPECT_FALSE(streams().ended(Stream::kOut));
  ASSERT_TRUE(Write("late"));
  world_.Advance(absl::Milliseconds(limits::kOutputQuietMs - 1));
  EXPECT_FALSE(streams().ended(Stream::kOut));
  world_.Advance(absl::Milliseconds(1));
  EXPECT_TRUE(streams().ended(Stream::kOut));
  EXPECT_TRUE(output_->totals().open);
  ASSERT_TRUE(Write(" later"));  // Kept all the same.
  EXPECT_EQ(ReadAll(), "late later");
}

TEST_F(StreamsTest, WhatMemoryDoesNotHoldIsReadFromTheFile) {
  request_.output.head_bytes = request_.output.tail_bytes = 64 << 10;
  request_.output.spool_bytes = 2 << 20;
  Start();
  const std::string text = Counter(200'000);  // 2.2 MB
  ASSERT_GT(text.size(), 2u << 20);
  ASSERT_TRUE(Write(text));
  world_.Settle();
  EXPECT_EQ(output_->totals().dropped, 0u);
  EXPECT_EQ(ReadAll(), text);
  EXPECT_EQ(gap_, 0u);
  EXPECT_LT(pool_.metrics().memory_bytes.value(), 400 << 10);
  EXPECT_EQ(pool_.metrics().spool_bytes.value(), 2 << 20);
  output_.reset();
  EXPECT_EQ(pool_.metrics().memory_bytes.value(), 0);
  EXPECT_EQ(pool_.metrics().spool_bytes.value(), 0);
}

TEST_F(StreamsTest, WhatDoesNotFitTheFileIsAToldGap) {
  request_.output.head_bytes = request_.output.tail_bytes = 64 << 10;
  request_.output.spool_bytes = 512 << 10;
  Start();
  const std::string text = Counter(200'000);
  ASSERT_TRUE(Write(text));
  world_.Settle();
  const std::string got = ReadAll();
  EXPECT_GT(gap_, 1u << 20);
  EXPECT_EQ(gap_, output_->totals().dropped);
  EXPECT_EQ(got.size() + gap_, text.size());
  EXPECT_EQ(got.substr(0, (64 + 512) << 10), text.substr(0, (64 + 512) << 10));
  EXPECT_EQ(got.substr(got.size() - (64 << 10)),
            text.substr(text.size() - (64 << 10)));
}

TEST_F(StreamsTest, ADiskThatFailsCostsTheMiddleAndNothingElse) {
  request_.output.head_bytes = request_.output.tail_bytes = 64 << 10;
  Start();
  disk_.FailNext(3, ENOSPC);
  const std::string text = Counter(200'000);
  ASSERT_TRUE(Write(text));
  const std::string got = ReadAll();
  EXPECT_EQ(got.size() + gap_, text.size());
  EXPECT_GT(gap_, 0u);
  EXPECT_EQ(pool_.metrics().spool_refused.value(), 1u);
}

TEST_F(StreamsTest, ADiskThatHangsHoldsNobodyUpForLong) {
  request_.output.head_bytes = request_.output.tail_bytes = 64 << 10;
  Start();
  world_.RemoveActor(disk_);  // Nothing it is asked for is done.
  const std::string text = Counter(200'000);
  EXPECT_FALSE(Write(text));
  world_.Advance(absl::Milliseconds(limits::kSpoolSlowMs));
  stuck_ = 0;
  EXPECT_TRUE(Write(text));
  EXPECT_LT(pool_.metrics().memory_bytes.value(), 400 << 10);
}

TEST_F(StreamsTest, BlockIsBackPressureUntilSomebodyReads) {
  request_.merge_stderr = true;
  request_.output.head_bytes = request_.output.tail_bytes = 64 << 10;
  request_.output.spool_bytes = 0;
  request_.output.on_full = ProcessRequest::OnFull::kBlock;
  Start();
  const std::string text = Counter(100'000);
  EXPECT_FALSE(Write(text));
  EXPECT_EQ(output_->totals().dropped, 0u);
  // Who asks for what follows gets every byte.
  std::string got = ReadAll();
  EXPECT_EQ(gap_, 0u);
  size_t at = sent_;
  while (at < text.size()) {
    const ssize_t count =
        ::write(out_.get(), text.data() + at, text.size() - at);
    if (count > 0) at += static_cast<size_t>(count);
    world_.Settle();
    const std::string more = ReadAll(got.size());
    EXPECT_EQ(gap_, 0u);
    ASSERT_TRUE(count > 0 || !more.empty()) << "stuck at " << at;
    got += more;
  }
  world_.Settle();
  got += ReadAll(got.size());
  EXPECT_TRUE(got == text);
}

TEST_F(StreamsTest, KillIsAskedForOnceWhenSomethingIsLost) {
  request_.output.head_bytes = request_.output.tail_bytes = 64 << 10;
  request_.output.spool_bytes = 128 << 10;
  request_.output.on_full = ProcessRequest::OnFull::kKill;
  Start();
  ASSERT_TRUE(Write(std::string(250 << 10, 'x')));
  EXPECT_EQ(limits_, 0);
  ASSERT_TRUE(Write(std::string(500 << 10, 'x')));
  EXPECT_EQ(limits_, 1);
}

TEST_F(StreamsTest, ThePatternIsToldOnce) {
  request_.ready.regex = "^up$";
  Start();
  ASSERT_TRUE(Write("starting\nu"));
  EXPECT_EQ(found_, 0);
  ASSERT_TRUE(Write("p\nup\n"));
  EXPECT_EQ(found_, 1);
}

TEST_F(StreamsTest, OutputOfEndedCommandsMakesRoomForNewOnes) {
  request_.output.head_bytes = 4u << 20;
  request_.output.tail_bytes = 4u << 20;
  Start();
  auto first = std::move(output_);
  ASSERT_TRUE(Write(std::string(8'300'000, 'x')));
  const absl::Status refused = pool_.Admit(request_);
  EXPECT_EQ(ProblemOf(refused).status, 429);
  EXPECT_EQ(ProblemOf(refused).code, "output_memory");
  first->DrainAfterExit();
  world_.Advance(absl::Seconds(1));
  EXPECT_TRUE(pool_.Admit(request_).ok());
  EXPECT_TRUE(static_cast<StoredOutput&>(*first).streams()->forgotten());
  EXPECT_EQ(first->totals().bytes, 8'300'000u);  // Still told.
}

TEST_F(StreamsTest, ShortMemoryIsSharedNotExceeded) {
  request_.output.head_bytes = 16u << 20;
  request_.output.tail_bytes = 16u << 20;
  request_.output.spool_bytes = 0;
  Start();
  ASSERT_TRUE(Write(std::string(12u << 20, 'x')));
  EXPECT_LE(pool_.metrics().memory_bytes.value(), (8 << 20) + (256 << 10));
  EXPECT_EQ(ReadAll().size() + gap_, 12u << 20);
}

TEST_F(StreamsTest, ATerminalEndsWithItsLastUser) {
  int master = -1;
  int slave = -1;
  ASSERT_EQ(::openpty(&master, &slave, nullptr, nullptr, nullptr), 0);
  ::fcntl(master, F_SETFL, O_NONBLOCK);
  request_.pty.emplace();
  ProcessFds fds;
  fds.terminal = UniqueFd(master);
  output_ = pool_.Make(request_, std::move(fds), *this);
  ASSERT_EQ(::write(slave, "hi\n", 3), 3);
  world_.Settle();
  EXPECT_EQ(ReadAll(), "hi\r\n");
  EXPECT_EQ(output_->terminal(), master);
  ASSERT_NE(streams().input(), nullptr);
  ::close(slave);
  world_.Settle();
  EXPECT_TRUE(streams().ended(Stream::kOut));
  EXPECT_EQ(output_->terminal(), -1);
}

class InputTest : public StreamsTest {
 protected:
  struct Result {
    bool answered = false;
    absl::Status status;
    InputPipe::State state;
  };
  std::shared_ptr<Result> Put(uint64_t offset, const std::string& bytes,
                              bool eof = false) {
    auto result = std::make_shared<Result>();
    streams().input()->Write(offset, bytes, eof, absl::Seconds(30),
                             [result](absl::StatusOr<InputPipe::State> state) {
                               result->answered = true;
                               result->status = state.status();
                               if (state.ok()) result->state = *state;
                             });
    return result;
  }
  std::string Received() {
    std::string all;
    char buffer[4096];
    for (;;) {
      const ssize_t count = ::read(in_.get(), buffer, sizeof buffer);
      if (count <= 0) {
        at_end_ = count == 0;
        return all;
      }
      all.append(buffer, static_cast<size_t>(count));
    }
  }
  bool at_end_ = false;
};

TEST_F(InputTest, SayingItAgainDoesNoHarm) {
  Start(true);
  EXPECT_EQ(Put(0, "hello ")->state.next, 6u);
  EXPECT_EQ(Put(0, "hello ")->state.next, 6u);
  EXPECT_EQ(Put(3, "lo world", true)->state.next, 11u);
  EXPECT_TRUE(Put(3, "lo world", true)->state.closed);
  EXPECT_EQ(Received(), "hello world");
  EXPECT_TRUE(at_end_);
  EXPECT_EQ(ProblemOf(Put(11, "more")->status).code, "stdin_closed");
}

TEST_F(InputTest, AMissingPieceIsNamed) {
  Start(true);
  const auto put = Put(5, "x");
  EXPECT_EQ(ProblemOf(put->status).status, 409);
  EXPECT_EQ(ProblemOf(put->status).code, "stdin_gap");
  EXPECT_THAT(std::string(put->status.message()), HasSubstr("go on at 0"));
}

TEST_F(InputTest, ACommandThatDoesNotReadMakesTheWriterWait) {
  Start(true);
  const std::string big(limits::kStdinBytesMax, 'x');
  const auto first = Put(0, big);
  EXPECT_FALSE(first->answered);
  const auto second = Put(big.size(), big);  // What the pipe took is free.
  EXPECT_FALSE(second->answered);
  EXPECT_EQ(ProblemOf(Put(streams().input()->state().next, big)->status).code,
            "stdin_full");
  std::string all = Received();
  world_.Settle();
  while (!second->answered) {
    all += Received();
    world_.Settle();
  }
  all += Received();
  EXPECT_TRUE(first->answered);
  EXPECT_EQ(all.size(), second->state.next);
  EXPECT_LT(second->state.next, 2 * big.size());  // It says where to go on.
}

TEST_F(InputTest, TheWaitHasAnEnd) {
  Start(true);
  const auto put = Put(0, std::string(limits::kStdinBytesMax, 'x'));
  world_.Advance(absl::Seconds(30));
  ASSERT_TRUE(put->answered);
  EXPECT_EQ(put->state.next, limits::kStdinBytesMax);
  EXPECT_LT(put->state.written, put->state.next);
}

TEST_F(InputTest, ANewsOfTheExitEndsTheWait) {
  Start(true);
  const auto put = Put(0, std::string(limits::kStdinBytesMax, 'x'));
  output_->DrainAfterExit();
  EXPECT_TRUE(put->answered);
  EXPECT_TRUE(put->state.closed);
}

TEST_F(InputTest, AClosedReaderIsTold) {
  Start(true);
  in_.Reset();
  Put(0, "x");
  EXPECT_EQ(ProblemOf(Put(1, "y")->status).code, "stdin_closed");
}

}  // namespace
}  // namespace kine
