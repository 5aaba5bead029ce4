// Statuses, descriptors, checksums, histograms, the mailbox, quoting.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "daemon/base/clock.h"
#include "daemon/base/crc32c.h"
#include "daemon/base/fd.h"
#include "daemon/base/latest_mailbox.h"
#include "daemon/base/log.h"
#include "daemon/base/metrics.h"
#include "daemon/base/status.h"

namespace kine {
namespace {

std::span<const std::byte> Bytes(const std::string& s) {
  return std::as_bytes(std::span(s.data(), s.size()));
}

TEST(StatusTest, ErrnoStatusKeepsTheErrnoThroughContext) {
  const absl::Status status =
      WithContext("recording 'a'", ErrnoStatus(ENOSPC, "write"));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(), "recording 'a': write: No space left on device");
  EXPECT_EQ(ErrnoOf(status), ENOSPC);
}

TEST(StatusTest, AStatusWithoutErrnoHasNone) {
  EXPECT_EQ(ErrnoOf(absl::InternalError("x")), 0);
  EXPECT_EQ(ErrnoOf(absl::OkStatus()), 0);
  EXPECT_TRUE(WithContext("x", absl::OkStatus()).ok());
}

absl::StatusOr<int> Half(int n) {
  if (n % 2 != 0) return absl::InvalidArgumentError("odd");
  return n / 2;
}
absl::StatusOr<int> Quarter(int n) {
  KINE_ASSIGN_OR_RETURN(const int half, Half(n));
  KINE_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}
TEST(StatusTest, TheMacrosReturnErrorsAndUnwrapValues) {
  EXPECT_EQ(Quarter(8).value(), 2);
  EXPECT_EQ(Quarter(6).status().message(), "odd");
  EXPECT_EQ(Quarter(5).status().message(), "odd");
}

TEST(UniqueFdTest, ClosesOnceAndMoves) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  {
    UniqueFd a(fds[0]);
    UniqueFd b(std::move(a));
    EXPECT_FALSE(a.valid());
    EXPECT_EQ(b.get(), fds[0]);
    EXPECT_NE(::fcntl(fds[0], F_GETFD), -1);
  }
  EXPECT_EQ(::fcntl(fds[0], F_GETFD), -1);
  UniqueFd w(fds[1]);
  EXPECT_EQ(w.Release(), fds[1]);
  w.Reset();
  EXPECT_NE(::fcntl(fds[1], F_GETFD), -1);
  ::close(fds[1]);
}

TEST(Crc32cTest, MatchesThePublishedVectors) {
  // RFC 3720 B.4.
  EXPECT_EQ(Crc32c(0, Bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(Crc32c(0, Bytes(std::string(32, '\0'))), 0x8a9136aau);
  EXPECT_EQ(Crc32c(0, Bytes(std::string(32, '\xff'))), 0x62a8ab43u);
}

TEST(Crc32cTest, HardwareAndTableAgreeAtEveryLengthAndSplit) {
  std::mt19937 random(3);
  std::string data(300, '\0');
  for (char& c : data) c = static_cast<char>(random());
  for (size_t n = 0; n < data.size(); ++n) {
    const std::string head = data.substr(0, n);
    const uint32_t whole = Crc32cPortable(0, Bytes(head));
    ASSERT_EQ(Crc32c(0, Bytes(head)), whole) << n;
    const size_t cut = n / 3;
    ASSERT_EQ(
        Crc32c(Crc32c(0, Bytes(head.substr(0, cut))), Bytes(head.substr(cut))),
        whole);
  }
}

TEST(HistogramTest, QuantilesAreAtMostOneSixteenthTooHigh) {
  Histogram h;
  for (int i = 1; i <= 10'000; ++i) h.Record(absl::Microseconds(i));
  for (double q : {0.01, 0.5, 0.9, 0.99, 1.0}) {
    const double truth = 1 + q * 9'999;
    const double got = absl::ToDoubleMicroseconds(h.Quantile(q));
    EXPECT_GE(got, truth - 1) << q;
    EXPECT_LE(got, truth * 1.0626 + 1) << q;
  }
  EXPECT_EQ(h.count(), 10'000u);
  EXPECT_EQ(h.max(), absl::Microseconds(10'000));
  EXPECT_EQ(h.sum(), absl::Microseconds(10'000ll * 10'001 / 2));
}

TEST(HistogramTest, TakesZeroNegativeAndHours) {
  Histogram h;
  EXPECT_EQ(h.Quantile(0.5), absl::ZeroDuration());
  h.Record(absl::Microseconds(-5));
  EXPECT_EQ(h.max(), absl::ZeroDuration());
  h.Record(absl::Hours(100));
  EXPECT_EQ(h.count(), 2u);
  EXPECT_EQ(h.max(), absl::Hours(100));
  EXPECT_GE(h.Quantile(1), absl::Minutes(70));
}

TEST(LatestMailboxTest, TheNewestWinsAndTheLostAreMergedAndCounted) {
  LatestMailbox<std::vector<int>> box;
  auto merge = [](std::vector<int>&& older, std::vector<int>& newer) {
    newer.insert(newer.begin(), older.begin(), older.end());
  };
  EXPECT_TRUE(box.Put({1}, merge));
  EXPECT_FALSE(box.Put({2}, merge));
  EXPECT_FALSE(box.Put({3}, merge));
  EXPECT_EQ(box.lost(), 2u);
  EXPECT_EQ(box.Take(), (std::vector<int>{1, 2, 3}));
  EXPECT_FALSE(box.Take().has_value());
  EXPECT_TRUE(box.Put({4}, merge));
}

TEST(LatestMailboxTest, NothingIsLostUncountedBetweenThreads) {
  LatestMailbox<int> box;
  constexpr int kCount = 50'000;
  std::atomic<bool> ended{false};
  uint64_t taken = 0;
  int last = -1;
  std::thread consumer([&] {
    while (true) {
      const bool end = ended.load();
      if (auto v = box.Take()) {
        EXPECT_GT(*v, last);
        last = *v;
        ++taken;
      } else if (end) {
        return;
      }
    }
  });
  for (int i = 0; i < kCount; ++i) box.Put(i, [](int&&, int&) {});
  ended = true;
  consumer.join();

  EXPECT_EQ(taken + box.lost(), static_cast<uint64_t>(kCount));
  EXPECT_EQ(last, kCount - 1);
}

TEST(LogTest, ForeignTextIsQuotedAndBounded) {
  EXPECT_EQ(Quoted("a'b\n\x01"), "'a\\'b\\n\\x01'");
  EXPECT_LT(Quoted(std::string(100'000, 'x')).size(), 300u);
}

TEST(MonoTimeTest, AnInfiniteWaitEndsAtTheLastTime) {
  const MonoTime now = SystemClock().Now();
  const MonoTime end = now + absl::InfiniteDuration();
  EXPECT_EQ(end.nanos(), std::numeric_limits<int64_t>::max());
  EXPECT_GT(end - now, absl::Hours(24 * 365 * 100));
  EXPECT_EQ((MonoTime::FromNanos(-2) + -absl::InfiniteDuration()).nanos(),
            std::numeric_limits<int64_t>::min());
}

}  // namespace
}  // namespace kine
