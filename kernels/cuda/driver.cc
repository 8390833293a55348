#include "kernels/cuda/driver.h"

#include <dlfcn.h>

namespace flashcore::cuda {

void* DriverAddress(const char* name) {
  static void* const kLibrary = dlopen("libcuda.so.1", RTLD_NOW);
  return kLibrary == nullptr ? nullptr : dlsym(kLibrary, name);
}

}  // namespace flashcore::cuda
