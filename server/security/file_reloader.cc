#include "server/security/file_reloader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "server/telemetry/logging.h"

namespace flashcore {
namespace {

// Certificates and tokens take a few KiB.
constexpr size_t kGreatestFileBytes = size_t{1} << 20;

absl::Status BadFile(const NamedFile& file, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat("--", file.flag, ": '", file.path, "' ", problem));
}

absl::Status CannotRead(const NamedFile& file, int error) {
  return BadFile(file,
                 absl::StrCat("cannot be read: ", std::strerror(error), "; it must exist and be readable for user ",
                              geteuid(), ", whom the server runs as"));
}

// One byte more than allowed at most, so that the caller sees it.
absl::StatusOr<std::string> ReadDescriptor(const NamedFile& file, int descriptor) {
  std::string content(kGreatestFileBytes + 1, '\0');
  size_t length = 0;
  while (length < content.size()) {
    const ssize_t got = read(descriptor, content.data() + length, content.size() - length);
    if (got == 0) break;
    if (got > 0) {
      length += static_cast<size_t>(got);
    } else if (errno != EINTR) {
      return CannotRead(file, errno);
    }
  }
  content.resize(length);
  return content;
}

}  // namespace

absl::StatusOr<std::string> ReadNamedFile(const NamedFile& file) {
  // Without O_NONBLOCK, opening a pipe would wait for a writer.
  const int descriptor = open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return CannotRead(file, errno);
  const absl::Cleanup closer = [descriptor] { close(descriptor); };
  struct stat facts = {};
  if (fstat(descriptor, &facts) != 0) return CannotRead(file, errno);
  if (!S_ISREG(facts.st_mode)) return BadFile(file, "is not a regular file; it is read again whenever it changes");
  absl::StatusOr<std::string> content = ReadDescriptor(file, descriptor);
  if (!content.ok()) return content;
  if (content->empty()) return BadFile(file, "is empty");
  if (content->size() > kGreatestFileBytes) {
    return BadFile(file, absl::StrCat("is larger than ", kGreatestFileBytes, " bytes; is it the right file?"));
  }
  return content;
}

void WarnIfReadableByOthers(const NamedFile& file) {
  struct stat facts = {};
  if (stat(file.path.c_str(), &facts) != 0 || (facts.st_mode & S_IRWXO) == 0) return;
  LogWarning("file is open to everybody on this machine",
             {{"flag", file.flag}, {"path", file.path}, {"remedy", absl::StrCat("chmod o= ", file.path)}});
}

FileReloader::FileReloader(std::vector<NamedFile> files, Take take, OnReload on_reload)
    : files_(std::move(files)), take_(std::move(take)), on_reload_(std::move(on_reload)) {}

absl::StatusOr<FileReloader::Contents> FileReloader::ReadAll() const {
  Contents contents;
  for (const NamedFile& file : files_) {
    absl::StatusOr<std::string> content = ReadNamedFile(file);
    if (!content.ok()) return content.status();
    contents.push_back(*std::move(content));
  }
  return contents;
}

absl::Status FileReloader::Load() {
  absl::StatusOr<Contents> contents = ReadAll();
  if (!contents.ok()) return contents.status();
  if (absl::Status status = take_(*contents); !status.ok()) return status;
  taken_ = *std::move(contents);
  return absl::OkStatus();
}

FileReloader::Outcome FileReloader::Poll() {
  absl::StatusOr<Contents> contents = ReadAll();
  if (contents.ok() && *contents == taken_) {
    seen_.reset();
    return Outcome::kUnchanged;
  }
  if (!seen_.has_value() || *seen_ != contents) {
    seen_ = std::move(contents);
    return Outcome::kSettling;
  }
  refusal_ = contents.ok() ? take_(*contents) : contents.status();
  on_reload_(refusal_);
  if (!refusal_.ok()) return Outcome::kRefused;
  taken_ = *std::move(contents);
  seen_.reset();
  return Outcome::kTaken;
}

void FileReloader::PollAndLog(const std::string& what) {
  const Outcome outcome = Poll();
  if (outcome == Outcome::kTaken) LogInfo(absl::StrCat(what, " reloaded"));
  if (outcome == Outcome::kRefused && refusal_.ToString() != logged_refusal_) {
    logged_refusal_ = refusal_.ToString();
    LogError(absl::StrCat(what, " not reloaded, the old stays in use"), {{"status", refusal_}});
  }
  if (outcome == Outcome::kTaken || outcome == Outcome::kUnchanged) logged_refusal_.clear();
}

void FileReloader::StartPolling(absl::Duration period, absl::string_view what) {
  task_ = std::make_unique<PeriodicTask>(absl::ToChronoNanoseconds(period),
                                         [this, name = std::string(what)] { PollAndLog(name); });
}

}  // namespace flashcore
