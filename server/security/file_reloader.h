// Files that belong together, such as a certificate and its key, read again when they change.
//
//   contents as last taken:  nothing happens
//   new contents:            wait until two looks in a row see the same; then `take` them, or say why not and keep the
//                            old ones; looked at again each time, as they may become good without a change
//
// Waiting for the second look is for files that are replaced one after the other, or written in place.
#ifndef FLASHCORE_SERVER_SECURITY_FILE_RELOADER_H_
#define FLASHCORE_SERVER_SECURITY_FILE_RELOADER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "server/telemetry/periodic_task.h"

namespace flashcore {

struct NamedFile {
  std::string flag;  // The flag that names it, without dashes; for messages.
  std::string path;
};

// INVALID_ARGUMENT says which file and what to do: it cannot be read, is no regular file, is empty, or is larger than a
// MiB. Blocks on the disk.
absl::StatusOr<std::string> ReadNamedFile(const NamedFile& file);

// A warning for a private file that everybody on this machine may read or write.
void WarnIfReadableByOthers(const NamedFile& file);

// Not thread-safe, but for StartPolling's own thread.
class FileReloader {
 public:
  enum class Outcome : uint8_t { kUnchanged, kSettling, kTaken, kRefused };
  // Told the contents, in the order of the files. An error refuses them.
  using Take = std::function<absl::Status(const std::vector<std::string>& contents)>;
  // Told of each look that took new contents or refused them.
  using OnReload = std::function<void(const absl::Status& status)>;

  FileReloader(std::vector<NamedFile> files, Take take, OnReload on_reload);

  // The first time: no waiting. Once, before Poll.
  absl::Status Load();
  // One look.
  Outcome Poll();
  // Poll every `period` on a thread of its own, until destruction. `what` is in the log: one line for contents taken,
  // one for each new reason to refuse them.
  void StartPolling(absl::Duration period, absl::string_view what);

 private:
  using Contents = std::vector<std::string>;

  absl::StatusOr<Contents> ReadAll() const;
  void PollAndLog(const std::string& what);

  const std::vector<NamedFile> files_;
  const Take take_;
  const OnReload on_reload_;
  Contents taken_;
  // What the last look saw, if it was not what is taken.
  std::optional<absl::StatusOr<Contents>> seen_;
  absl::Status refusal_;
  std::string logged_refusal_;
  std::unique_ptr<PeriodicTask> task_;  // Last, as it uses the others.
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_SECURITY_FILE_RELOADER_H_
