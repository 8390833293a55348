// Flags for the length of a test.
#ifndef FLASHCORE_TESTS_SERVER_CONFIG_SCOPED_FLAGS_H_
#define FLASHCORE_TESTS_SERVER_CONFIG_SCOPED_FLAGS_H_

#include <string>
#include <utility>
#include <vector>

#include "absl/flags/commandlineflag.h"
#include "absl/flags/reflection.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"

namespace flashcore::testing {

// Sets flags as the command line would, and puts them back.
class ScopedFlags {
 public:
  ScopedFlags() = default;
  ~ScopedFlags() {
    std::string error;
    for (const auto& [flag, value] : saved_) EXPECT_TRUE(flag->ParseFrom(value, &error)) << error;
  }
  ScopedFlags(const ScopedFlags&) = delete;
  ScopedFlags& operator=(const ScopedFlags&) = delete;

  void Set(absl::string_view name, absl::string_view value) {
    absl::CommandLineFlag* const flag = absl::FindCommandLineFlag(name);
    ASSERT_NE(flag, nullptr) << name;
    saved_.emplace_back(flag, flag->CurrentValue());
    std::string error;
    ASSERT_TRUE(flag->ParseFrom(value, &error)) << name << ": " << error;
  }

 private:
  std::vector<std::pair<absl::CommandLineFlag*, std::string>> saved_;
};

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_SERVER_CONFIG_SCOPED_FLAGS_H_
