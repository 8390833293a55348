// A folder for a test's sockets and files.
#ifndef FLASHCORE_TESTS_INTEGRATION_TEMPORARY_FOLDER_H_
#define FLASHCORE_TESTS_INTEGRATION_TEMPORARY_FOLDER_H_

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace flashcore::testing {

// Goes with the test, if it is empty by then.
class TemporaryFolder {
 public:
  TemporaryFolder() { EXPECT_NE(mkdtemp(path_), nullptr); }
  ~TemporaryFolder() { rmdir(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string operator/(absl::string_view name) const { return absl::StrCat(path_, "/", name); }

 private:
  char path_[32] = "/tmp/flashcore-test-XXXXXX";
};

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_INTEGRATION_TEMPORARY_FOLDER_H_
