// One line on standard error that says what is going on: rewritten in place on a terminal, and now and then otherwise.
#ifndef FLASHCORE_CLIENT_LOAD_PROGRESS_H_
#define FLASHCORE_CLIENT_LOAD_PROGRESS_H_

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace flashcore {

// Not thread-safe.
class ProgressLine {
 public:
  // Between two lines where there is no terminal.
  static constexpr absl::Duration kInterval = absl::Seconds(5);

  ProgressLine();
  // Clears the line.
  ~ProgressLine();
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(absl::string_view text);

 private:
  const bool terminal_;
  absl::Time last_;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_PROGRESS_H_
