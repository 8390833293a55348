// The real flashcore_server as a child process, on ports that the kernel chose.
#ifndef FLASHCORE_TESTS_INTEGRATION_SERVER_PROCESS_H_
#define FLASHCORE_TESTS_INTEGRATION_SERVER_PROCESS_H_

#include <grpcpp/channel.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/string_view.h"
#include "kernels/base/mutex.h"

namespace flashcore::testing {

// One line of the log: its keys and values.
using LogLine = std::map<std::string, std::string>;

// Thread-safe.
class ServerProcess {
 public:
  // Starts the server with these flags besides --listen and --metrics_address, and blocks until it serves. A server
  // that ends before that is a test failure; its log is on stderr, as is all of it.
  explicit ServerProcess(const std::vector<std::string>& flags = {});
  // Kills it if it still runs.
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  // "127.0.0.1:41234".
  std::string address();
  // "unix:/path", if --unix_socket was given.
  std::string unix_address();

  // A connection of its own, not shared with other channels of the process.
  std::shared_ptr<grpc::Channel> Connect() { return ConnectTo(address()); }
  static std::shared_ptr<grpc::Channel> ConnectTo(const std::string& address);

  // Blocks until the log has a line with msg=`message`; empty if the log ends first.
  LogLine WaitForLog(absl::string_view message);

  pid_t pid() const { return pid_; }
  void Signal(int signal) const;
  // Blocks until it ends: its exit status, or minus the signal that killed it.
  int Wait();

  // GET `path` from the metrics endpoint: the whole answer, headers included.
  std::string Get(absl::string_view path);
  // The value of a series, named with its labels as the endpoint prints it; -1 if it is not there.
  double Metric(absl::string_view series);
  // Blocks until `series` is at least `least`.
  void WaitForMetric(absl::string_view series, double least);
  // Blocks until `series` is at most `most`.
  void WaitForMetricAtMost(absl::string_view series, double most);

  int64_t ResidentBytes() const;

 private:
  void ReadLog(int read_end);

  pid_t pid_ = -1;
  bool reaped_ = false;
  std::thread log_reader_;

  Mutex mutex_;
  CondVar log_grew_;
  std::vector<LogLine> log_ ABSL_GUARDED_BY(mutex_);
  bool log_ended_ ABSL_GUARDED_BY(mutex_) = false;
};

// A program run to its end.
struct Finished {
  int exit_status = 0;
  std::string output;  // Of stdout and stderr.
};
Finished RunServerBinary(const std::vector<std::string>& flags);

}  // namespace flashcore::testing

#endif  // FLASHCORE_TESTS_INTEGRATION_SERVER_PROCESS_H_
