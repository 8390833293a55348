#include "server/open_files.h"

#include <sys/resource.h>

namespace flashcore {

void RaiseOpenFilesLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  // If it fails the old limit stays, and process_max_fds tells.
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace flashcore
