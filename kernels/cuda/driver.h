// Functions of the driver's library, which is not linked: programs must start where there is none.
#ifndef FLASHCORE_KERNELS_CUDA_DRIVER_H_
#define FLASHCORE_KERNELS_CUDA_DRIVER_H_

namespace flashcore::cuda {

// The address of a function of libcuda; nullptr where there is no driver, or one older than the function. Thread-safe.
// The library stays open: what is made with it outlives every scope, and the runtime keeps it open itself.
void* DriverAddress(const char* name);

// The same with its type: DriverFunction<decltype(cuCtxGetCurrent)>("cuCtxGetCurrent").
template <typename Function>
Function* DriverFunction(const char* name) {
  return reinterpret_cast<Function*>(DriverAddress(name));
}

}  // namespace flashcore::cuda

#endif  // FLASHCORE_KERNELS_CUDA_DRIVER_H_
