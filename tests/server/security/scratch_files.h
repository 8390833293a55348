// A folder for the files of a test.
#ifndef FLASHCORE_TESTS_SERVER_SECURITY_SCRATCH_FILES_H_
#define FLASHCORE_TESTS_SERVER_SECURITY_SCRATCH_FILES_H_

#include <string>

#include "absl/strings/string_view.h"

namespace flashcore::testing {

// Made by the constructor, removed by the destructor.
class ScratchFiles {
 public:
  ScratchFiles();
  ~ScratchFiles();
  ScratchFiles(const ScratchFiles&) = delete;
  ScratchFiles& operator=(const ScratchFiles&) = delete;

  std::string Path(absl::string_view name) const;
  // In place, readable for the owner only. The path.
  std::string Write(absl::string_view name, absl::string_view content) const;
  // At once, as those should who replace files that others read. The path.
  std::string Replace(absl::string_view name, absl::string_view content) const;

 private:
  std::string folder_;
};

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_SERVER_SECURITY_SCRATCH_FILES_H_
