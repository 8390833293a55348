// Finds the highest rate at which a server still keeps a promise, by trying rates.
//
//   grow     from `first_rate`, times kGrowth, until a trial fails or `highest_rate` holds; down likewise if the first
//   fails narrow   bisect, geometrically, until the two sides are within `resolution` of each other confirm  the
//   highest rate that held has to hold again, kConfirmations times in a row; if it fails, it becomes the
//            upper side, and the search narrows again below it, and now wants every rate to hold twice
//
// Latency near a server's limit is noisy: a rate that held once may have been lucky, which is what confirming is for.
// Pure: it says which rate to try, and is told what came of it.
#ifndef FLASHCORE_CLIENT_LOAD_RATE_SEARCH_H_
#define FLASHCORE_CLIENT_LOAD_RATE_SEARCH_H_

#include <cstdint>
#include <optional>
#include <vector>

namespace flashcore {

struct RateSearchOptions {
  double first_rate = 100;
  double lowest_rate = 1;
  double highest_rate = 1e6;
  double resolution = 0.05;  // Relative; > 0.
  int max_trials = 40;       // The search ends after these, confirmed or not.
};

// What came of a trial.
enum class Trial : uint8_t {
  kHeld,
  kFailed,
  kClientLimit,  // The client could not make this load: no rate from here on can be tried.
};

struct RateSearchResult {
  std::optional<double> rate;  // The highest that held and was confirmed; nullopt: not even the lowest did.
  bool confirmed = false;
  // What stopped it: a rate that failed, the client, or neither (`highest_rate` held).
  bool client_limit = false;
  std::optional<double> failed_rate;  // The lowest rate that did not hold.
};

class RateSearch {
 public:
  static constexpr double kGrowth = 2;
  static constexpr int kConfirmations = 1;

  explicit RateSearch(const RateSearchOptions& options);

  // The rate to try next; nullopt: the search is over.
  std::optional<double> Next() const;
  // What came of trying Next().
  void Report(Trial trial);
  RateSearchResult Result() const;

 private:
  bool narrow_enough() const;
  void NoteHeld(double rate);
  double highest_held() const { return held_.empty() ? 0 : held_.back(); }

  const RateSearchOptions options_;
  std::vector<double> held_;   // Rates that held, rising, all below failed_.
  double failed_ = 0;          // The lowest that failed; 0: none yet.
  bool client_limit_ = false;  // failed_ is the client's doing.
  int confirmations_ = 0;      // Of the highest of held_.
  bool careful_ = false;       // A rate failed to confirm, so one trial is not enough.
  double held_once_ = 0;
  int trials_ = 0;
};

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_RATE_SEARCH_H_
