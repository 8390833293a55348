#include "tests/integration/server_process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace flashcore::testing {
namespace {

// Larger than any message of the tests, so that it is the server that refuses.
constexpr int kMaxMessageBytes = 512 << 20;

// A child whose stdout and stderr go to a pipe; `read_end` is ours.
pid_t Spawn(const std::vector<std::string>& flags, int& read_end) {
  std::array<int, 2> ends = {};
  EXPECT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
  std::vector<std::string> words = {FLASHCORE_SERVER_PATH};
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  EXPECT_EQ(posix_spawn(&pid, FLASHCORE_SERVER_PATH, &actions, nullptr, argv.data(), environ), 0)
      << FLASHCORE_SERVER_PATH;
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  read_end = ends[0];
  return pid;
}

int ExitStatus(int wait_status) { return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -WTERMSIG(wait_status); }

// "key=value key=value"; values with spaces are quoted in the log, and cut at the first one here: no test reads those.
LogLine ParseLogLine(absl::string_view text) {
  LogLine line;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    const std::pair<absl::string_view, absl::string_view> field = absl::StrSplit(word, absl::MaxSplits('=', 1));
    line.emplace(field.first, field.second);
  }
  return line;
}

std::string ReadAll(int descriptor) {
  std::string all;
  std::array<char, 1 << 16> buffer = {};
  for (ssize_t got = 0; (got = read(descriptor, buffer.data(), buffer.size())) > 0;) {
    all.append(buffer.data(), static_cast<size_t>(got));
  }
  return all;
}

}  // namespace

ServerProcess::ServerProcess(const std::vector<std::string>& flags) {
  std::vector<std::string> all = {"--listen=127.0.0.1:0", "--metrics_address=127.0.0.1:0"};
  all.insert(all.end(), flags.begin(), flags.end());
  int read_end = -1;
  pid_ = Spawn(all, read_end);
  log_reader_ = std::thread([this, read_end] { ReadLog(read_end); });
  EXPECT_FALSE(WaitForLog("serving").empty()) << "the server ended while starting";
}

ServerProcess::~ServerProcess() {
  if (!reaped_) {
    kill(pid_, SIGKILL);
    Wait();
  }
  log_reader_.join();
}

void ServerProcess::ReadLog(int read_end) {
  FILE* const stream = fdopen(read_end, "r");
  char* text = nullptr;
  size_t capacity = 0;
  while (getline(&text, &capacity, stream) >= 0) {
    std::fprintf(stderr, "server %d: %s", pid_, text);
    const MutexLock lock(mutex_);
    log_.push_back(ParseLogLine(absl::StripSuffix(text, "\n")));
    log_grew_.NotifyAll();
  }
  free(text);
  fclose(stream);
  const MutexLock lock(mutex_);
  log_ended_ = true;
  log_grew_.NotifyAll();
}

LogLine ServerProcess::WaitForLog(absl::string_view message) {
  const MutexLock lock(mutex_);
  for (size_t next = 0;; ++next) {
    while (next == log_.size() && !log_ended_) log_grew_.Wait(mutex_);
    if (next == log_.size()) return {};
    const auto found = log_[next].find("msg");
    if (found != log_[next].end() && found->second == message) return log_[next];
  }
}

std::string ServerProcess::address() { return WaitForLog("listening")["address"]; }

std::string ServerProcess::unix_address() {
  const MutexLock lock(mutex_);
  for (LogLine& line : log_) {
    if (line["msg"] == "listening" && line["address"].rfind("unix:", 0) == 0) return line["address"];
  }
  return "";
}

std::shared_ptr<grpc::Channel> ServerProcess::ConnectTo(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  arguments.SetMaxSendMessageSize(kMaxMessageBytes);
  return grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments);
}

void ServerProcess::Signal(int signal) const { kill(pid_, signal); }

int ServerProcess::Wait() {
  int wait_status = 0;
  EXPECT_EQ(waitpid(pid_, &wait_status, 0), pid_);
  reaped_ = true;
  return ExitStatus(wait_status);
}

std::string ServerProcess::Get(absl::string_view path) {
  const std::string address = WaitForLog("metrics")["address"];
  int port = 0;
  EXPECT_TRUE(absl::SimpleAtoi(address.substr(address.rfind(':') + 1), &port));
  const int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in peer = {};
  peer.sin_family = AF_INET;
  peer.sin_port = htons(static_cast<uint16_t>(port));
  peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(connect(connection, reinterpret_cast<const sockaddr*>(&peer), sizeof(peer)), 0);
  const std::string request = absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(write(connection, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  std::string answer = ReadAll(connection);
  close(connection);
  return answer;
}

double ServerProcess::Metric(absl::string_view series) {
  const std::string prefix = absl::StrCat(series, " ");
  const std::string answer = Get("/metrics");
  for (absl::string_view line : absl::StrSplit(answer, '\n')) {
    double value = 0;
    if (absl::ConsumePrefix(&line, prefix) && absl::SimpleAtod(absl::StripSuffix(line, "\r"), &value)) return value;
  }
  return -1;
}

void ServerProcess::WaitForMetric(absl::string_view series, double least) {
  while (Metric(series) < least) std::this_thread::yield();
}

void ServerProcess::WaitForMetricAtMost(absl::string_view series, double most) {
  while (Metric(series) > most) std::this_thread::yield();
}

int64_t ServerProcess::ResidentBytes() const {
  std::ifstream statm(absl::StrCat("/proc/", pid_, "/statm"));
  int64_t total_pages = 0;
  int64_t resident_pages = 0;
  statm >> total_pages >> resident_pages;
  return resident_pages * sysconf(_SC_PAGESIZE);
}

Finished RunServerBinary(const std::vector<std::string>& flags) {
  int read_end = -1;
  const pid_t pid = Spawn(flags, read_end);
  Finished finished;
  finished.output = ReadAll(read_end);
  close(read_end);
  int wait_status = 0;
  EXPECT_EQ(waitpid(pid, &wait_status, 0), pid);
  finished.exit_status = ExitStatus(wait_status);
  return finished;
}

}  // namespace flashcore::testing
