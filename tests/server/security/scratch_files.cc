#include "tests/server/security/scratch_files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"

namespace flashcore::testing {

ScratchFiles::ScratchFiles() : folder_(absl::StrCat(::testing::TempDir(), "flashcore.XXXXXX")) {
  EXPECT_NE(mkdtemp(folder_.data()), nullptr) << folder_;
}

ScratchFiles::~ScratchFiles() { std::filesystem::remove_all(folder_); }

std::string ScratchFiles::Path(absl::string_view name) const { return absl::StrCat(folder_, "/", name); }

std::string ScratchFiles::Write(absl::string_view name, absl::string_view content) const {
  std::string path = Path(name);
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  EXPECT_TRUE(file.good()) << path;
  EXPECT_EQ(chmod(path.c_str(), S_IRUSR | S_IWUSR), 0) << path;
  return path;
}

std::string ScratchFiles::Replace(absl::string_view name, absl::string_view content) const {
  std::string path = Path(name);
  std::filesystem::rename(Write(absl::StrCat(name, ".new"), content), path);
  return path;
}

}  // namespace flashcore::testing
