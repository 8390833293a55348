#include "client/load/progress.h"

#include <unistd.h>

#include <cstdio>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"

namespace flashcore {
namespace {

// To the start of the line, and clear it.
constexpr char kClearLine[] = "\r\x1b[K";

}  // namespace

ProgressLine::ProgressLine() : terminal_(isatty(STDERR_FILENO) != 0), last_(absl::Now()) {}

ProgressLine::~ProgressLine() {
  if (terminal_) absl::FPrintF(stderr, "%s", kClearLine);
}

void ProgressLine::Show(absl::string_view text) {
  if (terminal_) {
    absl::FPrintF(stderr, "%s%s", kClearLine, text);
    return;
  }
  if (absl::Now() - last_ < kInterval) return;
  last_ = absl::Now();
  absl::FPrintF(stderr, "%s\n", text);
}

}  // namespace flashcore
