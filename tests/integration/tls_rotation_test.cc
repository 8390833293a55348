// Certificates, CAs and tokens replaced while clients call, none of which notices.
#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/mutex.h"
#include "tests/integration/server_process.h"
#include "tests/integration/tls_client.h"
#include "tests/server/security/certificates.h"
#include "tests/server/security/scratch_files.h"

namespace flashcore {
namespace {

using testing::BearerToken;
using testing::CallAttend;
using testing::CallGetServerInfo;
using testing::ConnectWithTls;
using testing::Identity;
using testing::MakeAuthority;
using testing::MakeCertificate;
using testing::ScratchFiles;
using testing::ServerProcess;
using testing::ShakeHands;

constexpr int kKeepers = 2;  // Call on one connection all the time.
constexpr int kComers = 2;   // Make a new one for each call.
constexpr int64_t kManyCalls = 12;
const std::string kFirstToken = "QwA3bD8yEo5tVw1xJk9sHf2uPz7rLm4c";
const std::string kSecondToken = "n6YgTq0RjXv8aKc3MdZe5WbU1hSoFpL7";

struct Pass {
  Identity identity;
  std::string token;
};

// Clients that call without a break. Thread-safe.
class Load {
 public:
  Load(std::string address, std::string roots, Pass pass)
      : address_(std::move(address)), roots_(std::move(roots)), pass_(std::move(pass)) {
    for (int i = 0; i < kKeepers; ++i) threads_.emplace_back([this] { Keep(); });
    for (int i = 0; i < kComers; ++i) threads_.emplace_back([this] { Come(); });
  }
  ~Load() { Stop(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  // Returns when no call with the old pass is under way any more.
  void Switch(Pass pass) {
    const MutexLock lock(mutex_);
    pass_ = std::move(pass);
    ++generation_;
    while (under_way_[(generation_ - 1) % 2] > 0) changed_.Wait(mutex_);
  }
  // Returns after many more calls, begun from here on.
  void AwaitCalls() {
    const MutexLock lock(mutex_);
    const int64_t enough = done_ + kKeepers + kComers + kManyCalls;
    while (done_ < enough) changed_.Wait(mutex_);
  }
  void Stop() {
    {
      const MutexLock lock(mutex_);
      stop_ = true;
    }
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  std::vector<std::string> failures() {
    const MutexLock lock(mutex_);
    return failures_;
  }

 private:
  void Keep() {
    const auto channel = ConnectWithTls(address_, {.roots = roots_, .identity = CurrentPass().identity});
    while (Call([&](const Pass& pass) { return CallAttend(channel, BearerToken(pass.token)); })) {
    }
  }
  void Come() {
    const auto call = [this](const Pass& pass) {
      return CallGetServerInfo(ConnectWithTls(address_, {.roots = roots_, .identity = pass.identity}),
                               BearerToken(pass.token));
    };
    while (Call(call)) {
    }
  }
  Pass CurrentPass() {
    const MutexLock lock(mutex_);
    return pass_;
  }
  // False once it is enough.
  template <typename OneCall>
  bool Call(OneCall one_call) {
    Pass pass;
    size_t generation = 0;
    {
      const MutexLock lock(mutex_);
      if (stop_) return false;
      pass = pass_;
      generation = generation_;
      ++under_way_[generation % 2];
    }
    const grpc::Status status = one_call(pass);
    const MutexLock lock(mutex_);
    --under_way_[generation % 2];
    ++done_;
    if (!status.ok()) failures_.push_back(absl::StrCat(status.error_code(), " ", status.error_message()));
    changed_.NotifyAll();
    return true;
  }

  const std::string address_;
  const std::string roots_;
  Mutex mutex_;
  CondVar changed_;
  Pass pass_ ABSL_GUARDED_BY(mutex_);
  size_t generation_ ABSL_GUARDED_BY(mutex_) = 1;
  std::array<int, 2> under_way_ ABSL_GUARDED_BY(mutex_) = {};  // Of this generation and of the one before.
  int64_t done_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stop_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::string> failures_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

class TlsRotationTest : public ::testing::Test {
 protected:
  TlsRotationTest() {
    files_.Write("cert", server_.certificate);
    files_.Write("key", server_.key);
    files_.Write("ca", old_ca_.certificate);
    files_.Write("tokens", kFirstToken);
    server_process_ = std::make_unique<ServerProcess>(
        std::vector<std::string>{"--backend=cpu", "--tls_reload_period=100ms", "--tls_cert=" + files_.Path("cert"),
                                 "--tls_key=" + files_.Path("key"), "--tls_client_ca=" + files_.Path("ca"),
                                 "--auth_tokens_file=" + files_.Path("tokens")});
    load_ = std::make_unique<Load>(server_process_->address(), roots_, Pass{old_client_, kFirstToken});
    load_->AwaitCalls();
  }
  ~TlsRotationTest() override {
    load_->Stop();
    const std::vector<std::string> failures = load_->failures();
    EXPECT_TRUE(failures.empty()) << failures.size() << " failed, the first with " << failures.front();
  }

  void AwaitTlsReload(double before) { server_process_->WaitForMetric("flashcore_tls_reloads_total", before + 1); }
  double TlsReloads() { return server_process_->Metric("flashcore_tls_reloads_total"); }
  std::string ShownFingerprint() {
    return ShakeHands(server_process_->address(), {.identity = old_client_}).fingerprint;
  }

  const Identity old_ca_ = MakeAuthority("old");
  const Identity new_ca_ = MakeAuthority("new");
  const std::string roots_ = old_ca_.certificate + new_ca_.certificate;
  const Identity server_ = MakeCertificate({}, &old_ca_);
  const Identity old_client_ = MakeCertificate({.names = ""}, &old_ca_);
  const Identity new_client_ = MakeCertificate({.names = ""}, &new_ca_);
  ScratchFiles files_;
  std::unique_ptr<ServerProcess> server_process_;
  std::unique_ptr<Load> load_;
};

TEST_F(TlsRotationTest, CertificateAndKey) {
  for (int round = 0; round < 4; ++round) {
    const Identity next = MakeCertificate({}, round % 2 == 0 ? &new_ca_ : &old_ca_);
    // In place and not at once, as those do who know no better.
    files_.Write("cert", next.certificate);
    load_->AwaitCalls();
    files_.Write("key", next.key);
    while (ShownFingerprint() != testing::FingerprintOf(next.certificate)) load_->AwaitCalls();
  }
}

TEST_F(TlsRotationTest, TheCaOfTheClients) {
  double reloads = TlsReloads();
  files_.Replace("ca", old_ca_.certificate + new_ca_.certificate);
  AwaitTlsReload(reloads);
  load_->Switch({new_client_, kFirstToken});
  reloads = TlsReloads();
  files_.Replace("ca", new_ca_.certificate);
  AwaitTlsReload(reloads);
  load_->AwaitCalls();
  const auto old = ConnectWithTls(server_process_->address(), {.roots = roots_, .identity = old_client_});
  EXPECT_EQ(CallGetServerInfo(old, BearerToken(kFirstToken)).error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(TlsRotationTest, Tokens) {
  const auto channel = ConnectWithTls(server_process_->address(), {.roots = roots_, .identity = old_client_});
  files_.Replace("tokens", absl::StrCat(kFirstToken, "\n", kSecondToken));
  server_process_->WaitForMetric("flashcore_auth_tokens", 2);
  EXPECT_TRUE(CallGetServerInfo(channel, BearerToken(kFirstToken)).ok());
  load_->Switch({old_client_, kSecondToken});
  files_.Replace("tokens", kSecondToken);
  server_process_->WaitForMetricAtMost("flashcore_auth_tokens", 1);
  // Also on a connection from before.
  EXPECT_EQ(CallGetServerInfo(channel, BearerToken(kFirstToken)).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  load_->AwaitCalls();
}

TEST_F(TlsRotationTest, HalfWrittenFilesKeepTheOld) {
  const std::string shown = testing::FingerprintOf(server_.certificate);
  const Identity next = MakeCertificate({}, &new_ca_);
  const std::pair<const char*, std::string> rows[] = {
      {"cert", next.certificate},
      {"cert", next.certificate.substr(0, next.certificate.size() / 2)},
      {"cert", ""},
      {"key", next.key},
      {"key", next.key.substr(0, next.key.size() / 2)},
      {"ca", new_ca_.certificate.substr(0, new_ca_.certificate.size() / 2)},
      {"ca", "hello"},
      {"cert", MakeCertificate({.starts = -absl::Hours(2), .ends = -absl::Hours(1)}, &new_ca_).certificate}};
  for (const auto& [name, content] : rows) {
    const double failures = server_process_->Metric("flashcore_tls_reload_failures_total");
    files_.Write(name, content);
    server_process_->WaitForMetric("flashcore_tls_reload_failures_total", failures + 2);
    load_->AwaitCalls();
    EXPECT_EQ(ShownFingerprint(), shown) << name;
    files_.Write("cert", server_.certificate);
    files_.Write("key", server_.key);
    files_.Write("ca", old_ca_.certificate);
  }
  const double failures = server_process_->Metric("flashcore_auth_reload_failures_total");
  files_.Write("tokens", "short");
  server_process_->WaitForMetric("flashcore_auth_reload_failures_total", failures + 2);
  load_->AwaitCalls();
  EXPECT_EQ(TlsReloads(), 0);
}

}  // namespace
}  // namespace flashcore
