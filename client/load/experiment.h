// Several runs in a row: a sweep, or a search for the highest rate that keeps a promise.
#ifndef FLASHCORE_CLIENT_LOAD_EXPERIMENT_H_
#define FLASHCORE_CLIENT_LOAD_EXPERIMENT_H_

#include <functional>

#include "client/load/options.h"
#include "client/load/rate_search.h"
#include "client/load/report.h"
#include "client/load/run_options.h"

namespace flashcore {

// Measures one point. Blocks. A point that says stopped is the last.
using MeasurePoint = std::function<PointReport(const RunOptions&)>;

// A search's trial holds its rate if p99 from the intended start is within the target, nearly all calls were answered,
// and all were sent. One that fails while the client was the limit says nothing of the server.
Trial JudgeTrial(const LoadOptions& options, const PointReport& point);

// Measures options.runs, or searches, and fills report.points, report.main and report.search. The point reported in
// full is the only one, the last of a sweep, or the last trial of the rate that the search found (the first if it found
// none).
void RunExperiment(const LoadOptions& options, const MeasurePoint& measure, LoadReport& report);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_EXPERIMENT_H_
