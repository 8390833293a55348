// A shared library that may or may not be on the machine.
#ifndef FLASHCORE_SERVER_TELEMETRY_GPU_DYNAMIC_LIBRARY_H_
#define FLASHCORE_SERVER_TELEMETRY_GPU_DYNAMIC_LIBRARY_H_

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"

namespace flashcore {

class DynamicLibrary {
 public:
  // The first of `names` that dlopen finds. UNAVAILABLE: none; says what dlopen said about the first one.
  // Never unloaded: drivers' libraries keep threads and exit handlers.
  static absl::StatusOr<DynamicLibrary> Open(absl::Span<const std::string> names);

  // Sets `function` to the symbol of that name, or to null where the library lacks it.
  template <typename Function>
  void Find(const char* name, Function*& function) const {
    function = reinterpret_cast<Function*>(Symbol(name));
  }
  // The same; UNAVAILABLE where the library lacks it.
  template <typename Function>
  absl::Status Require(const char* name, Function*& function) const {
    Find(name, function);
    if (function != nullptr) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat(name_, " is too old: it has no ", name));
  }

  const std::string& name() const { return name_; }

 private:
  DynamicLibrary(std::string name, void* handle) : name_(std::move(name)), handle_(handle) {}
  void* Symbol(const char* name) const;

  std::string name_;
  void* handle_;
};

}  // namespace flashcore

#endif  // FLASHCORE_SERVER_TELEMETRY_GPU_DYNAMIC_LIBRARY_H_
