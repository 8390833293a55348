#include "server/security/file_reloader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/server/security/scratch_files.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Outcome = FileReloader::Outcome;

class FileReloaderTest : public ::testing::Test {
 protected:
  FileReloaderTest() {
    files_.Write("a", "a1");
    files_.Write("b", "b1");
    EXPECT_TRUE(reloader_.Load().ok());
  }

  absl::Status Take(const std::vector<std::string>& contents) {
    if (contents[1] == "bad") return absl::InvalidArgumentError("bad");
    taken_ = contents;
    return absl::OkStatus();
  }

  testing::ScratchFiles files_;
  std::vector<std::string> taken_;
  std::vector<absl::Status> reloads_;
  FileReloader reloader_{{{"flag_a", files_.Path("a")}, {"flag_b", files_.Path("b")}},
                         [this](const std::vector<std::string>& contents) { return Take(contents); },
                         [this](const absl::Status& status) { reloads_.push_back(status); }};
};

TEST_F(FileReloaderTest, LoadTakesAtOnce) {
  EXPECT_THAT(taken_, ElementsAre("a1", "b1"));
  EXPECT_EQ(reloader_.Poll(), Outcome::kUnchanged);
  EXPECT_TRUE(reloads_.empty());
}

TEST_F(FileReloaderTest, AChangeIsTakenWhenSeenTwice) {
  files_.Write("b", "b2");
  EXPECT_EQ(reloader_.Poll(), Outcome::kSettling);
  EXPECT_THAT(taken_, ElementsAre("a1", "b1"));
  EXPECT_EQ(reloader_.Poll(), Outcome::kTaken);
  EXPECT_THAT(taken_, ElementsAre("a1", "b2"));
  EXPECT_EQ(reloader_.Poll(), Outcome::kUnchanged);
  EXPECT_THAT(reloads_, ElementsAre(absl::OkStatus()));
}

TEST_F(FileReloaderTest, FilesReplacedOneAfterTheOtherAreTakenTogether) {
  files_.Write("a", "a2");
  EXPECT_EQ(reloader_.Poll(), Outcome::kSettling);
  files_.Replace("b", "b2");
  EXPECT_EQ(reloader_.Poll(), Outcome::kSettling);
  EXPECT_EQ(reloader_.Poll(), Outcome::kTaken);
  EXPECT_THAT(taken_, ElementsAre("a2", "b2"));
}

TEST_F(FileReloaderTest, WhatIsRefusedIsLookedAtAgain) {
  files_.Write("b", "bad");
  EXPECT_EQ(reloader_.Poll(), Outcome::kSettling);
  EXPECT_EQ(reloader_.Poll(), Outcome::kRefused);
  EXPECT_EQ(reloader_.Poll(), Outcome::kRefused);
  EXPECT_THAT(taken_, ElementsAre("a1", "b1"));
  files_.Write("b", "b2");
  EXPECT_EQ(reloader_.Poll(), Outcome::kSettling);
  EXPECT_EQ(reloader_.Poll(), Outcome::kTaken);
  EXPECT_THAT(taken_, ElementsAre("a1", "b2"));
}

TEST_F(FileReloaderTest, GoingBackIsNoChange) {
  files_.Write("b", "bad");
  EXPECT_EQ(reloader_.Poll(), Outcome::kSettling);
  EXPECT_EQ(reloader_.Poll(), Outcome::kRefused);
  files_.Write("b", "b1");
  EXPECT_EQ(reloader_.Poll(), Outcome::kUnchanged);
}

TEST_F(FileReloaderTest, AFileThatIsGoneIsRefused) {
  std::filesystem::remove(files_.Path("a"));
  EXPECT_EQ(reloader_.Poll(), Outcome::kSettling);
  EXPECT_EQ(reloader_.Poll(), Outcome::kRefused);
  EXPECT_THAT(std::string(reloads_.back().message()), HasSubstr("--flag_a: "));
  EXPECT_THAT(taken_, ElementsAre("a1", "b1"));
}

// As Kubernetes does: the name is a link into a folder that changes as a whole.
TEST_F(FileReloaderTest, FollowsLinks) {
  files_.Write("b.target", "b2");
  std::filesystem::remove(files_.Path("b"));
  std::filesystem::create_symlink("b.target", files_.Path("b"));
  EXPECT_EQ(reloader_.Poll(), Outcome::kSettling);
  EXPECT_EQ(reloader_.Poll(), Outcome::kTaken);
  EXPECT_THAT(taken_, ElementsAre("a1", "b2"));
}

TEST(ReadNamedFileTest, SaysWhichFileAndWhatToDo) {
  const testing::ScratchFiles files;
  const auto message = [](const std::string& path) {
    const absl::Status status = ReadNamedFile({"tls_key", path}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_THAT(std::string(status.message()), HasSubstr("--tls_key: '" + path + "'"));
    return std::string(status.message());
  };
  EXPECT_THAT(message(files.Path("none")), HasSubstr("No such file"));
  EXPECT_THAT(message(files.Write("empty", "")), HasSubstr("is empty"));
  EXPECT_THAT(message(files.Path("")), HasSubstr("not a regular file"));
  EXPECT_THAT(message("/dev/null"), HasSubstr("not a regular file"));
  EXPECT_THAT(message(files.Write("large", std::string((1 << 20) + 1, 'x'))), HasSubstr("larger"));
  ASSERT_EQ(mkfifo(files.Path("pipe").c_str(), S_IRUSR), 0);
  EXPECT_THAT(message(files.Path("pipe")), HasSubstr("not a regular file"));
  const std::string closed = files.Write("closed", "x");
  ASSERT_EQ(chmod(closed.c_str(), 0), 0);
  if (geteuid() == 0) return;  // Root may read what it closed.
  EXPECT_THAT(message(closed), HasSubstr("readable for user"));
}

TEST(ReadNamedFileTest, UpToAMiB) {
  const testing::ScratchFiles files;
  const std::string content(1 << 20, 'x');
  EXPECT_EQ(*ReadNamedFile({"f", files.Write("f", content)}), content);
}

}  // namespace
}  // namespace flashcore
