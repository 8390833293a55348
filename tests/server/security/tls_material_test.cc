#include "server/security/tls_material.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "tests/server/security/certificates.h"

namespace flashcore {
namespace {

using ::testing::HasSubstr;
using testing::Identity;
using testing::MakeAuthority;
using testing::MakeCertificate;

class TlsMaterialTest : public ::testing::Test {
 protected:
  static TlsMaterial Good() {
    return {.certificate_chain = server_.certificate, .private_key = server_.key, .client_ca = authority_.certificate};
  }
  static void ExpectRefused(const TlsMaterial& material, const char* flag, const char* expected) {
    const absl::Status status = CheckTlsMaterial(material).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat(flag, ": ")));
    EXPECT_THAT(std::string(status.message()), HasSubstr(expected));
  }

  static inline const Identity authority_ = MakeAuthority("authority");
  static inline const Identity server_ = MakeCertificate({}, &authority_);
  static inline const Identity other_ = MakeCertificate({}, &authority_);
};

TEST_F(TlsMaterialTest, TellsWhatItIs) {
  const absl::StatusOr<TlsFacts> facts = CheckTlsMaterial(Good());
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->fingerprint, testing::FingerprintOf(server_.certificate));
  EXPECT_NEAR(absl::ToDoubleHours(facts->not_after - facts->not_before), 25, 0.1);
  EXPECT_TRUE(CheckDates(*facts, facts->not_before).ok());
  EXPECT_TRUE(CheckDates(*facts, facts->not_after).ok());
  EXPECT_LT(facts->client_ca_not_after, absl::InfiniteFuture());
}

TEST_F(TlsMaterialTest, WithoutClientCas) {
  TlsMaterial material = Good();
  material.client_ca.clear();
  const absl::StatusOr<TlsFacts> facts = CheckTlsMaterial(material);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_EQ(facts->client_ca_not_after, absl::InfiniteFuture());
}

TEST_F(TlsMaterialTest, AChainEndsWithItsFirstCertificateToEnd) {
  const Identity middle =
      MakeCertificate({.common_name = "middle", .names = "", .is_ca = true, .ends = absl::Hours(2)}, &authority_);
  const Identity leaf = MakeCertificate({}, &middle);
  const TlsMaterial material = {
      .certificate_chain = leaf.certificate + middle.certificate, .private_key = leaf.key, .client_ca = ""};
  const absl::StatusOr<TlsFacts> facts = CheckTlsMaterial(material);
  ASSERT_TRUE(facts.ok()) << facts.status();
  EXPECT_NEAR(absl::ToDoubleHours(facts->not_after - facts->not_before), 3, 0.1);
  EXPECT_EQ(facts->fingerprint, testing::FingerprintOf(leaf.certificate));
}

TEST_F(TlsMaterialTest, KeysOfEveryKind) {
  const Identity rsa = MakeCertificate({.rsa_bits = 2048}, &authority_);
  EXPECT_TRUE(CheckTlsMaterial({rsa.certificate, rsa.key, ""}).ok());
  // Other text around, as `openssl x509 -text` leaves it, and the key in the same file.
  const std::string all = absl::StrCat("Certificate:\n  Data:\n", server_.certificate, "trailer\n", server_.key);
  EXPECT_TRUE(CheckTlsMaterial({all, all, all}).ok());
}

TEST_F(TlsMaterialTest, WhatDoesNotFit) {
  TlsMaterial material = Good();
  material.private_key = other_.key;
  ExpectRefused(material, "--tls_key", "is not the key of the first certificate");
  material = Good();
  material.certificate_chain = authority_.certificate + server_.certificate;  // The wrong way round.
  ExpectRefused(material, "--tls_key", "is not the key of the first certificate");
  material = Good();
  material.private_key = testing::EncryptKey(server_);
  ExpectRefused(material, "--tls_key", "encrypted");
  const Identity weak = MakeCertificate({.rsa_bits = 512}, &authority_);
  ExpectRefused({weak.certificate, weak.key, ""}, "--tls_cert", "too small");
}

TEST_F(TlsMaterialTest, WhatIsNoPem) {
  for (const char* text : {"", "\n", "hello", "-----BEGIN", "-----BEGIN CERTIFICATE-----\n"}) {
    TlsMaterial material = Good();
    material.certificate_chain = text;
    ExpectRefused(material, "--tls_cert", "");
    material = Good();
    material.private_key = text;
    ExpectRefused(material, "--tls_key", "");
    if (*text == '\0') continue;
    material = Good();
    material.client_ca = text;
    ExpectRefused(material, "--tls_client_ca", "");
  }
  TlsMaterial swapped = Good();
  std::swap(swapped.certificate_chain, swapped.private_key);
  ExpectRefused(swapped, "--tls_cert", "holds no PEM certificate");
}

// Cut anywhere, a file is refused; or it is what it was, if only the end of the last line is missing.
TEST_F(TlsMaterialTest, HalfWrittenFiles) {
  const TlsMaterial good = Good();
  const std::string fingerprint = testing::FingerprintOf(server_.certificate);
  for (std::string TlsMaterial::*const file :
       {&TlsMaterial::certificate_chain, &TlsMaterial::private_key, &TlsMaterial::client_ca}) {
    int taken = 0;
    for (size_t length = 1; length < (good.*file).size(); ++length) {
      TlsMaterial material = good;
      (material.*file).resize(length);
      const absl::StatusOr<TlsFacts> facts = CheckTlsMaterial(material);
      if (!facts.ok()) continue;
      ++taken;
      EXPECT_EQ(facts->fingerprint, fingerprint);
    }
    EXPECT_EQ(taken, 1);
  }
}

TEST_F(TlsMaterialTest, DamagedBytes) {
  const std::string fingerprint = testing::FingerprintOf(server_.certificate);
  int refused = 0;
  for (size_t i = 0; i < server_.certificate.size(); ++i) {
    TlsMaterial material = Good();
    material.certificate_chain[i] ^= 0x04;
    refused += CheckTlsMaterial(material).ok() ? 0 : 1;
  }
  // A signature that is wrong is for the clients to find.
  EXPECT_GT(refused, 100);
}

TEST_F(TlsMaterialTest, Dates) {
  const absl::StatusOr<TlsFacts> facts = CheckTlsMaterial(Good());
  ASSERT_TRUE(facts.ok());
  const absl::Status early = CheckDates(*facts, facts->not_before - absl::Seconds(1));
  EXPECT_THAT(std::string(early.message()), HasSubstr("--tls_cert: is not valid before"));
  const absl::Status late = CheckDates(*facts, facts->not_after + absl::Seconds(1));
  EXPECT_THAT(std::string(late.message()), HasSubstr("--tls_cert: expired at"));
}

}  // namespace
}  // namespace flashcore
