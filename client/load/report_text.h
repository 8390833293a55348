// The report for a person at a terminal.
#ifndef FLASHCORE_CLIENT_LOAD_REPORT_TEXT_H_
#define FLASHCORE_CLIENT_LOAD_REPORT_TEXT_H_

#include <string>

#include "client/load/report.h"

namespace flashcore {

// The verdict first. Ends with a line break.
std::string FormatReport(const LoadReport& report);

}  // namespace flashcore

#endif  // FLASHCORE_CLIENT_LOAD_REPORT_TEXT_H_
