// What the operating system says about this machine's CPUs.
#ifndef FLASHCORE_KERNELS_CPU_CPU_INFO_H_
#define FLASHCORE_KERNELS_CPU_CPU_INFO_H_

#include <string>

namespace flashcore::cpu {

// CPUs that this process may run on, by its affinity mask; at least 1.
int AllowedCpus();

// The CPU's model as the kernel names it, or "CPU" where it does not.
std::string CpuModelName();

}  // namespace flashcore::cpu

#endif  // FLASHCORE_KERNELS_CPU_CPU_INFO_H_
