#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/telemetry/gpu/counter_chain.h"
#include "tests/server/telemetry/gpu_fakes.h"

namespace flashcore {
namespace {

using ::testing::ElementsAre;

class CounterChainTest : public testing::Test {
 protected:
  CounterChainTest() {
    for (const char* name : {"first", "second", "third"}) scripts_.push_back(std::make_shared<SourceScript>(name));
    std::vector<std::unique_ptr<CounterSource>> sources;
    for (const auto& script : scripts_) sources.push_back(std::make_unique<FakeSource>(script));
    chain_ = std::make_unique<CounterChain>(std::move(sources));
  }

  SourceScript& script(size_t index) { return *scripts_[index]; }

  std::vector<std::string> States() const {
    std::vector<std::string> states;
    for (const SourceStatus& status : chain_->statuses()) states.emplace_back(SourceStateName(status.state));
    return states;
  }

  std::vector<std::shared_ptr<SourceScript>> scripts_;
  std::unique_ptr<CounterChain> chain_;
};

TEST_F(CounterChainTest, TheFirstThatStartsIsReadAndTheOthersAreLeftAlone) {
  script(0).reading = CounterReading{.tensor_ratio = 0.25, .sm_ratio = 0.5, .dram_ratio = {}};
  chain_->Start();
  EXPECT_EQ(chain_->active(), "first");
  const CounterReading reading = chain_->Read();
  EXPECT_EQ(reading.tensor_ratio, 0.25);
  EXPECT_EQ(reading.sm_ratio, 0.5);
  EXPECT_FALSE(reading.dram_ratio.has_value());
  EXPECT_EQ(script(1).starts, 0);
  EXPECT_THAT(States(), ElementsAre("active", "standby", "standby"));
}

TEST_F(CounterChainTest, ARefusedPermissionIsToldApartAndTheNextSourceTaken) {
  script(0).start_status = absl::PermissionDeniedError("only for administrators");
  script(1).start_status = absl::UnimplementedError("not this chip");
  script(2).reading = CounterReading{.tensor_ratio = 0.75, .sm_ratio = {}, .dram_ratio = {}};
  chain_->Start();
  EXPECT_EQ(chain_->active(), "third");
  EXPECT_EQ(chain_->Read().tensor_ratio, 0.75);
  EXPECT_THAT(States(), ElementsAre("permission_denied", "unavailable", "active"));
}

TEST_F(CounterChainTest, ARefusedSourceLetsGoBeforeTheNextOneStarts) {
  script(0).start_status = absl::InternalError("half started");
  chain_->Start();
  EXPECT_FALSE(script(0).alive);
  EXPECT_TRUE(script(1).alive);
}

TEST_F(CounterChainTest, NothingIsReadWhereNothingStarts) {
  for (size_t i = 0; i < 3; ++i) script(i).start_status = absl::UnavailableError("no");
  chain_->Start();
  EXPECT_EQ(chain_->active(), "");
  EXPECT_FALSE(chain_->Read().tensor_ratio.has_value());
  EXPECT_THAT(States(), ElementsAre("unavailable", "unavailable", "unavailable"));
}

TEST_F(CounterChainTest, AFailedReadingIsEmptyAndTheSourceKept) {
  chain_->Start();
  script(0).reading = absl::InternalError("once");
  for (int i = 1; i < CounterChain::kMostFailures; ++i) EXPECT_FALSE(chain_->Read().tensor_ratio.has_value());
  script(0).reading = CounterReading{.tensor_ratio = 0.5, .sm_ratio = {}, .dram_ratio = {}};
  EXPECT_EQ(chain_->Read().tensor_ratio, 0.5);
  // The count starts anew after a success.
  script(0).reading = absl::InternalError("again");
  for (int i = 1; i < CounterChain::kMostFailures; ++i) chain_->Read();
  EXPECT_EQ(chain_->active(), "first");
}

TEST_F(CounterChainTest, ASourceThatKeepsFailingIsGivenUpForTheNextOne) {
  script(1).reading = CounterReading{.tensor_ratio = 0.125, .sm_ratio = {}, .dram_ratio = {}};
  chain_->Start();
  script(0).reading = absl::InternalError("gone");
  for (int i = 0; i < CounterChain::kMostFailures; ++i) EXPECT_FALSE(chain_->Read().tensor_ratio.has_value());
  EXPECT_FALSE(script(0).alive);
  EXPECT_EQ(chain_->active(), "second");
  EXPECT_EQ(chain_->Read().tensor_ratio, 0.125);
  EXPECT_THAT(States(), ElementsAre("failed", "active", "standby"));
}

TEST(CounterChain, MayBeEmpty) {
  CounterChain chain({});
  chain.Start();
  EXPECT_EQ(chain.active(), "");
  EXPECT_FALSE(chain.Read().sm_ratio.has_value());
}

}  // namespace
}  // namespace flashcore
