#include "server/security/tls_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>

#include "tests/server/security/certificates.h"
#include "tests/server/security/scratch_files.h"

namespace flashcore {
namespace {

using testing::CertificateSpec;
using ::testing::HasSubstr;
using testing::Identity;
using testing::MakeAuthority;
using testing::MakeCertificate;

constexpr absl::Duration kNever = absl::Hours(1);
constexpr absl::Duration kOften = absl::Milliseconds(1);

class TlsStoreTest : public ::testing::Test {
 protected:
  TlsFiles Write(const Identity& identity) {
    return {
        .cert = files_.Write("cert", identity.certificate), .key = files_.Write("key", identity.key), .client_ca = ""};
  }
  std::unique_ptr<TlsStore> Open(const TlsFiles& files, absl::Duration period) {
    absl::StatusOr<std::unique_ptr<TlsStore>> store = TlsStore::Open(files, period, metrics_);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  double Failures() const { return metrics_.Collect()[2].metric.front().counter.value; }
  // Until two more looks have refused what they saw.
  void AwaitRefusals() const {
    const double before = Failures();
    while (Failures() < before + 2) std::this_thread::yield();
  }

  testing::ScratchFiles files_;
  SecurityMetrics metrics_;
  const Identity authority_ = MakeAuthority("authority");
  const Identity first_ = MakeCertificate({}, &authority_);
  const Identity second_ = MakeCertificate({}, &authority_);
};

TEST_F(TlsStoreTest, GivesWhatItRead) {
  TlsFiles files = Write(first_);
  EXPECT_FALSE(Open(files, kNever)->requires_client_certificate());
  files.client_ca = files_.Write("ca", authority_.certificate);
  const auto store = Open(files, kNever);
  EXPECT_TRUE(store->requires_client_certificate());
  EXPECT_EQ(store->Current(), store->Current());
  EXPECT_EQ(store->Current()->certificate_chain, first_.certificate);
  EXPECT_EQ(store->Current()->private_key, first_.key);
  EXPECT_EQ(store->Current()->client_ca, authority_.certificate);
}

TEST_F(TlsStoreTest, BadAtStart) {
  TlsFiles files = Write(first_);
  files.key = files_.Write("key", second_.key);
  EXPECT_THAT(std::string(TlsStore::Open(files, kNever, metrics_).status().message()), HasSubstr("--tls_key: "));
  files.cert = files_.Path("none");
  EXPECT_THAT(std::string(TlsStore::Open(files, kNever, metrics_).status().message()), HasSubstr("--tls_cert: "));
}

TEST_F(TlsStoreTest, APairIsTakenAsOne) {
  const auto store = Open(Write(first_), kOften);
  const std::shared_ptr<const TlsMaterial> before = store->Current();
  files_.Write("cert", second_.certificate);
  AwaitRefusals();
  EXPECT_EQ(store->Current(), before);
  files_.Write("key", second_.key);
  while (store->Current() == before) std::this_thread::yield();
  EXPECT_EQ(store->Current()->certificate_chain, second_.certificate);
  EXPECT_EQ(store->Current()->private_key, second_.key);
  EXPECT_EQ(before->certificate_chain, first_.certificate);
}

TEST_F(TlsStoreTest, WhatIsNotValidNowDoesNotReplaceWhatIs) {
  const auto store = Open(Write(first_), kOften);
  const std::shared_ptr<const TlsMaterial> before = store->Current();
  for (const CertificateSpec& spec : {CertificateSpec{.starts = -absl::Hours(2), .ends = -absl::Hours(1)},
                                      CertificateSpec{.starts = absl::Hours(1)}}) {
    Write(MakeCertificate(spec, &authority_));
    AwaitRefusals();
    EXPECT_EQ(store->Current(), before);
  }
}

TEST_F(TlsStoreTest, AnExpiredOneServesFromTheStartSoThatMetricsTell) {
  const Identity expired = MakeCertificate({.starts = -absl::Hours(2), .ends = -absl::Hours(1)}, &authority_);
  const auto store = Open(Write(expired), kOften);
  EXPECT_LT(metrics_.Collect()[0].metric.front().gauge.value, absl::ToDoubleSeconds(absl::Now() - absl::UnixEpoch()));
  Write(second_);
  while (store->Current()->certificate_chain != second_.certificate) std::this_thread::yield();
}

}  // namespace
}  // namespace flashcore
