#include "server/telemetry/gpu/dynamic_library.h"

#include <dlfcn.h>

namespace flashcore {

absl::StatusOr<DynamicLibrary> DynamicLibrary::Open(absl::Span<const std::string> names) {
  std::string first_error;
  for (const std::string& name : names) {
    void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (handle != nullptr) return DynamicLibrary(name, handle);
    const char* const error = dlerror();
    if (first_error.empty() && error != nullptr) first_error = error;
  }
  return absl::UnavailableError(first_error);
}

void* DynamicLibrary::Symbol(const char* name) const { return dlsym(handle_, name); }

}  // namespace flashcore
