// Where the server listens, and with what it refuses to start.
#include <dirent.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "tests/integration/server_process.h"
#include "tests/integration/tls_client.h"
#include "tests/server/security/certificates.h"
#include "tests/server/security/scratch_files.h"

namespace flashcore {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Each;
using testing::Finished;
using ::testing::HasSubstr;
using testing::Identity;
using ::testing::Not;
using testing::RunServerBinary;
using testing::ScratchFiles;
using testing::ServerProcess;
using ::testing::SizeIs;

constexpr char kListening[] = "0A";  // TCP_LISTEN, as /proc/net/tcp has it.

// "socket:[1234]" of every socket of a process.
std::set<std::string> SocketsOf(pid_t pid) {
  std::set<std::string> sockets;
  for (const auto& entry : std::filesystem::directory_iterator(absl::StrCat("/proc/", pid, "/fd"))) {
    std::error_code error;
    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
    if (absl::StartsWith(target, "socket:")) sockets.insert(target);
  }
  return sockets;
}

// The local addresses that a process listens on, in the kernel's hexadecimal, without ports.
std::vector<std::string> ListeningHosts(pid_t pid) {
  const std::set<std::string> sockets = SocketsOf(pid);
  std::vector<std::string> hosts;
  for (const char* table : {"tcp", "tcp6"}) {
    std::ifstream file(absl::StrCat("/proc/", pid, "/net/", table));
    for (std::string line; std::getline(file, line);) {
      const std::vector<std::string> fields = absl::StrSplit(line, ' ', absl::SkipWhitespace());
      if (fields.size() < 10 || fields[3] != kListening) continue;
      if (!sockets.contains(absl::StrCat("socket:[", fields[9], "]"))) continue;
      hosts.push_back(fields[1].substr(0, fields[1].find(':')));
    }
  }
  return hosts;
}

// 127.0.0.1, of a socket for IPv4 and of one for both; then every address of this machine.
constexpr char kLoopback[] = "0100007F";
constexpr char kMappedLoopback[] = "0000000000000000FFFF00000100007F";
constexpr char kEveryIpv4[] = "00000000";
constexpr char kEvery[] = "00000000000000000000000000000000";

// The tests' own --listen and --metrics_address are the defaults with other ports; config_test has the defaults.
TEST(TlsListenTest, TheDefaultsListenOnLoopbackOnly) {
  ServerProcess server({"--backend=cpu"});
  EXPECT_THAT(ListeningHosts(server.pid()), AllOf(SizeIs(2), Each(AnyOf(kLoopback, kMappedLoopback))));
}

TEST(TlsListenTest, InsecureListensWhereItIsTold) {
  ServerProcess server({"--backend=cpu", "--listen=0.0.0.0:0", "--insecure"});
  EXPECT_THAT(ListeningHosts(server.pid()), ::testing::UnorderedElementsAre(kLoopback, AnyOf(kEveryIpv4, kEvery)));
  const std::string port = std::vector<std::string>(absl::StrSplit(server.address(), ':')).back();
  EXPECT_TRUE(testing::CallAttend(ServerProcess::ConnectTo(absl::StrCat("127.0.0.1:", port))).ok());
}

TEST(TlsListenTest, TlsListensWhereItIsTold) {
  const ScratchFiles files;
  const Identity authority = testing::MakeAuthority("authority");
  const Identity identity = testing::MakeCertificate({}, &authority);
  ServerProcess server({"--backend=cpu", "--listen=0.0.0.0:0", "--tls_cert=" + files.Write("c", identity.certificate),
                        "--tls_key=" + files.Write("k", identity.key)});
  const std::string port = std::vector<std::string>(absl::StrSplit(server.address(), ':')).back();
  const auto channel = testing::ConnectWithTls(absl::StrCat("127.0.0.1:", port), {.roots = authority.certificate});
  EXPECT_TRUE(testing::CallAttend(channel).ok());
  EXPECT_EQ(testing::CallAttend(ServerProcess::ConnectTo(absl::StrCat("127.0.0.1:", port))).error_code(),
            grpc::StatusCode::UNAVAILABLE);
}

struct Refusal {
  std::vector<std::string> flags;
  std::vector<const char*> expected;  // Each of them in the log.
};

void ExpectRefused(const Refusal& row) {
  std::vector<std::string> flags = {"--backend=cpu", "--listen=127.0.0.1:0", "--metrics_address="};
  flags.insert(flags.end(), row.flags.begin(), row.flags.end());
  const Finished finished = RunServerBinary(flags);
  EXPECT_EQ(finished.exit_status, 1) << absl::StrJoin(row.flags, " ");
  EXPECT_THAT(finished.output, HasSubstr("INVALID_ARGUMENT"));
  EXPECT_THAT(finished.output, Not(HasSubstr("msg=listening")));
  for (const char* text : row.expected) EXPECT_THAT(finished.output, HasSubstr(text));
}

TEST(TlsListenTest, PlaintextForOthersIsRefused) {
  const ScratchFiles files;
  const std::string tokens = "--auth_tokens_file=" + files.Write("tokens", "0123456789abcdef");
  for (const char* listen : {"0.0.0.0:0", "[::]:0", "10.1.2.3:0", "127.0.0.1:0,0.0.0.0:0", "[::]:0,localhost:0"}) {
    ExpectRefused({{absl::StrCat("--listen=", listen)}, {"--listen", "--tls_cert", "--insecure", "127.0.0.1"}});
    ExpectRefused({{absl::StrCat("--listen=", listen), tokens}, {"tokens included", "--tls_cert", "--insecure"}});
  }
}

TEST(TlsListenTest, BadFilesAreNamed) {
  const ScratchFiles files;
  const Identity authority = testing::MakeAuthority("authority");
  const Identity identity = testing::MakeCertificate({}, &authority);
  const Identity other = testing::MakeCertificate({}, &authority);
  const std::string cert = "--tls_cert=" + files.Write("cert", identity.certificate);
  const std::string key = "--tls_key=" + files.Write("key", identity.key);
  const std::string half = files.Write("half", identity.certificate.substr(0, 300));
  const std::string none = files.Path("none");
  const Refusal rows[] = {
      {{cert}, {"--tls_cert: needs --tls_key"}},
      {{key}, {"--tls_key: needs --tls_cert"}},
      {{"--tls_client_ca=" + files.Path("cert")}, {"--tls_client_ca: needs"}},
      {{"--tls_cert=" + none, key}, {"--tls_cert: ", "none", "No such file"}},
      {{cert, "--tls_key=" + none}, {"--tls_key: ", "none", "No such file"}},
      {{cert, key, "--tls_client_ca=" + none}, {"--tls_client_ca: ", "none"}},
      {{cert, "--tls_key=" + files.Write("other", other.key)}, {"--tls_key: is not the key"}},
      {{"--tls_cert=" + half, key}, {"--tls_cert: certificate 1 is damaged or cut short"}},
      {{cert, key, "--tls_client_ca=" + half}, {"--tls_client_ca: certificate 1 is damaged"}},
      {{cert, "--tls_key=" + files.Write("locked", testing::EncryptKey(identity))}, {"--tls_key: is encrypted"}},
      {{"--tls_cert=" + files.Path("key"), key}, {"--tls_cert: holds no PEM certificate"}},
      {{"--tls_cert=" + files.Path(""), key}, {"--tls_cert: ", "not a regular file"}},
      {{"--auth_tokens_file=" + none}, {"--auth_tokens_file: ", "none"}},
      {{"--auth_tokens_file=" + files.Write("empty", "# none\n")}, {"--auth_tokens_file: holds no token"}},
      {{"--auth_tokens_file=" + files.Write("short", "hunter2")}, {"--auth_tokens_file: line 1: the token has 7"}},
  };
  for (const Refusal& row : rows) ExpectRefused(row);
  // What is in them is nobody's business.
  EXPECT_THAT(RunServerBinary({"--auth_tokens_file=" + files.Path("short")}).output, Not(HasSubstr("hunter2")));
}

}  // namespace
}  // namespace flashcore
