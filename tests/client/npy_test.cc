#include "client/attend/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace flashcore {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A file of version `major` with this dictionary and these bytes.
std::string File(int major, const std::string& dictionary, const std::string& data) {
  std::string file = "\x93NUMPY";
  file += {static_cast<char>(major), '\0'};
  file += {static_cast<char>(dictionary.size() & 0xff), static_cast<char>(dictionary.size() >> 8)};
  if (major > 1) file += {'\0', '\0'};
  return file + dictionary + data;
}

absl::StatusOr<Tensor> Read(const std::string& file, std::optional<DType> dtype = std::nullopt) {
  std::istringstream in(file);
  return ReadNpy(in, Layout::kBhsd, dtype);
}

const std::string kFourHalves = "{'descr': '<f2', 'fortran_order': False, 'shape': (2, 2), }";
const std::string kEightBytes = std::string("\x00\x3c\x00\xc0\x00\x00\x00\x3e", 8);  // 1, -2, 0, 1.5

TEST(NpyTest, ReadsEveryVersion) {
  for (int major = 1; major <= 3; ++major) {
    const absl::StatusOr<Tensor> tensor = Read(File(major, kFourHalves, kEightBytes));
    ASSERT_TRUE(tensor.ok()) << tensor.status();
    EXPECT_THAT(tensor->shape(), ElementsAre(2, 2));
    EXPECT_THAT(tensor->ToFloats(), ElementsAre(1.0f, -2.0f, 0.0f, 1.5f));
  }
}

TEST(NpyTest, WhatIsWrittenIsRead) {
  const std::vector<TensorSpec> specs = {{DType::kFloat16, {1, 2, 3, 8}},
                                         {DType::kBFloat16, {5}},
                                         {DType::kFloat32, {}},
                                         {DType::kFloat32, {2, 0, 3}},
                                         {DType::kFloat16, {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}}};
  for (const TensorSpec& spec : specs) {
    const Tensor tensor = Tensor::Random(spec, 1);
    std::stringstream file;
    WriteNpy(tensor, file);
    EXPECT_EQ((file.str().size() - tensor.size_bytes()) % 64, 0);
    const absl::StatusOr<Tensor> read = ReadNpy(file, spec.layout, spec.dtype);
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(read->spec(), spec);
    EXPECT_EQ(read->ToFloats(), tensor.ToFloats());
  }
}

TEST(NpyTest, HeadersThatNumPyCouldWrite) {
  EXPECT_THAT(ParseNpyHeader("{'descr': '<f4', 'fortran_order': False, 'shape': (), }")->shape, IsEmpty());
  EXPECT_THAT(ParseNpyHeader("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }   \n")->shape, ElementsAre(3));
  const absl::StatusOr<NpyHeader> header = ParseNpyHeader(R"({"shape":(1,2,3),"fortran_order":True,"descr":"<f4"})");
  ASSERT_TRUE(header.ok());
  EXPECT_TRUE(header->fortran_order);
  EXPECT_THAT(header->shape, ElementsAre(1, 2, 3));
}

TEST(NpyTest, HeadersThatItCouldNot) {
  for (const char* const header :
       {"", "{", "{}", "[]", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': False}",
        "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1}", "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775808,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}}",
        "{'descr': '<f4', 'fortran_order': False} 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} import os",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}",
        "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}", "{'descr: 1}"}) {
    EXPECT_EQ(ParseNpyHeader(header).status().code(), absl::StatusCode::kInvalidArgument) << header;
  }
}

TEST(NpyTest, SaysWhatIsWrongWithAFile) {
  const auto dictionary = [](const std::string& descr, const std::string& order, const std::string& shape) {
    return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
  };
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "does not start with NumPy's magic"},
      {"PK\x03\x04 this is a zip file", "does not start with NumPy's magic"},
      {File(9, kFourHalves, kEightBytes), "format version is 9"},
      {File(1, kFourHalves, kEightBytes).substr(0, 9), "ends in its header"},
      {File(1, kFourHalves, kEightBytes).substr(0, 30), "ends in its header"},
      {File(2, std::string(20000, ' '), ""), "header has 20000 bytes"},
      {File(1, kFourHalves, kEightBytes.substr(1)), "has 7 bytes of data"},
      {File(1, kFourHalves, kEightBytes + "x"), "goes on after the 8 bytes"},
      {File(1, dictionary("<f8", "False", "(1,)"), kEightBytes), "array.astype('<f2')"},
      {File(1, dictionary(">f2", "False", "(4,)"), kEightBytes), "its dtype is '>f2'"},
      {File(1, dictionary("<u2", "False", "(4,)"), kEightBytes), "the bits of bf16"},
      {File(1, dictionary("<f2", "True", "(2, 2)"), kEightBytes), "numpy.ascontiguousarray"},
      {File(1, dictionary("<f2", "False", "(4000000000, 4000000000)"), ""), "more bytes than"},
      {File(1, dictionary("<f2", "False", "(1000000000000,)"), kEightBytes), "has 8 bytes of data"},
  };
  for (const auto& [file, complaint] : cases) {
    const absl::Status status = Read(file).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << complaint;
    EXPECT_THAT(status.message(), HasSubstr(complaint));
  }
}

TEST(NpyTest, TheDtypeAskedForMustAgree) {
  EXPECT_THAT(Read(File(1, kFourHalves, kEightBytes), DType::kFloat32).status().message(),
              HasSubstr("holds fp16, and fp32 was asked for"));
}

TEST(NpyTest, FilesAndTheirPaths) {
  const std::string path = testing::TempDir() + "/flashcore_npy_test.npy";
  const Tensor tensor = Tensor::Random({DType::kFloat32, {3, 4}}, 2);
  ASSERT_TRUE(WriteNpyFile(tensor, path).ok());
  EXPECT_EQ(ReadNpyFile(path, Layout::kBhsd, std::nullopt)->ToFloats(), tensor.ToFloats());
  EXPECT_EQ(ReadNpyFile(path + ".missing", Layout::kBhsd, std::nullopt).status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(WriteNpyFile(tensor, "/nonexistent/o.npy").code(), absl::StatusCode::kUnavailable);
}

TEST(NpyTest, RandomDamageNeverCrashes) {
  constexpr uint64_t kSeed = 20260502;
  constexpr int kRounds = 20000;
  std::printf("seed %llu\n", static_cast<unsigned long long>(kSeed));
  std::mt19937_64 random(kSeed);
  const std::string good = File(1, kFourHalves, kEightBytes);
  for (int i = 0; i < kRounds; ++i) {
    std::string file = good.substr(0, good.size() - random() % 3);
    for (uint64_t damage = 1 + random() % 4; damage > 0; --damage) {
      file[random() % file.size()] = static_cast<char>(random());
    }
    const absl::StatusOr<Tensor> tensor = Read(file);
    if (tensor.ok()) {
      EXPECT_LE(tensor->size_bytes(), kEightBytes.size());
    }
  }
}

}  // namespace
}  // namespace flashcore
