// main() of every test binary. Adds to gtest's own output: the counts of
// passed, failed and skipped tests, appended as one line to the file named by
// KINE_TEST_COUNTS, so that tools/run_tests can add up a whole run and notice a
// binary that died (no line).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  const int result = RUN_ALL_TESTS();
  const testing::UnitTest& unit = *testing::UnitTest::GetInstance();
  const char* path = std::getenv("KINE_TEST_COUNTS");
  if (path != nullptr) {
    std::FILE* file = std::fopen(path, "ae");
    if (file == nullptr) return 1;
    for (int i = 0; i < unit.total_test_suite_count(); ++i) {
      const testing::TestSuite& suite = *unit.GetTestSuite(i);
      for (int j = 0; j < suite.total_test_count(); ++j) {
        const testing::TestInfo& test = *suite.GetTestInfo(j);
        if (test.should_run() && test.result()->Skipped())
          std::fprintf(file, "skipped %s.%s\n", suite.name(), test.name());
      }
    }
    std::fprintf(file, "%d %d %d\n", unit.successful_test_count(),
                 unit.failed_test_count(), unit.skipped_test_count());
    if (std::fclose(file) != 0) return 1;
  }
  return result;
}
